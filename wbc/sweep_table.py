"""The table at the end of a sweep: settings, validation score, interval, what comes next."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Row:
    """One network of one experiment; its score is the macro-F1 on the validation cells."""

    experiment: str
    settings: dict[str, str]
    architecture: str
    start: str  # what it was fine-tuned from: imagenet, file, random, none
    score: float
    low: float  # of the 95 % interval
    high: float
    version: str  # in the registry; "" where it is not registered or MLflow is away


def rank(rows: Sequence[Row]) -> list[Row]:
    """Best validation score first, and only among equal starts."""
    best = {row.start: max(r.score for r in rows if r.start == row.start) for row in rows}
    return sorted(rows, key=lambda row: (-best[row.start], row.start, -row.score))


def report(rows: Sequence[Row]) -> str:
    """The ranked table, how sure the first place is, and the commands that come next."""
    ranked = rank(rows)
    winner = ranked[0]
    return "\n".join(["", table(ranked), "", *_remarks(ranked, winner), "", *_next(winner)])


def table(ranked: Sequence[Row]) -> str:
    """Columns that are the same for all rows and say nothing are left out."""
    columns = pd.DataFrame(
        {
            "experiment": row.experiment,
            **row.settings,
            "architecture": row.architecture,
            "start": row.start,
            "val/macro_f1": f"{row.score:.4f}",
            "95 % interval": f"{row.low:.3f} to {row.high:.3f}",
            "version": row.version or "-",
        }
        for row in ranked
    )
    alike = [name for name in ("architecture", "start") if columns[name].nunique() == 1]
    return str(columns.drop(columns=alike).to_string(index=False))


def _remarks(ranked: Sequence[Row], winner: Row) -> list[str]:
    peers = [row for row in ranked if row.start == winner.start and row is not winner]
    equal = [row for row in peers if row.score == winner.score]
    near = [row for row in peers if row.score >= winner.low and row not in equal]
    lines = ["Ranked by the validation cells alone; no test set was looked at."]
    if len(peers) + 1 < len(ranked):
        lines.append("Networks with another start are not ranked together with the first.")
    if equal:
        lines.append(
            f"{len(equal) + 1} share the highest score; which of them stands first says nothing."
        )
    if near:
        lines.append(
            f"The first one's interval holds the scores of {len(near)} of the"
            f" {len(peers) - len(equal)} below it: its lead may be luck (`train.seeds` shows how"
            " much)."
        )
    return lines


def _next(winner: Row) -> list[str]:
    version = f"--version {winner.version}" if winner.version else "--alias challenger"
    return [
        f"Next, for {winner.experiment}:",
        f"  dvc exp apply {winner.experiment}",
        f"  python -m wbc promote {version}",
    ]
