"""Scores of several seeds: mean and spread."""

from pathlib import Path

import pytest

from wbc.errors import UserError
from wbc.seeds import read_others, seed_summary, seed_table, write_others


def scores(macro_f1: float) -> dict[str, dict[str, object]]:
    others = dict.fromkeys(("balanced_accuracy", "accuracy", "mcc", "ece"), 0.5)
    return {"val": {**others, "macro_f1": {"value": macro_f1, "low": 0.1, "high": 0.9}}}


def test_mean_and_sample_deviation() -> None:
    table = seed_table({4: scores(0.7), 1: scores(0.8), 9: scores(0.9)})
    assert list(table["seed"]) == [4, 1, 9]
    found = seed_summary(table)["val"]["macro_f1"]
    assert found["values"] == [0.7, 0.8, 0.9]
    assert (found["mean"], found["sd"]) == (pytest.approx(0.8), pytest.approx(0.1))
    assert (found["min"], found["max"]) == (0.7, 0.9)


def test_one_seed_has_no_spread() -> None:
    found = seed_summary(seed_table({1: scores(0.7)}))["val"]["macro_f1"]
    assert found["mean"] == 0.7 and found["sd"] is None


def test_the_folder_of_other_seeds_is_never_empty(tmp_path: Path) -> None:
    """DVC warns of an output that is an empty folder."""
    others = write_others(tmp_path, [])
    assert [path.name for path in others.iterdir()] == ["seeds.json"]
    assert read_others(tmp_path) == {}
    write_others(tmp_path, [7, 3])
    assert read_others(tmp_path) == {3: others / "3", 7: others / "7"}


@pytest.mark.parametrize("content", ["[1, ", "{}", '["../x"]'])
def test_a_damaged_list_of_seeds_is_one_sentence(tmp_path: Path, content: str) -> None:
    (write_others(tmp_path, [7]) / "seeds.json").write_text(content)
    with pytest.raises(UserError, match=r"seeds\.json should be a JSON file .*`dvc checkout`"):
        read_others(tmp_path)
