"""wbc.shift_report: the table of shifts and the sentences for the report's banner."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.wbc.stores import make_store
from wbc import figures, figures_shift, shift_report
from wbc.cells import CLASSES
from wbc.evaluation import Evaluation
from wbc.intervals import Judged
from wbc.model import Outputs
from wbc.pixels import PixelStore
from wbc.reference import make_reference
from wbc.scoring import set_scores
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


def make_evaluation(store: PixelStore) -> Evaluation:
    """Decisions that are right as HIT_RATES says, all with 95 % confidence."""
    rng = np.random.default_rng(3)
    clouds = {"val": features(100, 1), "test": features(100, 2), "abroad": features(100, 4, 4.0)}
    judged, outputs, metrics = {}, {}, {}
    for name in SETS:
        part = store.part(name)
        labels = part.labels
        right = rng.permutation(np.arange(len(part)) < HIT_RATES[name] * len(part))
        decided = np.where(right, labels, (labels + 1) % 5)
        probabilities = np.where(np.eye(5)[decided] == 1, 0.95, 0.0125)
        judged[name] = Judged(labels, decided, probabilities, probabilities)
        outputs[name] = Outputs(np.log(probabilities), clouds[name])
        metrics[name] = set_scores(judged[name], part.table)
    return Evaluation(metrics, pd.DataFrame(), outputs, judged)


@pytest.fixture(scope="module")
def evaluation(store: PixelStore) -> Evaluation:
    return make_evaluation(store)


@pytest.fixture(scope="module")
def found(store: PixelStore, evaluation: Evaluation) -> Study:
    val = evaluation.outputs["val"]
    reference = make_reference(features(60, 5), val.features, val.logits, {})
    return shift_report.study(store, reference, evaluation, external=["abroad"])


def test_there_is_one_row_a_set(found: Study) -> None:
    table = found.table.set_index("set")
    assert list(table.index) == list(SETS)
    assert table["verdict"].tolist() == ["in domain", "in domain", "out of domain"]
    assert table["external"].tolist() == [False, False, True]
    abroad = table.loc["abroad"]
    assert abroad["reference"] == "test" and abroad["fall"] == pytest.approx(0.35)
    assert abroad["fall_low"] < 0.35 < abroad["fall_high"] and abroad["fall_low"] > 0.2
    assert abroad["overconfidence"] == pytest.approx(0.35)
    assert abroad["ece"] == pytest.approx(0.35) == abroad["ece_uncalibrated"]
    assert abroad["kept_cells"] == 80 and abroad["kept_errors"] + abroad["refused_errors"] == 40
    assert abroad["after_all"] == pytest.approx(abroad["after"])
    assert table.loc["val", "fall"] is None or pd.isna(table.loc["val", "fall"])


def test_the_interval_of_the_fall_follows_from_both_sets(
    found: Study, evaluation: Evaluation
) -> None:
    """MOVER, by hand: each side adds the squares of the two sets' own distances to their limits."""
    test, abroad = (evaluation.metrics[name]["balanced_accuracy"] for name in ("test", "abroad"))
    down = ((test["value"] - test["low"]) ** 2 + (abroad["high"] - abroad["value"]) ** 2) ** 0.5
    up = ((test["high"] - test["value"]) ** 2 + (abroad["value"] - abroad["low"]) ** 2) ** 0.5
    row = found.table.set_index("set").loc["abroad"]
    assert row["fall_low"] == pytest.approx(row["fall"] - down)
    assert row["fall_high"] == pytest.approx(row["fall"] + up)


def test_sets_are_held_against_each_other_over_the_classes_that_both_have(
    store: PixelStore, evaluation: Evaluation
) -> None:
    judged = evaluation.judged["abroad"]
    kept = judged.labels != 4
    fewer = Judged(judged.labels[kept], judged.decisions[kept], *[judged.calibrated[kept]] * 2)
    poorer = dataclasses.replace(evaluation, judged=evaluation.judged | {"abroad": fewer})
    missing = (store.table["split"] == "abroad") & (store.table["label"] == CLASSES[4])
    smaller = dataclasses.replace(store, table=store.table[~missing])
    fall = shift_report.fall_of(smaller, poorer, "test", "abroad")
    assert fall is not None
    assert fall.classes == CLASSES[:4]
    test = evaluation.judged["test"]
    recalls = [test.right[test.labels == k].mean() for k in range(4)]
    assert fall.before == pytest.approx(np.mean(recalls))


def test_sets_that_share_no_class_have_no_fall(store: PixelStore, evaluation: Evaluation) -> None:
    judged = {}
    for name, kept in (("test", [0, 1]), ("abroad", [2, 3, 4])):
        one = evaluation.judged[name]
        rows = np.isin(one.labels, kept)
        judged[name] = Judged(one.labels[rows], one.decisions[rows], *[one.calibrated[rows]] * 2)
    apart = dataclasses.replace(evaluation, judged=evaluation.judged | judged)
    assert shift_report.fall_of(store, apart, "test", "abroad") is None


def test_the_banner_says_what_must_not_be_overlooked(found: Study) -> None:
    assert set(found.banners) == {"abroad"}
    words = found.banners["abroad"]
    assert words.startswith("abroad is OUT OF DOMAIN: 100\u00a0% of its 100 cells")
    assert "Balanced accuracy falls by 0.350" in words
    assert "95\u00a0% sure on average, right in 60\u00a0%" in words


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
        figure = figures_shift.distance_distributions(found.distances, 0.5, shares, "squeezenet1_1")
        figures.save(figure, tmp_path / "distance" / name)
        figure = figures_shift.picture_differences(found.statistics, ["test", "abroad"])
        figures.save(figure, tmp_path / "pictures" / name)
    for folder in ("distance", "pictures"):
        first, second = sorted((tmp_path / folder).iterdir())
        assert first.read_bytes() == second.read_bytes()
