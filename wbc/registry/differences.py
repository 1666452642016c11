"""Two models, two reports: where they differ first, in words. Nothing here reads MLflow or DVC."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

_MISSING: Final = "missing"
# Of a card: what explains the rest comes first.
_ORDER: Final = ("parameters.", "inputs.", "architecture", "num_train", "input.", "log_prior")


def of_values(recorded: Any, rebuilt: Any) -> list[str]:
    """Every leaf of two JSON documents that differs, as `name: A recorded, B rebuilt`."""
    left, right = dict(_leaves(recorded)), dict(_leaves(rebuilt))
    return [
        f"{key}: {left.get(key, _MISSING)} recorded, {right.get(key, _MISSING)} rebuilt"
        for key in [*left, *(key for key in right if key not in left)]
        if key not in left or key not in right or left[key] != right[key]
    ]


def of_cards(recorded: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> list[str]:
    """The same of two model.json, parameters and inputs first."""

    def rank(words: str) -> int:
        return next((i for i, start in enumerate(_ORDER) if words.startswith(start)), len(_ORDER))

    return sorted(of_values(recorded, rebuilt), key=rank)


def of_parameters(recorded: Mapping[str, Any], here: Mapping[str, Any], where: str) -> list[str]:
    """Flat parameters that both have, with other values."""
    return [
        f"{name}: {value} recorded, {here[name]} in {where}"
        for name, value in recorded.items()
        if name in here and here[name] != value
    ]


def of_weights(recorded_path: Path, rebuilt_path: Path) -> str:
    """The tensor with the largest difference between two model.safetensors; "" when all are equal.

    A tensor that only one of them has, or with another shape or type, goes before all others.
    """
    left, right = _tensors(recorded_path), _tensors(rebuilt_path)
    for name in sorted(left.keys() | right.keys()):
        kinds = [
            f"{of[name].dtype} {of[name].shape}" if name in of else _MISSING for of in (left, right)
        ]
        if kinds[0] != kinds[1]:
            return f"tensor {name}: {kinds[0]} recorded, {kinds[1]} rebuilt"
    unequal = [name for name in left if left[name].tobytes() != right[name].tobytes()]
    if not unequal:
        return ""
    gaps = {name: _gap(left[name], right[name]) for name in unequal}
    worst = max(gaps, key=lambda name: gaps[name])
    return (
        f"tensor {worst}: largest difference {gaps[worst]:.3g};"
        f" {len(unequal)} of {len(left)} tensors differ"
    )


def num_leaves(document: Any) -> int:
    """How many numbers and words a JSON document holds."""
    return sum(1 for _ in _leaves(document))


def _gap(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    """The largest absolute difference; infinite where one has a NaN and the other has none."""
    gap = np.abs(left.astype(np.float64) - right.astype(np.float64))
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))


def _tensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors.numpy import load_file

    return dict(load_file(path))


def _leaves(document: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(document, list) and any(isinstance(x, Mapping | list) for x in document):
        for number, value in enumerate(document):
            yield from _leaves(value, f"{name}[{number}]")
    else:
        yield name, document
