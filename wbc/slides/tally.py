"""What of a slide is counted, and what stands beside the count.

A cell is counted if the model is sure of it and its leukocyte was found, or if a person has named
it. All others are abstentions: they are in no percentage and are listed by their reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from wbc import counts
from wbc.cells import CLASSES
from wbc.slides.judging import Judged
from wbc.slides.ranges import Ranges, mark
from wbc.slides.reasons import OTHER, REASONS

COLUMNS: Final = (
    "slide", "model", "class", "n", "counted", "reviewed", "percent", "low", "high", "adjusted",
    "adjusted_low", "adjusted_high", "range_low", "range_high", "mark", "caution", "uncertain",
    "unlocated", "unreadable", "other", "copies",
)  # fmt: skip


@dataclass(frozen=True)
class Slide:
    """One slide by one model.

    rows: its cells as `predict` has them, with `type` (what the model would count it as), `label`
    (a person's answer, "" for none) and `reason` ("" for a cell that is counted, else `other` or
    one of REASONS); table: of `counts.differential` with reviewed, range_low, range_high and mark;
    empty where no cell is counted; copies: files that were left out, each with the one it is a
    copy of.
    """

    name: str
    judged: Judged
    rows: pd.DataFrame
    table: pd.DataFrame
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_counted(self) -> int:
        return int((self.rows["reason"] == "").sum())

    @property
    def num_reviewed(self) -> int:
        return int((self.rows["label"] != "").sum())

    @property
    def caution(self) -> str:
        return counts.caution(self.num_counted)

    def num(self, reason: str) -> int:
        return int((self.rows["reason"] == reason).sum())

    @property
    def of_fields(self) -> bool:
        return "field" in self.rows

    @property
    def num_fields(self) -> int:
        """Of cells cut out of fields; those without a cell are among them."""
        return int(self.rows["field"].nunique())

    @property
    def num_cut(self) -> int:
        """Of cells cut out of fields: those that the border cuts."""
        return int(self.rows["cut"].sum())

    def num_read(self) -> int:
        """Cells that the model has answered for."""
        return int(self.rows["class"].notna().sum())

    def num_out_of_domain(self) -> int | None:
        """None where the model cannot tell."""
        if "out_of_domain" not in self.rows or self.rows["out_of_domain"].isna().all():
            return None
        return int((self.rows["out_of_domain"] == True).sum())  # noqa: E712 - None is neither


def slide_of(
    name: str, judged: Judged, rows: pd.DataFrame, labels: Mapping[str, str], ranges: Ranges,
    copies: Mapping[str, str],
) -> Slide:  # fmt: skip
    """Count the rows of a slide, which has none of `copies`; `labels` are a person's answers by the
    cells' names."""
    rows = with_types(rows)
    rows = with_reasons(rows.assign(label=[labels.get(path, "") for path in rows["path"]]))
    by_model = rows[(rows["reason"] == "") & (rows["label"] == "")]
    named = rows.loc[rows["reason"] == "", "label"]
    reviewed = np.array([int((named == each).sum()) for each in CLASSES], np.int64)
    if len(by_model) + reviewed.sum() == 0:
        return Slide(name, judged, rows, pd.DataFrame(), copies)
    table = counts.differential(by_model, judged.validation, reviewed=reviewed)
    table = table.assign(reviewed=reviewed)
    return Slide(name, judged, rows, with_marks(table, ranges), copies)


def with_types(rows: pd.DataFrame) -> pd.DataFrame:
    """Column `type`: the most probable one under the training mix, "" where nothing was read."""
    read = rows[rows["class"].notna()]
    types = pd.Series("", index=rows.index, dtype=object)
    types.loc[read.index] = [CLASSES[each] for each in counts.types(read)]
    return rows.assign(type=types)


def with_reasons(rows: pd.DataFrame) -> pd.DataFrame:
    """Column `reason`: why a cell is not counted; a person's answer overrules the model's doubt."""
    reason = pd.Series("", index=rows.index)
    for flag in reversed(REASONS):
        reason = reason.mask(rows[flag].astype(bool), flag)
    reason = reason.mask(rows["label"] != "", "").mask(rows["label"] == OTHER, OTHER)
    return rows.assign(reason=reason)


def with_marks(table: pd.DataFrame, ranges: Ranges) -> pd.DataFrame:
    """Columns range_low, range_high and mark.

    low or high only where Rümke's interval and, where there is one, the adjusted count's lie
    outside the range on the same side, and only of a count that is no "too few cells".
    """
    ends = [ranges.of(name) for name in table["class"]]
    enough = int(table["n"].iloc[0]) >= counts.FEWEST
    marks = [
        mark(_intervals(row), end) if enough else ""
        for row, end in zip(table.to_dict("records"), ends, strict=True)
    ]
    return table.assign(
        range_low=[end[0] if end else np.nan for end in ends],
        range_high=[end[1] if end else np.nan for end in ends],
        mark=marks,
    )


def _intervals(row: Mapping[Any, Any]) -> list[tuple[float, float]]:
    pairs = [(row["low"], row["high"]), (row["adjusted_low"], row["adjusted_high"])]
    return [pair for pair in pairs if not np.isnan(pair[0])]


def csv_rows(slide: Slide) -> pd.DataFrame:
    """The slide's part of differential.csv: a row a type, also where nothing could be counted."""
    table = slide.table
    if table.empty:
        table = pd.DataFrame({"class": CLASSES, "n": 0, "counted": 0, "reviewed": 0, "mark": ""})
    table = table.assign(
        slide=slide.name,
        model=slide.judged.name,
        caution=slide.caution,
        other=slide.num(OTHER),
        copies=len(slide.copies),
        **{reason: slide.num(reason) for reason in REASONS},
    )
    return table.reindex(columns=list(COLUMNS))
