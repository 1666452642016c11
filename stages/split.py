"""Divide the cells: data/raw -> data/split (split.csv, groups.csv, duplicates.csv, …)."""

import json
from pathlib import Path

from stages._run import run
from wbc import duplicates, params, split_report, splits
from wbc.cells import COLUMNS, read_table, write_table


def main() -> None:
    settings = params.load(Path("params.yaml")).split
    raw, out = Path("data/raw"), Path("data/split")
    metadata = read_table(raw / "metadata.csv", COLUMNS)
    prints = duplicates.fingerprint([raw / path for path in metadata["path"]])
    copies = duplicates.find(prints, settings.near_duplicate_bits)
    outcome = splits.assign(metadata, copies, prints.reasons, settings)
    write_table(outcome.table, out / "split.csv")
    write_table(split_report.pairs(outcome), out / "duplicates.csv")
    write_table(split_report.groups(outcome), out / "groups.csv")
    (out / "report.md").write_text(split_report.report(outcome, settings), encoding="utf-8")
    summary = json.dumps(split_report.summary(outcome), indent=2, sort_keys=True)
    (out / "summary.json").write_text(summary + "\n", encoding="utf-8")
    splits.check(outcome, settings)  # last, so that the report is there to explain a refusal


if __name__ == "__main__":
    run(main)
