"""Smears: which cell lies on which, and how they are drawn anew in a bootstrap.

Cells of one smear resemble each other, so it is smears that are drawn. Each gets a random weight
(Rubin 1981: Bayesian bootstrap): drawing whole smears with replacement would leave out those of a
rare class together.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FEW_SMEARS: Final = 8  # with fewer, an interval over smears is a guess

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def names_of(cells: pd.DataFrame) -> list[str]:
    """The smear of each cell, as source and group; "" where it is not known.

    Two laboratories may both have a smear 1. The source is the column `source` of a pixel store's
    index; predictions.csv has none, there it is the first folder of `path`.
    """
    if "source" in cells:
        sources = list(cells["source"])
    else:
        sources = [path.split("/")[0] if "/" in path else "" for path in cells["path"]]
    pairs = zip(sources, cells["group"], strict=True)
    return [f"{source}/{group}" if group else "" for source, group in pairs]


def smears_of(cells: pd.DataFrame) -> Ints | None:
    """(N,) the number of each cell's smear, from 0; None where not every cell has one."""
    if (cells["group"] == "").any():
        return None
    return np.asarray(pd.factorize(np.array(names_of(cells)), sort=True)[0], dtype=np.int64)


def number_of(smears: NDArray[np.integer[Any]] | None) -> int:
    """How many smears there are; 0 where they are not known."""
    return 0 if smears is None else int(smears.max()) + 1


def several(smears: NDArray[np.integer[Any]] | None) -> NDArray[np.integer[Any]] | None:
    """The smears if there are two at least: of one alone nothing can be drawn but its cells."""
    return smears if number_of(smears) > 1 else None


def weights(draw: np.random.Generator, num_draws: int, num_smears: int) -> Floats:
    """(num_draws, num_smears) random weights, 1 on average, none 0."""
    return draw.dirichlet(np.ones(num_smears), num_draws) * num_smears
