"""From squares to the table of features, in parallel and always the same."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import ndimage

from wbc.handmade import colour, shape, texture
from wbc.handmade.segmentation import Segmented, segment
from wbc.masks import Mask
from wbc.pixels import PixelStore

FEATURES: Final = (*shape.FEATURES, *colour.FEATURES, *texture.FEATURES)
NAMES: Final = tuple(feature.name for feature in FEATURES)
MIN_CYTOPLASM: Final = 0.02  # of the cell's area; below, the cell's rim is measured in its place
RIM_PIXELS: Final = 3
BATCH: Final = 32  # cells a task


def markdown() -> str:
    """All features as a table, for docs/classical.md."""
    rows = [f"| {feature.name} | {feature.unit} | {feature.meaning} |" for feature in FEATURES]
    return "\n".join(["| feature | unit | meaning |", "|---|---|---|", *rows]) + "\n"


def features(square: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The values (len(NAMES),) of one square (S, S, 3); finite for any picture."""
    cell = segment(square)
    cytoplasm = _cytoplasm(cell)
    values = {
        **shape.measure(cell),
        **colour.measure(cell, cytoplasm),
        **texture.measure(cell, cytoplasm),
    }
    row: NDArray[np.float64] = np.array([values[name] for name in NAMES])
    return np.asarray(np.nan_to_num(row))


def features_of(squares: NDArray[np.uint8], num_processes: int = 1) -> NDArray[np.float64]:
    """The features (N, len(NAMES)) of squares (N, S, S, 3)."""
    tasks = (squares[start : start + BATCH] for start in range(0, len(squares), BATCH))
    return _measured(tasks, num_processes)


def table(part: PixelStore, num_processes: int) -> NDArray[np.float64]:
    """The features (N, len(NAMES)) of all cells of a part, in its order."""
    return _measured(part.batches(BATCH), num_processes)


def _measured(tasks: Iterator[NDArray[np.uint8]], num_processes: int) -> NDArray[np.float64]:
    blocks = Parallel(n_jobs=num_processes)(delayed(_block)(task) for task in tasks)
    return np.concatenate([np.empty((0, len(NAMES))), *blocks])


def _block(squares: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.stack([features(square) for square in squares])


def _cytoplasm(cell: Segmented) -> Mask:
    """The cytoplasm, or the cell's rim where next to none is seen."""
    if cell.cytoplasm.sum() >= MIN_CYTOPLASM * cell.cell.sum():
        return cell.cytoplasm
    inner = ndimage.binary_erosion(cell.cell, iterations=RIM_PIXELS)
    rim: Mask = cell.cell & ~inner
    return rim
