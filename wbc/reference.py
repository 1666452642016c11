"""reference.safetensors: what is usual for a model, kept beside it.

Unit features of at most 500 training cells, to measure distances against, and of the validation
cells, which the network has not learned by heart, what is usual: their distances, logits and
picture statistics. `wbc predict` and a version's pyfunc flag cells by it, `evaluate` measures
whole sets by it, `wbc drift` compares a folder with it. It follows from the model's two files and
the pixels (whose hash is in model.json), so it is no part of the model's identity, and a model
that is older than it goes on working without.

The distance of a cell is that to its k-th nearest training cell (Sun et al. 2022, ICML, arXiv
2204.06507), features scaled to length 1. It needs no labels and assumes no shape of the cloud.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from wbc.errors import UserError, one_line

REFERENCE_FILE: Final = "reference.safetensors"
MAX_REFERENCE: Final = 500  # training cells; 1,000 change little and cost time
NEIGHBOUR: Final = 5  # k: 1 % of a full reference, as Sun et al. take it
MIN_USUAL: Final = 2  # validation cells; with fewer nothing is usual
USUAL_SHARE: Final = 0.99  # of the validation cells that lie within the limit
_SLACK: Final = 1e-5  # what another batch size or processor may change of a distance
_FEATURES, _DISTANCES, _LOGITS = "train.features", "val.distances", "val.logits"
_PICTURES: Final = "val.pictures."  # before a statistic's name
_MODEL: Final = "model_sha256"  # among the file's metadata

Features = NDArray[np.float32]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """`features` (N, D): of training cells, of length 1 but for half precision's rounding.

    Of M validation cells, in one order: `distances` (M,), `logits` (M, K) as wbc.model.Outputs
    has them, and `pictures` {statistic: (M,)} (wbc.picture_statistics). `model` is the SHA-256 of
    the model whose features these are; "" where the file does not say.
    """

    features: Features
    distances: Numbers
    logits: Features
    pictures: Mapping[str, Numbers]
    model: str = ""

    @property
    def usual(self) -> Numbers:
        """Validation's distances in rising order."""
        return np.sort(self.distances)

    @property
    def limit(self) -> float:
        """The distance that 99 % of the validation cells keep: a cell beyond it is far."""
        return float(self.usual[self.rank_of_limit])

    @property
    def rank_of_limit(self) -> int:
        """How many validation cells are nearer than the limit, which is one of their distances."""
        return int(np.ceil(USUAL_SHARE * len(self.distances))) - 1


def make_reference(
    train: Features, val: Features, logits: Features, pictures: Mapping[str, Numbers]
) -> Reference:
    """From features (N, D) of training cells, N <= MAX_REFERENCE, and (M, D) of validation's.

    All is rounded as the file holds it, so that what was made and what was read are the same.

    Raises:
        ValueError: too few cells of either.
    """
    if not are_enough(len(train), len(val)):
        raise ValueError(f"{len(train)} training and {len(val)} validation cells are too few")
    unit = _unit(train).astype(np.float16).astype(np.float32)
    return Reference(
        unit,
        _rounded(_to_neighbours(unit, val)),
        logits.astype(np.float32),
        {name: _rounded(values) for name, values in pictures.items()},
    )


def are_enough(num_train: int, num_val: int) -> bool:
    """A distance is that to the NEIGHBOUR-th training cell; validation's say what is usual."""
    return num_train > NEIGHBOUR and num_val >= MIN_USUAL


def distances(reference: Reference, features: Features) -> Numbers:
    """Distance (N,) of each cell (N, D) from training: 0 the same direction, 2 the opposite.

    Raises:
        UserError: the features are another model's.
    """
    if features.shape[1] != reference.features.shape[1]:
        raise UserError(
            f"The reference is another model's: it has {reference.features.shape[1]} features a"
            f" cell, the model {features.shape[1]}; take the {REFERENCE_FILE} that lies beside it."
        )
    return _to_neighbours(reference.features, features)


def is_far(reference: Reference, distance: Numbers) -> NDArray[np.bool_]:
    """Which cells lie farther from training than 99 % of the validation cells."""
    return np.asarray(distance > reference.limit + _SLACK)


def write(path: Path, reference: Reference | None, model: str = "") -> None:
    """The file at `path`; without tensors where there are too few cells for a reference.

    model: its SHA-256 (wbc.model.model_sha256). Equal content gives equal bytes.
    """
    tensors: dict[str, NDArray[Any]] = {}
    if reference is not None:
        tensors[_FEATURES] = reference.features.astype(np.float16)
        tensors[_DISTANCES] = reference.distances.astype(np.float32)
        tensors[_LOGITS] = np.ascontiguousarray(reference.logits)
        for name, values in reference.pictures.items():
            tensors[f"{_PICTURES}{name}"] = values.astype(np.float32)
    path.write_bytes(save(tensors, metadata={_MODEL: model} if model else None))


def read(path: Path) -> Reference | None:
    """What `write` wrote; None where there is no file, or one without a reference.

    Raises:
        UserError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        if not tensors:
            return None
        with safe_open(path, "numpy") as file:
            model = (file.metadata() or {}).get(_MODEL, "")
        wide = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        found = Reference(
            tensors[_FEATURES].astype(np.float32),
            wide[_DISTANCES],
            tensors[_LOGITS],
            {
                name.removeprefix(_PICTURES): values
                for name, values in wide.items()
                if name.startswith(_PICTURES)
            },
            model,
        )
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise _damaged(path, one_line(error, 120)) from None
    _check(found, path)
    return found


def _check(found: Reference, path: Path) -> None:
    tables: list[NDArray[Any]] = [found.features, found.distances, found.logits]
    pictures: list[NDArray[Any]] = list(found.pictures.values())
    if [table.ndim for table in (*tables, *pictures)] != [2, 1, 2, *(1 for _ in pictures)]:
        raise _damaged(path, "its tensors have other dimensions")
    num_val = len(found.distances)
    lengths = {len(found.logits), *map(len, pictures)}
    whole = are_enough(len(found.features), num_val) and lengths == {num_val}
    if not whole or not all(np.isfinite(table).all() for table in tables):
        raise _damaged(path, "its tensors do not belong together")


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} holds no readable reference ({why}); restore it with `dvc checkout`, or make it"
        " again with `dvc repro`."
    )


def _rounded(values: Numbers) -> Numbers:
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def _unit(features: Features) -> Features:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(norms, 1e-12), dtype=np.float32)


def _to_neighbours(unit: Features, features: Features) -> Numbers:
    """(M,) of features (M, D); in double precision, because near cells cancel."""
    known, cells = unit.astype(np.float64), _unit(features).astype(np.float64)
    lengths = (cells**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)
    squared = np.partition(lengths - 2 * cells @ known.T, NEIGHBOUR - 1, axis=1)
    return np.asarray(np.sqrt(np.maximum(squared[:, NEIGHBOUR - 1], 0.0)))
