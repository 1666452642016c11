"""Which cell is for training, validation or testing, and which is left out and why.

Roles: `auto` keeps a source's official parts whole and divides a source that has no test part;
`train` makes all of a source training cells, its official test parts too; `external` makes all of
it one evaluation set under the source's name. Validation comes out of training cells only.
Smears never cross a split made here. Each source is divided by itself, so each gives its share.
"""

import logging
import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc import leaks, params
from wbc.cells import CLASSES
from wbc.division import hold_out
from wbc.duplicates import Copies
from wbc.errors import UserError
from wbc.leaks import Outcome

log = logging.getLogger(__name__)

TESTS = ("test", "test_a", "test_b")


def assign(
    metadata: pd.DataFrame, copies: Copies, unreadable: Sequence[str], settings: params.Split
) -> Outcome:
    """Divide all cells; whether the result can be used is `check`'s question.

    Args:
        metadata: in the columns of wbc.cells.COLUMNS.
        copies: which of its rows show the same picture.
        unreadable: why the file of each row cannot be read; "" where it can.
        settings: the section split of params.yaml.

    Raises:
        UserError: a label or an official split that the pipeline does not know.
    """
    by_path = np.argsort(metadata["path"].to_numpy(dtype=str), kind="stable")
    reason = [unreadable[row] and f"unreadable: {unreadable[row]}" for row in by_path]
    outcome = _official(metadata.iloc[by_path].reset_index(drop=True), reason)
    outcome.links = leaks.links(outcome, leaks.reorder(copies, by_path))
    leaks.leave_out_conflicts(outcome)
    leaks.leave_out_crossing(outcome)  # before the division, so that the shares come out right
    leaks.leave_out_repeated(outcome)
    units = _units(outcome)
    for source in sorted(set(outcome.cells["source"])):
        _divide_source(outcome, source, units, settings)
    leaks.leave_out_crossing(outcome)
    _warn_of_missing_classes(outcome)
    return outcome


def check(outcome: Outcome, settings: params.Split) -> None:
    """Refuse a division that must not go on.

    Raises:
        UserError: copies lie across splits where split.duplicates is stop, a class has no
            training cells, or there is no validation cell.
    """
    if settings.duplicates == "stop" and outcome.crossing:
        link, path = outcome.links[min(outcome.crossing)], outcome.cells["path"]
        raise UserError(
            f"split.duplicates is stop and {len(outcome.crossing)} pairs of copies lie across"
            f" splits, such as {path[link.a]} and {path[link.b]}; see data/split/duplicates.csv,"
            " then remove the copies or set split.duplicates: drop."
        )
    if outcome.reason and all(why.startswith("unreadable: ") for why in outcome.reason):
        raise UserError(
            f"Pictures were expected, but none of the {len(outcome.reason)} files can be read"
            f" ({outcome.cells['path'][0]}: {outcome.reason[0].removeprefix('unreadable: ')}); open"
            " one in an image viewer, and bring the files anew."
        )
    lacking = _lacking(outcome, "train")
    if lacking:
        raise UserError(
            f"Training has no {' and no '.join(lacking)}, but every class needs training cells;"
            " add some to data.sources (data/split/report.md shows where the cells went)."
        )
    if "val" not in outcome.split:
        raise UserError(
            "Validation has no cells, because no smear could be spared from training; add smears,"
            f" or raise split.max_group_share (now {settings.max_group_share:g})."
        )


def _official(cells: pd.DataFrame, reason: list[str]) -> Outcome:
    """The parts that roles and publishers fix; all other cells are on the side of training."""
    for column, known in (("label", CLASSES), ("official_split", ("", "train", *TESTS))):
        for word in sorted(set(cells[column]) - set(known)):
            path = cells["path"][cells[column] == word].iloc[0]
            raise UserError(
                f"The {column.replace('_', ' ')} of {path} is {word!r}; expected one of"
                f" {', '.join(name or 'nothing' for name in known)}; bring data/raw back with"
                " `dvc checkout`, or mend the source and run `dvc repro`."
            )
    external = cells["role"] == "external"
    tested = (cells["role"] == "auto") & cells["official_split"].isin(TESTS)
    side = np.where(external, cells["source"], np.where(tested, cells["official_split"], "train"))
    return Outcome(cells, [str(name) for name in side], (external | tested).tolist(), reason)


