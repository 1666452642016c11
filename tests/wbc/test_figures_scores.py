"""The figures of the curves say what metrics.json says, also for sets without curves."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from wbc import figures, figures_scores
from wbc.evaluation import Evaluation, curve_tables
from wbc.intervals import Judged
from wbc.scoring import set_scores


def evaluation(labels: list[int]) -> Evaluation:
    truth = np.array(labels)
    draw = np.random.default_rng(4)
    logits = draw.normal(0, 1, (len(truth), 5)) + 2 * np.eye(5)[truth]
    sharp, plain = (np.exp(logits * factor) for factor in (1.5, 1))
    sharp, plain = (each / each.sum(axis=1, keepdims=True) for each in (sharp, plain))
    judged = Judged(truth, logits.argmax(axis=1), plain, sharp)
    metrics = {"val": set_scores(judged, pd.DataFrame({"group": [""] * len(truth)}))}
    return Evaluation(metrics, pd.DataFrame(), {}, {"val": judged})


def drawn(made: Evaluation) -> dict[str, Figure]:
    tables, scores = curve_tables(made), made.metrics["val"]
    return {
        "roc": figures_scores.roc_and_pr(tables, scores, "val", "resnet18"),
        "reliability": figures_scores.reliability(tables["reliability"], scores, "val", "resnet18"),
        "risk": figures_scores.risk_coverage(tables["risk_coverage"], made.metrics, "resnet18"),
    }


def words(figure: Figure) -> str:
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    found = [t.get_text() for legend in (*legends, *figure.legends) for t in legend.get_texts()]
    found += [axes.get_title() for axes in figure.axes]
    found += [text.get_text() for axes in figure.axes for text in axes.texts]
    return "|".join([figure.get_suptitle(), *found])


def test_figures_carry_the_numbers_of_metrics_json() -> None:
    made = evaluation([0] * 60 + [1] * 40 + [2] * 20 + [3] * 10 + [4] * 5)
    scores: dict[str, Any] = made.metrics["val"]
    found = {name: words(figure) for name, figure in drawn(made).items()}
    for name, area in scores["auroc"].items():
        assert f"{name} {area['value']:.3f}" in found["roc"]
    for score in ("ece", "ece_uncalibrated"):
        assert (
            f"ECE {scores[score]['value']:.3f} ({scores[score]['low']:.3f}"
            in (found["reliability"])
        )
    assert f"Validation set, area {scores['aurc']['value']:.4f}" in found["risk"]


def test_precision_is_drawn_so_that_the_area_is_the_average_precision() -> None:
    made = evaluation([0] * 20 + [1] * 10 + [2] * 5)
    lines = drawn(made)["roc"].axes[1].get_lines()
    areas = made.metrics["val"]["average_precision"]
    assert len(lines) == len(areas) == 3
    for line, area in zip(lines, areas.values(), strict=True):
        assert line.get_drawstyle() == "steps-post"
        recall, precision = line.get_data()
        assert recall[-1] == 0
        assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(area["value"])


@pytest.mark.parametrize("labels", [[2, 2, 2], [3], [0, 1]])
def test_small_and_one_sided_sets_are_drawn_too(labels: list[int], tmp_path: Path) -> None:
    for name, figure in drawn(evaluation(labels)).items():
        figures.save(figure, tmp_path / f"{name}.png")
    if len(set(labels)) == 1:
        assert "nothing to tell apart" in words(drawn(evaluation(labels))["roc"])


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for copy in ("a", "b"):
        for name, figure in drawn(evaluation([0, 1, 2, 3, 4] * 9)).items():
            figures.save(figure, tmp_path / f"{name}-{copy}.png")
    for name in ("roc", "reliability", "risk"):
        pictures = [(tmp_path / f"{name}-{copy}.png").read_bytes() for copy in ("a", "b")]
        assert pictures[0] == pictures[1]
