"""What split did, for a person (Markdown), for a table reader (pairs) and a program (counts)."""

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from wbc import params
from wbc.cells import CLASSES
from wbc.leaks import Link, Outcome

PAIR_COLUMNS = tuple(
    "path_a path_b kind distance label_a label_b split_a split_b action".split()  # noqa: SIM905
)
_FIRST = ("train", "val", "test", "test_a", "test_b")
_LONGEST = 30  # rows of a table in the report; all pairs are in duplicates.csv


def pairs(outcome: Outcome) -> pd.DataFrame:
    """duplicates.csv: one row a pair; distance in bits of 64, split also of cells left out."""
    path, label, side = outcome.cells["path"], outcome.cells["label"], outcome.side
    rows = [
        (
            path[link.a],
            path[link.b],
            link.kind,
            link.bits,
            *(column[cell] for column in (label, side) for cell in (link.a, link.b)),
            _action(outcome, link),
        )
        for link in outcome.links
    ]
    return pd.DataFrame(sorted(rows), columns=list(PAIR_COLUMNS))


def groups(outcome: Outcome) -> pd.DataFrame:
    """Cells of every smear: source, group, split, label, cells; the report shows the largest."""
    kept = outcome.table[outcome.table["split"] != ""]
    keys = ["source", "group", "split", "label"]
    return kept.groupby(keys, sort=True).size().reset_index(name="cells")


def summary(outcome: Outcome) -> dict[str, Any]:
    """Counts for summary.json, which lies beside report.md."""
    table, kinds = outcome.table, Counter(link.kind for link in outcome.links)
    split_label = Counter(zip(table["split"], table["label"], strict=True))
    return {
        "cells": {
            split: {name: split_label[split, name] for name in CLASSES}
            | {"total": sum(split_label[split, name] for name in CLASSES)}
            for split in _splits(outcome)
        },
        "smears": {split: len(_smears(table, split)) for split in _splits(outcome)},
        "left_out": sum(bool(reason) for reason in outcome.reason),
        "unreadable": sum(reason.startswith("unreadable") for reason in outcome.reason),
        "exact_copies": kinds["exact"],
        "near_copies": kinds["near"],
        "copies_across_splits": len(outcome.crossing),
        "label_conflicts": len(_conflicts(outcome, "exact")),
        "smears_in_train_and_test": len(_overlaps(outcome)),
        "warnings": len(outcome.warnings),
    }