def _units(outcome: Outcome) -> NDArray[np.int64]:
    """(n,) cells that the division keeps together: a smear, and copies of cells without one.

    Copies in two smears do not join the smears: a few would tie all smears into one. Should they
    come to lie across splits, the training-side copy is left out.
    """
    cells = outcome.cells
    first: dict[tuple[str, str], int] = {}
    unit = list(range(len(cells)))
    for cell, smear in enumerate(zip(cells["source"], cells["group"], strict=True)):
        unit[cell] = first.setdefault(smear, cell) if smear[1] else cell
    named = {unit[cell] for cell, smear in enumerate(cells["group"]) if smear}

    def root(cell: int) -> int:
        while unit[cell] != cell:
            cell = unit[cell]
        return cell

    for link in outcome.links:
        same_source = cells["source"][link.a] == cells["source"][link.b]
        a, b = sorted((root(link.a), root(link.b)), key=lambda cell: (cell not in named, cell))
        if outcome.stays(link) and same_source and a != b and b not in named:
            unit[b] = a
    return np.array([root(cell) for cell in range(len(cells))], np.int64)


def _divide_source(
    outcome: Outcome, source: str, units: NDArray[np.int64], settings: params.Split
) -> None:
    """Take test (where the source has none of its own) and validation out of its training cells."""
    cells = outcome.cells
    of_source = (cells["source"] == source).to_numpy()
    free = ~np.array(outcome.given, bool) & np.array([not reason for reason in outcome.reason])
    pool = np.flatnonzero(of_source & free)
    if not len(pool):
        return
    official = cells["official_split"][of_source].isin(TESTS).any()
    if cells["role"][pool[0]] == "auto" and not official:
        pool = _take(outcome, pool, units, "test", settings.test_share, settings)
    _take(outcome, pool, units, "val", settings.val_share, settings)


def _take(
    outcome: Outcome,
    pool: NDArray[np.int64],
    units: NDArray[np.int64],
    split: str,
    share: float,
    settings: params.Split,
) -> NDArray[np.int64]:
    """Move about `share` of the cells numbered in `pool` to `split`; returns the others."""
    source, smear = outcome.cells["source"][pool[0]], outcome.cells["group"].to_numpy()[pool]
    _, unit = np.unique(units[pool], return_inverse=True)
    labels = outcome.cells["label"].map(CLASSES.index).to_numpy()[pool]
    counts = np.zeros((unit.max() + 1, len(CLASSES)), np.int64)
    np.add.at(counts, (unit, labels), 1)
    part = counts / np.maximum(counts.sum(axis=0), 1)
    stays = (part.max(axis=1) > settings.max_group_share) & (np.bincount(unit, smear != "") > 0)
    for number in np.flatnonzero(stays):
        name, worst = smear[(unit == number) & (smear != "")][0], int(part[number].argmax())
        outcome.notes.append(
            f"Smear {name} of {source} holds {part[number, worst]:.0%} of the {CLASSES[worst]}s"
            f" that {split} could be taken from, so it stays in training."
        )
    entropy = [settings.seed, zlib.crc32(f"{source}/{split}".encode())]
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    held = hold_out(unit, labels, share, stays, seed)
    for cell in pool[held]:
        outcome.side[cell] = split
    return pool[~held]


def _lacking(outcome: Outcome, split: str) -> list[str]:
    there = {
        label
        for label, name in zip(outcome.cells["label"], outcome.split, strict=True)
        if name == split
    }
    return [name for name in CLASSES if name not in there]


def _warn_of_missing_classes(outcome: Outcome) -> None:
    """One sentence for every split made here that lacks a class."""
    made = {side for side, given in zip(outcome.side, outcome.given, strict=True) if not given}
    for split in sorted({"train", "val"} | made):
        lacking = _lacking(outcome, split)
        if lacking and split in ("train", "val"):
            meaning = {"train": "cannot be learnt", "val": "without a say in choosing the epoch"}
            outcome.warnings.append(f"{split} has no {', no '.join(lacking)}: {meaning[split]}.")
        elif lacking:
            outcome.warnings.append(f"{split} has no {', no '.join(lacking)}.")
    for warning in outcome.warnings:
        log.warning("%s", warning)
