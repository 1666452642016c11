"""Every rule for copies of one picture, on tables of a few cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wbc import splits
from wbc.cells import CLASSES
from wbc.duplicates import Copies
from wbc.errors import UserError
from wbc.leaks import Outcome
from wbc.params import Split

SETTINGS = Split(
    seed=1,
    val_share=0.2,
    test_share=0.2,
    max_group_share=1.0,
    duplicates="drop",
    near_duplicate_bits=10,
)


def cells(*planted: dict[str, Any]) -> pd.DataFrame:
    """The planted cells, then 100 loose training cells of source `base`."""
    base = [
        {"path": f"base/{number:03d}.jpg", "label": CLASSES[number % 5], "source": "base"}
        for number in range(100)
    ]
    defaults = {"label": "neutrophil", "group": "", "role": "auto", "official_split": ""}
    rows = [{**defaults, "source": row["path"].split("/")[0], **row} for row in [*planted, *base]]
    table = pd.DataFrame(rows).assign(sha256="", width=1, height=1, mask="")
    table.loc[table["source"] == "base", "role"] = "train"
    return table


def divide(
    table: pd.DataFrame,
    exact: Sequence[tuple[int, int]] = (),
    near: Sequence[tuple[int, int]] = (),
    settings: Split = SETTINGS,
) -> Outcome:
    picture = np.arange(len(table))
    for a, b in exact:
        picture[b] = picture[a]
    pairs = np.array([(a, b, 4) for a, b in near], np.int64).reshape(-1, 3)
    return splits.assign(table, Copies(picture, pairs), [""] * len(table), settings)


def fates(outcome: Outcome, table: pd.DataFrame) -> list[tuple[str, str]]:
    """Split and reason of the planted cells, in the order they were planted."""
    by_path = outcome.table.set_index("path")
    planted = by_path.loc[table["path"][:-100]]
    return list(zip(planted["split"], planted["reason"], strict=True))


TRAIN = {"path": "r/train.jpg", "official_split": "train"}
TEST_A = {"path": "r/test_a.jpg", "official_split": "test_a"}
TEST_B = {"path": "r/test_b.jpg", "official_split": "test_b"}
OUTSIDE = {"path": "zoo/cell.jpg", "role": "external"}


@pytest.mark.parametrize("kind", ["exact", "near"])
@pytest.mark.parametrize(("given", "split"), [(TEST_A, "test_a"), (OUTSIDE, "zoo")])
def test_training_copy_of_a_given_test_cell_goes(
    kind: str, given: dict[str, str], split: str
) -> None:
    table = cells(TRAIN, given)
    outcome = divide(table, **{kind: [(0, 1)]})
    assert fates(outcome, table) == [
        ("", f"{kind} copy of {given['path']} in {split}"),
        (split, ""),
    ]
    assert len(outcome.crossing) == 1


def test_copies_of_given_tests_go_before_the_shares_are_counted() -> None:
    own = [{"path": f"own/{n:03d}.jpg", "label": CLASSES[n % 5]} for n in range(200)]
    outside = [{"path": f"zoo/{n:03d}.jpg", "role": "external"} for n in range(100)]
    outcome = divide(cells(*own, *outside), near=[(n, 200 + n) for n in range(100)])
    of_own = [
        split
        for split, name in zip(outcome.split, outcome.cells["source"], strict=True)
        if name == "own"
    ]
    assert (of_own.count("test"), of_own.count("val"), of_own.count("train")) == (20, 15, 65)


def test_between_given_tests_both_stay() -> None:
    table = cells(TEST_A, TEST_B, OUTSIDE)
    outcome = divide(table, exact=[(0, 1)], near=[(0, 2)])
    assert fates(outcome, table) == [("test_a", ""), ("test_b", ""), ("zoo", "")]
    assert len(outcome.links) == 3 and not outcome.crossing


def test_copies_within_a_given_test_stay_and_within_training_one_stays() -> None:
    twin = {"path": "r/test_c.jpg", "official_split": "test_a"}
    table = cells(TEST_A, twin, TRAIN, {**TRAIN, "path": "r/zzz.jpg"})
    outcome = divide(table, exact=[(0, 1), (2, 3)])
    assert [split for split, _ in fates(outcome, table)][:2] == ["test_a", "test_a"]
    assert fates(outcome, table)[2][0] in ("train", "val")
    assert fates(outcome, table)[3] == ("", "exact copy of r/train.jpg, which stays")
    assert not outcome.crossing


def test_all_training_copies_of_a_test_picture_go_with_all_their_near_copies() -> None:
    table = cells(
        TRAIN, {**TRAIN, "path": "r/train2.jpg"}, {"path": "x/c.jpg", "role": "train"}, TEST_A
    )
    outcome = divide(table, exact=[(0, 1)], near=[(0, 2), (0, 3), (2, 3)])
    assert [split for split, _ in fates(outcome, table)] == ["", "", "", "test_a"]


def test_label_conflict_leaves_out_every_training_copy_and_keeps_tests() -> None:
    other = {**TRAIN, "path": "r/other.jpg", "label": "monocyte"}
    third = {**TRAIN, "path": "r/third.jpg"}
    table = cells(TRAIN, other, third)
    monocyte = "label conflict: the same pixels as r/other.jpg, a monocyte"
    assert fates(divide(table, exact=[(0, 1), (0, 2)]), table) == [
        ("", monocyte),
        ("", "label conflict: the same pixels as r/third.jpg, a neutrophil"),
        ("", monocyte),
    ]
    table = cells({**TEST_A, "label": "monocyte"}, TRAIN, TEST_B)
    outcome = divide(table, exact=[(0, 1), (0, 2)])
    assert [split for split, _ in fates(outcome, table)] == ["test_a", "", "test_b"]


def test_near_copies_across_sources_lose_the_training_side() -> None:
    """Wherever the two sources' divisions put them, no two stay on different sides."""
    extra = [{"path": f"own/{n:03d}.jpg", "label": CLASSES[n % 5]} for n in range(100)]
    table = cells(*extra)
    near = [(n, 100 + n) for n in range(100)]
    outcome = divide(table, near=near)
    rank = {"train": 0, "val": 1, "test": 2}
    assert outcome.crossing
    for link in outcome.links:
        a, b = outcome.side[link.a], outcome.side[link.b]
        if a == b:
            assert not outcome.reason[link.a] and not outcome.reason[link.b]
        else:
            kept = link.a if rank[a] > rank[b] else link.b
            lost = link.a + link.b - kept
            assert not outcome.reason[kept] and outcome.reason[lost].startswith("near copy of")


