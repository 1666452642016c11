"""Divisions of many random tables keep their promises."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wbc import splits
from wbc.cells import CLASSES, COLUMNS
from wbc.duplicates import Copies
from wbc.errors import UserError
from wbc.leaks import Outcome
from wbc.params import Split

SHARES = (0.57, 0.24, 0.07, 0.06, 0.06)


def settings(**changes: Any) -> Split:
    values = {
        "seed": 1,
        "val_share": 0.15,
        "test_share": 0.2,
        "max_group_share": 0.3,
        "duplicates": "drop",
        "near_duplicate_bits": 10,
    }
    return Split(**{**values, **changes})


def source(
    random: np.random.Generator,
    name: str,
    num_cells: int,
    num_smears: int,
    role: str = "auto",
    official: tuple[str, ...] = ("",),
    loose_share: float = 0.0,
) -> pd.DataFrame:
    smears = random.integers(0, num_smears, num_cells)
    loose = random.random(num_cells) < loose_share
    return pd.DataFrame(
        {
            "path": [f"{name}/{number:05d}.jpg" for number in range(num_cells)],
            "label": random.choice(CLASSES, num_cells, p=SHARES),
            "group": np.where(loose, "", [f"s{smear}" for smear in smears]),
            "source": name,
            "role": role,
            "official_split": random.choice(official, num_cells),
            "sha256": "",
            "width": 1,
            "height": 1,
            "mask": "",
        }
    )[list(COLUMNS)]


def even_cells(num_cells: int, num_smears: int, of: int = 5) -> pd.DataFrame:
    """Cells of the first `of` classes in turn, smear after smear, all alike."""
    cells = source(np.random.default_rng(0), "own", num_cells, 1)
    group = [f"s{number * num_smears // num_cells}" for number in range(num_cells)]
    return cells.assign(label=[CLASSES[n % of] for n in range(num_cells)], group=group)


def no_copies(cells: pd.DataFrame) -> Copies:
    return Copies(np.arange(len(cells)), np.zeros((0, 3), np.int64))


def divide(cells: pd.DataFrame, **changes: Any) -> Outcome:
    return splits.assign(cells, no_copies(cells), [""] * len(cells), settings(**changes))


def random_cells(seed: int) -> pd.DataFrame:
    """Four laboratories: one to be divided, one with tests, one for training, one outside."""
    random = np.random.default_rng(seed)
    size = int(random.integers(5, 400))
    parts = [
        source(random, "own", size, int(random.integers(1, 60)), loose_share=random.random() / 2),
        source(random, "raabin", size, 20, official=("train", "test_a", "test_b")),
        source(random, "extra", size, 10, role="train", official=("train", "test", "")),
        source(random, "outside", size, 5, role="external", official=("", "test_a", "train")),
    ]
    return pd.concat(parts).sample(frac=1, random_state=seed)


@pytest.mark.parametrize("seed", range(25))
def test_smears_and_official_parts_stay_whole(seed: int) -> None:
    table = divide(random_cells(seed), seed=seed).table
    assert list(table.columns) == [*COLUMNS, "split", "reason"]
    assert (table["split"] != "").all() and (table["reason"] == "").all()
    made = table[~table["split"].isin(["test_a", "test_b", "outside"]) & (table["group"] != "")]
    assert made.groupby(["source", "group"])["split"].nunique().max() == 1
    raabin = table[table["source"] == "raabin"]
    for part in ("test_a", "test_b"):
        assert ((raabin["official_split"] == part) == (raabin["split"] == part)).all()
    assert set(raabin["split"][raabin["official_split"] == "train"]) <= {"train", "val"}
    assert set(table["split"][table["source"] == "extra"]) <= {"train", "val"}
    assert ((table["source"] == "outside") == (table["split"] == "outside")).all()
    assert set(table["split"][table["source"] == "own"]) <= {"train", "val", "test"}


@pytest.mark.parametrize("loose_share", [0.0, 0.5, 1.0])
def test_class_shares_come_near(loose_share: float) -> None:
    for seed in range(10):
        random = np.random.default_rng(seed)
        table = divide(source(random, "own", 2000, 40, loose_share=loose_share), seed=seed).table
        of_label = table.groupby("label")["split"]
        test = of_label.apply(lambda split: (split == "test").mean())
        val = of_label.apply(lambda split: (split == "val").sum() / (split != "test").sum())
        assert np.abs(test - 0.2).max() < 0.07 and np.abs(val - 0.15).max() < 0.06
        assert np.abs(test - 0.2).mean() < 0.04 and np.abs(val - 0.15).mean() < 0.04


def test_order_of_rows_and_other_sources_change_nothing() -> None:
    random = np.random.default_rng(3)
    own, other = source(random, "own", 300, 15), source(random, "other", 200, 9)
    alone = divide(own).table
    together = divide(pd.concat([other, own]).sample(frac=1, random_state=5)).table
    pd.testing.assert_frame_equal(
        alone, together[together["source"] == "own"].reset_index(drop=True)
    )


@pytest.mark.parametrize("loose_share", [0.0, 1.0])
def test_another_seed_gives_another_division(loose_share: float) -> None:
    cells = source(np.random.default_rng(4), "own", 500, 14, loose_share=loose_share)
    divisions = {tuple(divide(cells, seed=seed).split) for seed in range(10)}
    assert len(divisions) >= 8
    assert divide(cells, seed=2).split == divide(cells, seed=2).split


def test_dominating_smear_stays_in_training() -> None:
    for seed in range(10):
        cells = source(np.random.default_rng(seed), "own", 600, 20)
        eosinophils = cells.index[cells["label"] == "eosinophil"]
        cells.loc[eosinophils[: len(eosinophils) // 2], "group"] = "big"
        outcome = divide(cells, seed=seed)
        assert set(outcome.table["split"][outcome.table["group"] == "big"]) == {"train"}
        assert any("Smear big of own" in note and "eosinophil" in note for note in outcome.notes)


def test_class_of_one_smear_trains_and_is_missed_in_one_sentence() -> None:
    cells = source(np.random.default_rng(1), "own", 400, 20)
    cells.loc[cells["label"] == "basophil", "group"] = "only"
    outcome = divide(cells)
    basophils = outcome.table[outcome.table["label"] == "basophil"]
    assert set(basophils["split"]) == {"train"}
    assert [warning for warning in outcome.warnings if "no basophil" in warning] == [
        "test has no basophil.",
        "val has no basophil: without a say in choosing the epoch.",
    ]
    splits.check(outcome, settings())


def test_the_only_cell_of_a_class_is_spoken_of_by_its_smear() -> None:
    """With a copy that has no smear and comes first, and without."""
    cells = even_cells(100, 10, of=4)
    cells.loc[99, ["label", "group"]] = "basophil", "only"
    alone = divide(cells)
    cells.loc[0, ["label", "group"]] = "basophil", ""
    copies = Copies(np.arange(100), np.array([(0, 99, 4)]))
    for outcome in (alone, splits.assign(cells, copies, [""] * 100, settings())):
        assert outcome.notes == [
            "Smear only of own holds 100% of the basophils that test could be taken from, so it"
            " stays in training.",
            "Smear only of own holds 100% of the basophils that val could be taken from, so it"
            " stays in training.",
        ]
        assert "basophil" in set(outcome.table["label"][outcome.table["split"] == "train"])


def test_a_smear_with_just_the_share_that_is_allowed_can_be_held_out() -> None:
    cells = even_cells(80, 4).assign(role="train")
    outcome = divide(cells, max_group_share=0.25)
    assert set(outcome.split) == {"train", "val"} and not outcome.notes
    stays = divide(cells, max_group_share=0.24)
    assert set(stays.split) == {"train"} and len(stays.notes) == 4


def test_classes_that_training_lacks_are_warned_of_and_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcome = divide(even_cells(100, 10, of=3))
    assert outcome.warnings == [
        "test has no eosinophil, no basophil.",
        "train has no eosinophil, no basophil: cannot be learnt.",
        "val has no eosinophil, no basophil: without a say in choosing the epoch.",
    ]
    assert caplog.messages == outcome.warnings
    with pytest.raises(
        UserError,
        match="Training has no eosinophil and no basophil, but every class needs training cells;"
        r" add some to data\.sources \(data/split/report\.md shows",
    ):
        splits.check(outcome, settings())


def test_pictures_that_all_cannot_be_read_are_refused_with_the_first_reason() -> None:
    cells = even_cells(4, 2)
    copies = Copies(np.full(4, -1), np.zeros((0, 3), np.int64))
    unreadable = ["an empty file", "cut off", "cut off", "no picture"]
    with pytest.raises(
        UserError,
        match=r"none of the 4 files can be read \(own/00000\.jpg: an empty file\); open one in an"
        " image viewer, and bring the files anew",
    ):
        splits.check(splits.assign(cells, copies, unreadable, settings()), settings())
    some = splits.assign(cells, copies, ["", *unreadable[1:]], settings())
    with pytest.raises(UserError, match="Training has no"):
        splits.check(some, settings())


def test_one_single_smear_is_refused() -> None:
    outcome = divide(source(np.random.default_rng(1), "own", 200, 1))
    assert set(outcome.split) == {"train"}
    with pytest.raises(
        UserError,
        match="^Validation has no cells, because no smear .*; add smears, or raise"
        r" split\.max_group_share \(now 0\.3\)",
    ):
        splits.check(outcome, settings())


def test_every_class_reaches_training_and_then_validation() -> None:
    """However rare: with two loose cells or more, each class has one on either side."""
    for seed in range(30):
        random = np.random.default_rng(seed)
        cells = source(random, "own", int(random.integers(1, 40)), 3, "train", loose_share=1.0)
        table = divide(cells, seed=seed).table
        for _, there in table.groupby("label")["split"]:
            assert "train" in set(there) and ("val" in set(there)) == (len(there) > 1)


def test_loose_copies_stay_together_and_smears_are_not_tied() -> None:
    cells = source(np.random.default_rng(1), "own", 200, 10, loose_share=0.5)
    loose = np.flatnonzero(cells["group"] == "")
    smears = np.flatnonzero(cells["group"] != "")
    near = [(a, b, 4) for a, b in zip(loose[::2], loose[1::2], strict=False)]
    near += [(a, b, 4) for a, b in pairwise(smears)]
    near += [(loose[0], smear, 4) for smear in smears]
    copies = Copies(np.arange(200), np.array(near))
    outcome = splits.assign(cells, copies, [""] * 200, settings())
    for a, b in zip(loose[2::2], loose[3::2], strict=False):
        assert outcome.side[a] == outcome.side[b] and not outcome.reason[a] + outcome.reason[b]
    assert {outcome.side[cell] for cell in smears} == {"train", "val", "test"}
    for a, b, _ in near:
        assert not outcome.split[a] or not outcome.split[b] or outcome.side[a] == outcome.side[b]


def test_a_loose_copy_goes_with_the_smear_of_its_picture() -> None:
    """Also where it comes before the smear's first cell."""
    cells = even_cells(240, 10)
    cells.loc[[*range(48), *range(192, 240)], "group"] = ""
    near = [(loose, 48 + loose, 4) for loose in range(48)]
    near += [(48 + cell, 192 + cell, 4) for cell in range(48)]
    copies = Copies(np.arange(240), np.array(near))
    outcome = splits.assign(cells, copies, [""] * 240, settings())
    assert set(outcome.split) == {"train", "val", "test"}
    assert all(outcome.side[a] == outcome.side[b] for a, b, _ in near)


@pytest.mark.parametrize(
    ("column", "value"), [("official_split", "holdout"), ("label", "erythroblast")]
)
def test_unknown_words_are_named(column: str, value: str) -> None:
    cells = source(np.random.default_rng(1), "own", 20, 3)
    cells.loc[7, column] = value
    known = {"official_split": "nothing, train, test, test_a", "label": "neutrophil, lymphocyte"}
    with pytest.raises(
        UserError,
        match=f"The {column.replace('_', ' ')} of own/00007.jpg is '{value}'; expected one of"
        f" {known[column]}, .*; bring data/raw back with `dvc checkout`, or mend the source and"
        " run `dvc repro`",
    ):
        divide(cells)