def report(outcome: Outcome, settings: params.Split) -> str:
    """report.md."""
    parts = [
        "# How the cells were divided",
        _in_words(outcome, settings),
        "## Warnings",
        _bullets(outcome.warnings, "None."),
        *_count_sections(outcome),
        *_smear_sections(outcome),
        *_copy_sections(outcome),
        "## Cells left out",
        _left_out(outcome),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_words(outcome: Outcome, settings: params.Split) -> str:
    table = outcome.table
    sentences = []
    for source, cells in table.groupby("source"):
        role, given = cells["role"].iloc[0], sorted(set(cells["split"]) - {"", "train", "val"})
        if role == "external":
            how = "external: never trained on, one evaluation set of its own"
        elif role == "train":
            how = "training only: its cells are divided between train and val"
        elif "test" in given and not (cells["official_split"] == "test").any():
            how = f"no official test set: {settings.test_share:.0%} of each class were held out"
        else:
            how = f"official test sets kept whole: {', '.join(given) or 'none readable'}"
        if role != "external" and not cells["group"].any():
            taken = "test" if how.startswith("no official") else "validation"
            how += (
                ". It names no smears, so its cells were divided at random, cell by cell: cells of"
                f" one smear or patient can be on both sides, and its {taken} score may flatter"
            )
        sentences.append(f"- **{source}** ({len(cells)} cells): {how}.")
    action = "The training-side copy of every two across splits is left out."
    if settings.duplicates == "stop":
        action = "Copies across splits stop the pipeline."
    return "\n".join(
        [
            f"Seed {settings.seed}; {settings.val_share:.0%} of the training cells of each class"
            " are for validation. A smear never crosses a division that was made here.",
            "",
            *sentences,
            "",
            f"{action} Of training cells with the same pixels one stays;"
            " where their labels differ, none.",
            "",
            "\n".join(f"- {note}" for note in outcome.notes),
        ]
    ).rstrip()


def _count_sections(outcome: Outcome) -> list[str]:
    table, splits = outcome.table, _splits(outcome)
    label = Counter(zip(table["label"], table["split"], strict=True))
    source = Counter(zip(table["source"], table["split"], strict=True))
    total = {split: sum(label[name, split] for name in CLASSES) for split in splits}
    rows = [[name, *(label[name, split] for split in splits)] for name in CLASSES]
    shares = [
        [name, *(f"{label[name, split] / max(total[split], 1):.1%}" for split in splits)]
        for name in CLASSES
    ]
    return [
        "## Cells of each class",
        _table(["class", *splits], [*rows, ["all", *total.values()]]),
        "As shares of their split:",
        _table(["class", *splits], shares),
        "## Cells of each source",
        _table(
            ["source", *splits, "left out"],
            [
                [name, *(source[name, split] for split in splits), source[name, ""]]
                for name in sorted(set(table["source"]))
            ],
        ),
    ]


def _smear_sections(outcome: Outcome) -> list[str]:
    table, splits = outcome.table, _splits(outcome)
    kept = table[(table["split"] != "") & (table["group"] != "")]
    loose = Counter(table["split"][table["group"] == ""])
    sizes = Counter(zip(kept["source"], kept["group"], kept["split"], strict=True))
    overlaps = _overlaps(outcome)
    numbers = [len(_smears(table, split)) for split in splits]
    return [
        "## Smears",
        _table(
            ["", *splits],
            [["smears", *numbers], ["cells without a smear", *(loose[name] for name in splits)]],
        ),
        "The largest (all are in groups.csv):" if sizes else "",
        _table(
            ["source", "smear", "split", "cells"],
            [[*key, size] for key, size in sorted(sizes.items(), key=lambda i: (-i[1], i[0]))[:10]],
        ),
        "## Smears in both training and an official test set",
        "The publishers divided these smears, so such a test set says less about new smears."
        if overlaps
        else "None.",
        _table(
            ["source", "smear", *splits],
            [[*key, *(sizes[*key, split] for split in splits)] for key in overlaps],
        ),
    ]


def _copy_sections(outcome: Outcome) -> list[str]:
    table = pairs(outcome)
    kinds = Counter(table["kind"])
    across = table[table["split_a"] != table["split_b"]]
    columns = ["path_a", "path_b", "kind", "split_a", "split_b", "action"]
    label_columns = ["path_a", "label_a", "path_b", "label_b", "action"]
    exact, near = (
        table[(table["kind"] == kind) & (table["label_a"] != table["label_b"])]
        for kind in ("exact", "near")
    )
    return [
        "## Copies of one picture",
        f"Exact pairs (the same pixels): {kinds['exact']}. Near pairs (re-encoded, resized, taken"
        f" twice, mirrored or turned by quarters): {kinds['near']}. Between different splits, of"
        f" all these: {len(across)}. All are listed in duplicates.csv.",
        _table(columns, across[columns].to_numpy().tolist()),
        "## Label conflicts",
        f"Exact pairs with different labels: {len(exact)}.",
        _table(label_columns, exact[label_columns].to_numpy().tolist()),
        f"Near pairs with different labels, worth a look: {len(near)}.",
        _table(label_columns, near[label_columns].to_numpy().tolist()),
    ]


def _left_out(outcome: Outcome) -> str:
    rows = [
        [path, reason]
        for path, reason in zip(outcome.cells["path"], outcome.reason, strict=True)
        if reason
    ]
    return (
        f"{len(rows)} of {len(outcome.reason)}; all with their reason in split.csv.\n\n"
        + _table(
            ["cell", "reason"],
            sorted(rows, key=lambda row: (not row[1].startswith("unreadable"), row)),
        )
    )


def _action(outcome: Outcome, link: Link) -> str:
    a, b = (bool(outcome.reason[cell]) for cell in (link.a, link.b))
    if a and b:
        return "left out both"
    return "left out path_a" if a else "left out path_b" if b else "kept both"


def _conflicts(outcome: Outcome, kind: str) -> list[Link]:
    return [link for link in outcome.links if link.kind == kind and outcome.label_conflict(link)]


def _splits(outcome: Outcome) -> list[str]:
    """Names of the splits in the order of the tables; train and val even when empty."""
    there = {"train", "val", *outcome.split} - {""}
    return [name for name in _FIRST if name in there] + sorted(there - set(_FIRST))


def _smears(table: pd.DataFrame, split: str) -> set[tuple[str, str]]:
    part = table[(table["split"] == split) & (table["group"] != "")]
    return set(zip(part["source"], part["group"], strict=True))


def _overlaps(outcome: Outcome) -> list[tuple[str, str]]:
    """Smears with cells both on the training side and in a test set."""
    table, splits = outcome.table, _splits(outcome)
    training = _smears(table, "train") | _smears(table, "val")
    tests = [_smears(table, split) for split in splits if split not in ("train", "val")]
    return sorted(training & set().union(*tests))


def _bullets(sentences: Iterable[str], nothing: str) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences) or nothing


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table of at most _LONGEST rows; nothing where there are none."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows[:_LONGEST]]
    text = ["| " + " | ".join(map(_cell, row)) + " |" for row in lines]
    more = len(rows) - _LONGEST
    return "\n".join(text) + (f"\n\n… and {more} more." if more > 0 else "")


def _cell(value: Any) -> str:
    """In one line, as text: a smear's name comes from anywhere, and Markdown may hold HTML."""
    return html.escape(" ".join(str(value).split()), quote=False).replace("|", "\\|")
