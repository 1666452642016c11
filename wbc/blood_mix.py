"""A correction for another laboratory that needs no label: its cells must come out as blood does.

A network that errs to one side in another laboratory (calls many neutrophils monocytes, say) shows
it by a differential that no folder of blood cells has. Offsets of the logits are found that make
the folder's own mean probabilities plausible, as the maximum of a posterior: the mix of a folder
varies about that of blood (Dirichlet), a network's bias about none (normal). With logits z (N, 5)
as if classes were even, p_i(b) = softmax(z_i + log MIX + b) and m(b) their mean over the cells,
b minimises

    |b|^2 / 2 SPREAD^2 - CONCENTRATION sum_k MIX_k log m_k(b).

Unlike the estimate of a new class mix (Saerens et al. 2002, doi:10.1162/089976602753284446), which
changes decisions to suit the mix, b is taken for the network's error: decisions stay those of
even classes. docs/generalisation.md has what it gains, and where it harms.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

Floats = NDArray[np.float64]

# Of wbc.cells.CLASSES: the middles of the reference intervals that textbooks give for adults'
# differential (40-80, 20-40, 2-10, 1-6, up to 2 %), which add up to 1.
MIX: Final = np.array([0.60, 0.30, 0.06, 0.03, 0.01])
# Of the Dirichlet, in cells: more corrects more, and takes an unusual folder (leukaemia) for an
# error. Chosen on simulated laboratories and folders of five mixes (docs/generalisation.md).
CONCENTRATION: Final = 5.0
SPREAD: Final = 1.0  # standard deviation of the bias, in calibrated logits


def offsets(even: NDArray[np.floating], concentration: float = CONCENTRATION) -> Floats:
    """What to add to calibrated logits (N, 5) as if classes were even; (5,), of mean 0."""
    spoken = np.asarray(even, dtype=np.float64) + np.log(MIX)

    def cost(added: Floats) -> tuple[float, Floats]:
        shares = softmax(spoken + added, axis=1)
        mean = shares.mean(axis=0)
        wanted = MIX / mean
        pull = (shares * wanted).mean(axis=0) - (shares * (shares @ wanted)[:, None]).mean(axis=0)
        value = added @ added / (2 * SPREAD**2) - concentration * MIX @ np.log(mean)
        return float(value), added / SPREAD**2 - concentration * pull

    found = minimize(cost, np.zeros(len(MIX)), jac=True, method="L-BFGS-B")
    return np.asarray(found.x - found.x.mean())


def mix_of(even: NDArray[np.floating], added: NDArray[np.floating] | float = 0.0) -> Floats:
    """Mean probabilities (5,) of the cells in a folder of blood, with the offsets added."""
    spoken = np.asarray(even, dtype=np.float64) + np.log(MIX) + added
    return np.asarray(softmax(spoken, axis=1).mean(axis=0))
