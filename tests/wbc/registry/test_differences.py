"""wbc.registry.differences: what differs first."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from wbc.registry import differences


def test_equal_documents_differ_nowhere() -> None:
    document = {"a": [1, 2.5], "b": {"c": None}, "d": [{"e": 1}]}
    assert differences.of_values(document, document) == []
    assert differences.num_leaves(document) == 3


def test_each_leaf_that_differs_is_named_with_both_values() -> None:
    recorded = {"val": {"macro_f1": {"value": 0.5}, "n": 3}, "rows": [{"x": 1}], "gone": 1}
    rebuilt = {"val": {"macro_f1": {"value": 0.25}, "n": 3}, "rows": [{"x": 2}], "new": 2}
    assert differences.of_values(recorded, rebuilt) == [
        "val.macro_f1.value: 0.5 recorded, 0.25 rebuilt",
        "rows[0].x: 1 recorded, 2 rebuilt",
        "gone: 1 recorded, missing rebuilt",
        "new: missing recorded, 2 rebuilt",
    ]


def test_of_a_card_parameters_come_first() -> None:
    recorded = {"best": {"epoch": 2}, "inputs": {"pixels": "a"}, "parameters": {"seed": 1}}
    rebuilt = {"best": {"epoch": 3}, "inputs": {"pixels": "b"}, "parameters": {"seed": 2}}
    starts = [words.partition(":")[0] for words in differences.of_cards(recorded, rebuilt)]
    assert starts == ["parameters.seed", "inputs.pixels", "best.epoch"]


def test_parameters_that_only_one_side_knows_do_not_count() -> None:
    found = differences.of_parameters({"seed": 1, "old": 1}, {"seed": 2, "new": 1}, "here")
    assert found == ["seed: 1 recorded, 2 in here"]


def test_the_tensor_that_differs_most_is_named(tmp_path: Path) -> None:
    tensors = {name: np.zeros((2, 3), np.float32) for name in ("a", "b", "c")}
    save_file(tensors, tmp_path / "recorded")
    changed = {name: value.copy() for name, value in tensors.items()}
    changed["b"][0, 1], changed["c"][1, 2] = 0.001, -0.5
    save_file(changed, tmp_path / "rebuilt")

    assert differences.of_weights(tmp_path / "recorded", tmp_path / "recorded") == ""
    assert differences.of_weights(tmp_path / "recorded", tmp_path / "rebuilt") == (
        "tensor c: largest difference 0.5; 2 of 3 tensors differ"
    )
    save_file({**tensors, "b": np.full((2, 3), np.nan, np.float32)}, tmp_path / "rebuilt")
    assert "tensor b: largest difference inf" in differences.of_weights(
        tmp_path / "recorded", tmp_path / "rebuilt"
    )


def test_a_tensor_of_another_shape_goes_before_all_others(tmp_path: Path) -> None:
    save_file({"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}, tmp_path / "recorded")
    save_file({"a": np.ones(2, np.float32), "b": np.zeros(3, np.float32)}, tmp_path / "rebuilt")
    assert differences.of_weights(tmp_path / "recorded", tmp_path / "rebuilt") == (
        "tensor b: float32 (2,) recorded, float32 (3,) rebuilt"
    )
    save_file({"b": np.ones(2, np.float32), "c": np.ones(2, np.float32)}, tmp_path / "rebuilt")
    assert differences.of_weights(tmp_path / "recorded", tmp_path / "rebuilt") == (
        "tensor a: float32 (2,) recorded, missing rebuilt"
    )


def test_a_difference_is_of_values_not_of_sums_and_whole_numbers_do_not_overflow(
    tmp_path: Path,
) -> None:
    save_file({"a": np.array([1.0], np.float32), "n": np.array([0], np.uint8)}, tmp_path / "one")
    save_file({"a": np.array([1.5], np.float32), "n": np.array([3], np.uint8)}, tmp_path / "two")
    assert differences.of_weights(tmp_path / "one", tmp_path / "two") == (
        "tensor n: largest difference 3; 2 of 2 tensors differ"
    )
    save_file({"b": np.array([-1.0], np.float32), "a": np.array([-2.0], np.float32)},
              tmp_path / "one")  # fmt: skip
    save_file({"b": np.array([4.0], np.float32), "a": np.array([4.0], np.float32)},
              tmp_path / "two")  # fmt: skip
    assert differences.of_weights(tmp_path / "one", tmp_path / "two") == (
        "tensor a: largest difference 6; 2 of 2 tensors differ"
    )
