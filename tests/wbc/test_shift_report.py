"""wbc.shift_report: the table of shifts and the sentences for the report's banner."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.wbc.stores import make_store
from wbc import figures, figures_shift, shift_report
from wbc.cells import CLASSES
from wbc.pixels import PixelStore
from wbc.shift_report import Study

SETS = ("val", "test", "abroad")
HIT_RATES = {"val": 0.98, "test": 0.95, "abroad": 0.6}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    folder = tmp_path_factory.mktemp("pixels")
    return make_store(folder, {"train": 12, "val": 20, "test": 20, "abroad": 20})


def features(num_cells: int, seed: int, centre: float = 0.0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(1.0, 0.3, (num_cells, 32))
    found[:, :16] += centre
    return found.astype(np.float32)


def predictions(store: PixelStore) -> pd.DataFrame:
    """Decisions that are right as HIT_RATES says, all with 95 % confidence."""
    tables = []
    rng = np.random.default_rng(3)
    for name in SETS:
        cells = store.part(name).table
        labels = cells["label"].to_numpy()
        right = rng.permutation(np.arange(len(cells)) < HIT_RATES[name] * len(cells))
        following = dict(zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True))
        decided = np.where(right, labels, [following[label] for label in labels])
        table = pd.DataFrame({"path": cells["path"], "set": name, "group": "", "label": labels,
                              "predicted": decided})  # fmt: skip
        for label in CLASSES:
            table[f"p_{label}"] = np.where(decided == label, 0.95, 0.0125)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def found(store: PixelStore) -> Study:
    own = {"val": features(100, 1), "test": features(100, 2), "abroad": features(100, 4, 4.0)}
    metrics = {"abroad": {"ece": {"value": 0.35, "low": 0.3, "high": 0.4}, "ece_uncalibrated": 0.4}}
    cells = shift_report.reference_cells(store)
    assert len(cells) == 60
    return shift_report.study(
        store, features(60, 5), own, predictions(store), metrics, external=["abroad"]
    )


def test_there_is_one_row_a_set(found: Study) -> None:
    table = found.table.set_index("set")
    assert list(table.index) == list(SETS)
    assert table["verdict"].tolist() == ["in domain", "in domain", "out of domain"]
    assert table["external"].tolist() == [False, False, True]
    abroad = table.loc["abroad"]
    assert abroad["reference"] == "test" and abroad["fall"] == pytest.approx(0.35)
    assert abroad["fall_low"] < 0.35 < abroad["fall_high"] and abroad["fall_low"] > 0.2
    assert abroad["overconfidence"] == pytest.approx(0.35)
    assert abroad["ece"] == 0.35 and abroad["ece_uncalibrated"] == 0.4
    assert table.loc["val", "fall"] is None or pd.isna(table.loc["val", "fall"])


def test_the_interval_of_the_fall_is_that_of_two_independent_samples(store: PixelStore) -> None:
    cells = pd.concat([predictions(store)] * 10, ignore_index=True)
    cells["path"] = [f"{i}.png" for i in range(len(cells))]
    fall = shift_report.fall_of("test", cells, "abroad")
    right = cells["label"] == cells["predicted"]
    variance = 0.0
    for name in ("test", "abroad"):
        recalls = right[cells["set"] == name].groupby(cells["label"]).mean()
        variance += float((recalls * (1 - recalls) / 200).sum()) / 25
    assert (fall.high - fall.low) == pytest.approx(2 * 1.96 * variance**0.5, rel=0.1)


def test_sets_are_held_against_each_other_over_the_classes_that_both_have(
    store: PixelStore,
) -> None:
    cells = predictions(store)
    missing = (cells["set"] == "abroad") & (cells["label"] == "basophil")
    fall = shift_report.fall_of("test", cells[~missing], "abroad")
    assert fall.classes == CLASSES[:4]


def test_the_banner_says_what_must_not_be_overlooked(found: Study) -> None:
    assert set(found.banners) == {"abroad"}
    words = found.banners["abroad"]
    assert words.startswith("abroad is OUT OF DOMAIN: 100% of its 100 cells")
    assert "Balanced accuracy falls by 0.350" in words
    assert "95% sure on average, right in 60%" in words


def test_differences_are_named_by_what_they_mean() -> None:
    table = pd.DataFrame(
        {
            "statistic": ["sharpness", "azure", "contrast", "eosin"],
            "difference": [-3.0, 0.5, 1.0, 4.25],
        }
    )
    assert shift_report.notable(table) == [
        "eosin dye, optical density (more eosin, 4.2 SD)",
        "sharpness: log Laplacian variance (more blurred, 3.0 SD)",
        "whole square: contrast (harder, 1.0 SD)",
    ]


def test_without_a_test_set_validation_is_the_measure() -> None:
    assert shift_report.reference_set(["val"]) == "val"
    assert shift_report.reference_set(["val", "test_a", "test_b"]) == "test_a"


def test_figures_have_the_same_bytes_twice(found: Study, tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        shares = dict(zip(found.table["set"], found.table["share_far"], strict=True))
        figure = figures_shift.distance_distributions(
            found.distances, found.reference.limit, shares, "squeezenet1_1"
        )
        figures.save(figure, tmp_path / "distance" / name)
        figure = figures_shift.picture_differences(found.statistics, ["test", "abroad"])
        figures.save(figure, tmp_path / "pictures" / name)
    for folder in ("distance", "pictures"):
        first, second = sorted((tmp_path / folder).iterdir())
        assert first.read_bytes() == second.read_bytes()
