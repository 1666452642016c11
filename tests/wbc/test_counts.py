"""Differentials: the tables laboratories know, and what adjusted counting promises."""

import numpy as np
import pandas as pd
import pytest

from tests.wbc.decisions import predictions
from tests.wbc.test_adjusted_counts import MIXED_UP, PERFECT
from wbc import counts
from wbc.cells import CLASSES


def table(numbers: list[int]) -> pd.DataFrame:
    """So many cells of each type, all named right."""
    types = np.repeat(np.arange(5), numbers).tolist()
    return predictions(types, types, [0.9] * len(types))


@pytest.mark.parametrize(
    ("counted", "num_cells", "low", "high"),
    [
        (5, 100, 1.6, 11.3),
        (10, 200, 2.4, 9.0),
        (20, 400, 3.1, 7.6),
        (240, 400, 55.0, 64.8),
        (0, 100, 0.0, 3.6),
        (100, 100, 96.4, 100.0),
    ],
)
def test_intervals_are_those_of_rumkes_table(
    counted: int, num_cells: int, low: float, high: float
) -> None:
    ends = counts.rumke(np.array([counted]), num_cells)
    assert [round(float(end[0]), 1) for end in ends] == [low, high]


def test_cells_are_counted_by_probability_and_not_by_the_adjusted_decision() -> None:
    rows = table([3, 0, 0, 0, 0]).assign(predicted="basophil")
    assert counts.types(rows).tolist() == [0, 0, 0]
    assert counts.differential(rows, None)["counted"].tolist() == [3, 0, 0, 0, 0]


def test_weights_of_the_loss_are_taken_back_before_counting() -> None:
    rows = predictions([0] * 4, [0, 4, 4, 4], [0.9, 0.6, 0.9, 0.999]).fillna(0)
    rows["p_neutrophil"] = [0.9, 0.4, 0.1, 0.001]
    training = np.repeat(np.arange(5), [610, 240, 70, 55, 25])
    assert counts.types(rows).tolist() == [0, 4, 4, 4]
    mixed = counts.in_training_mix(rows, training)
    # odds of 25 to 610: a basophil must be 24 times as likely as a neutrophil
    assert counts.types(mixed).tolist() == [0, 0, 0, 4]
    assert mixed["p_basophil"].iloc[2] == pytest.approx(0.9 * 25 / (0.9 * 25 + 0.1 * 610))


def test_smears_of_equal_names_in_two_laboratories_are_two() -> None:
    labels, decisions = [0] * 200, [0] * 150 + [1] * 50
    rows = predictions(labels, decisions, [0.9] * 200).assign(
        group=[f"smear {i // 50 % 2}" for i in range(200)]
    )
    laboratory = np.repeat(["a/", "b/"], 100)
    apart = counts.bias(rows.assign(path=laboratory + rows["path"]))
    named = counts.bias(rows.assign(group=[f"smear {i // 50}" for i in range(200)]))
    pd.testing.assert_frame_equal(apart, named)


def test_a_differential_needs_no_labels() -> None:
    rows = table([70, 20, 5, 4, 1]).drop(columns=["label", "predicted"])
    found = counts.differential(rows, PERFECT)
    assert found["percent"].tolist() == [70, 20, 5, 4, 1]
    assert found["class"].tolist() == list(CLASSES) and set(found["n"]) == {100}
    assert (found["adjusted_low"] <= found["adjusted"]).all()
    assert (found["adjusted"] <= found["adjusted_high"]).all()


@pytest.mark.parametrize(
    ("num_cells", "start"), [(99, "too few cells: 99"), (150, "few cells: 150"), (200, "")]
)
def test_too_few_cells_are_named(num_cells: int, start: str) -> None:
    assert counts.caution(num_cells).startswith(start)
    assert bool(counts.caution(num_cells)) == bool(start)


def test_no_cells_are_no_differential() -> None:
    with pytest.raises(ValueError, match="no cells"):
        counts.differential(table([0] * 5), None)


def test_cells_that_a_person_named_are_counted_as_named_and_not_adjusted() -> None:
    named = np.array([0, 0, 0, 40, 0])
    alone = counts.differential(table([0, 70, 30, 0, 0]), MIXED_UP)
    found = counts.differential(table([0, 70, 30, 0, 0]), MIXED_UP, reviewed=named)
    assert list(found["counted"]) == [0, 70, 30, 40, 0] and set(found["n"]) == {140}
    assert found["adjusted"].to_numpy() == pytest.approx(
        (alone["adjusted"] * 100 / 140 + 100 * named / 140).to_numpy(), abs=1e-4
    )
    low, high = counts.rumke(np.array([40]), 140)
    eosinophils = found.loc[3]
    assert eosinophils["adjusted_low"] == pytest.approx(low[0], abs=1)
    assert eosinophils["adjusted_high"] == pytest.approx(high[0], abs=1.5)


def test_a_slide_that_a_person_named_altogether_has_the_intervals_of_its_counts() -> None:
    named = np.array([60, 30, 5, 5, 0])
    found = counts.differential(table([0] * 5), MIXED_UP, reviewed=named)
    assert list(found["adjusted"]) == list(found["percent"]) == [60, 30, 5, 5, 0]
    low, high = counts.rumke(named, 100)
    assert found["adjusted_low"].to_numpy() == pytest.approx(low, abs=1)
    assert found["adjusted_high"].to_numpy() == pytest.approx(high, abs=2)


def test_bias_is_counted_less_true_with_the_interval_of_paired_proportions() -> None:
    labels, decisions = [0] * 90 + [1] * 10, [0] * 80 + [1] * 20
    found = counts.bias(predictions(labels, decisions, [0.9] * 100)).set_index("class")
    assert found["true_count"].tolist() == [90, 10, 0, 0, 0]
    assert found["bias_points"].tolist() == [-10, 10, 0, 0, 0]
    # Bonett & Price by hand: (11 - 1) / 102 ± 1.96 sqrt((12 / 102 - (10 / 102)²) / 102)
    assert found.loc["lymphocyte", "bias_low"] == pytest.approx(3.43, abs=0.02)
    assert found.loc["lymphocyte", "bias_high"] == pytest.approx(16.18, abs=0.02)
    assert found.loc["basophil", "bias_low"] < 0 < found.loc["basophil", "bias_high"]


def test_smears_that_err_together_widen_the_interval_of_the_bias() -> None:
    labels, decisions = [0] * 200, [0] * 150 + [1] * 50
    rows = predictions(labels, decisions, [0.9] * 200)
    alone = counts.bias(rows)
    together = counts.bias(rows.assign(group=[f"smear {i // 50}" for i in range(200)]))
    assert together["bias_high"][1] - together["bias_low"][1] > 50
    assert alone["bias_high"][1] - alone["bias_low"][1] < 15


def test_counts_of_all_sets_adjust_by_validation_and_never_by_themselves() -> None:
    sets = [table([20] * 5).assign(set=name) for name in ("val", "test", "elsewhere")]
    found = counts.counts_table(pd.concat(sets, ignore_index=True))
    assert ",".join(found.columns) == (
        "set,class,n,true_count,counted,percent,low,high,adjusted,adjusted_low,adjusted_high,"
        "bias_points,bias_low,bias_high"
    )
    assert found["set"].drop_duplicates().tolist() == ["val", "test", "elsewhere"]
    assert found.loc[found["set"] == "val", "adjusted"].isna().all()
    assert found.loc[found["set"] != "val", "adjusted"].notna().all()
    assert found.equals(counts.counts_table(pd.concat(sets, ignore_index=True)))
