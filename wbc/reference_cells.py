"""From cells to what is usual for a model: train, adapt and nobody else make a reference."""

import dataclasses
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wbc.model import Classifier
from wbc.picture_statistics import picture_statistics
from wbc.pixels import PixelStore
from wbc.reference import MAX_REFERENCE, Reference, are_enough, make_reference

MAX_VALIDATION: Final = 2000  # cells; a picture's statistics take 5 ms, and 20 lie over the limit


def sample_rows(num_cells: int, limit: int = MAX_REFERENCE) -> NDArray[np.int64]:
    """At most `limit` of the rows 0 to num_cells - 1, the same ones every time, in order."""
    rows = np.random.default_rng(22).permutation(num_cells)[:limit]
    return np.sort(rows).astype(np.int64)


def some(cells: PixelStore, limit: int) -> PixelStore:
    """At most `limit` of the cells, the same ones every time."""
    rows = sample_rows(len(cells), limit)
    return dataclasses.replace(cells, table=cells.table.iloc[rows].reset_index(drop=True))


def training_cells(train: PixelStore) -> PixelStore:
    """Those of a training part that distances are measured to."""
    return some(train, MAX_REFERENCE)


def make(
    classifier: Classifier, train: PixelStore, val: PixelStore, batch_size: int
) -> Reference | None:
    """The reference of a model that has learned from `train` and not from `val`.

    None where there are too few cells.
    """
    if not are_enough(len(train), len(val)):
        return None
    learned = classifier.all_outputs(training_cells(train).batches(batch_size)).features
    usual = some(val, MAX_VALIDATION)
    outputs = classifier.all_outputs(usual.batches(batch_size))
    pictures = picture_statistics(square for batch in usual.batches(batch_size) for square in batch)
    named = {str(name): pictures[name].to_numpy(np.float64) for name in pictures}
    return make_reference(learned, outputs.features, outputs.logits, named)