def test_near_copies_in_two_smears_never_stay_across_splits() -> None:
    for seed in range(10):
        smears = [
            {"path": f"own/{n:03d}.jpg", "label": CLASSES[n % 5], "group": f"s{n // 10}"}
            for n in range(200)
        ]
        near = [(n, 199 - n) for n in range(0, 100, 7)]
        seeded = Split(**{**vars(SETTINGS), "seed": seed})
        outcome = divide(cells(*smears), near=near, settings=seeded)
        for link in outcome.links:
            if outcome.stays(link):
                assert outcome.side[link.a] == outcome.side[link.b]


def test_stop_names_a_pair_and_the_report() -> None:
    stop = Split(**{**vars(SETTINGS), "duplicates": "stop"})
    table = cells(TRAIN, TEST_A)
    outcome = divide(table, near=[(0, 1)], settings=stop)
    with pytest.raises(
        UserError,
        match=r"1 pairs.*test_a\.jpg and r/train\.jpg.*duplicates\.csv, then remove the copies or"
        r" set split\.duplicates: drop",
    ):
        splits.check(outcome, stop)
    splits.check(outcome, SETTINGS)
    twins = divide(cells(TRAIN, {**TRAIN, "path": "r/zzz.jpg"}), exact=[(0, 1)], settings=stop)
    splits.check(twins, stop)


def test_unreadable_cells_are_left_out_everywhere() -> None:
    table = cells(TRAIN, TEST_A)
    unreadable = ["truncated", "empty file", *[""] * 100]
    copies = Copies(np.array([-1, -1, *range(2, 102)]), np.zeros((0, 3), np.int64))
    outcome = splits.assign(table, copies, unreadable, SETTINGS)
    assert fates(outcome, table) == [
        ("", "unreadable: truncated"),
        ("", "unreadable: empty file"),
    ]
    assert not outcome.links
