"""Adjusted counting: what is known of a classifier's errors is taken out of its count.

Gart & Buck 1966; Forman 2008, "Quantifying counts and costs via classification". With C[t, d] the
share of the validation cells of type t that were counted as d, counts are expected in the shares
pi @ C, and pi is the mix of types that explains them best. It supposes that types are mixed up as
they are in the validation set; in another laboratory they may not be.
"""

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 2000  # of the bootstrap; an end wobbles by some hundredths of its length
_STEPS = 1000  # of expectation maximisation; 50 suffice unless types are hardly told apart
# Pseudo-counts, of the intervals alone (Jeffreys' for the counts): what was never seen among few
# cells is rare, not impossible. An error that was not seen gets little, for its share of a large
# type is many cells of a small one; benchmarks/counting.py says whether the intervals still hold.
COUNT_PRIOR, _ERROR_PRIOR = 0.5, 0.1

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def adjust(counted: NDArray[np.number], known_errors: Floats) -> Floats:
    """The mix of types (..., K) that most probably gave these counts (..., K).

    `known_errors` (..., K, K) are rows that sum to 1. Maximum likelihood of the multinomial by
    expectation maximisation from the counts themselves: stays a mix (no negative share, sum 1),
    and where types cannot be told apart, near what was counted. Cells counted as what no type is
    ever counted as are explained by no mix: they stay as counted. Counts of 0 cells give nan.
    """
    all_shares = np.asarray(counted / np.sum(counted, axis=-1, keepdims=True), np.float64)
    unexplained = np.where(known_errors.sum(axis=-2) > 0, 0.0, all_shares)
    total = 1 - unexplained.sum(axis=-1, keepdims=True)
    shares = np.divide(
        all_shares - unexplained, total, out=np.zeros_like(all_shares), where=total != 0
    )
    mix: Floats = 0.99 * shares + 0.01 / shares.shape[-1]  # from an exact 0 nothing would grow
    for _ in range(_STEPS):
        expected = np.einsum("...t,...td->...d", mix, known_errors)
        ratio = np.divide(shares, expected, out=np.zeros_like(shares), where=expected > 0)
        new = mix * np.einsum("...d,...td->...t", ratio, known_errors)
        new /= np.maximum(new.sum(axis=-1, keepdims=True), 1e-300)
        moved = np.nanmax(np.abs(new - mix), initial=0.0)
        mix = np.asarray(new, np.float64)
        if moved < 1e-7:
            break
    return np.asarray(total * mix + unexplained, np.float64)


def rates(validation: Counts) -> Floats:
    """Rows (K, K) of shares from counts of errors, as they are: an error that was not seen is not
    taken out of a count, for a small share of a large type would be all of a small one.

    A type that validation lacks is taken to be always recognised, and no other to be counted as
    it unless that was seen: so its count stays as it is.
    """
    known = np.where(_is_lacking(validation)[:, None], np.eye(len(validation)), validation)
    return np.asarray(known / known.sum(axis=1, keepdims=True), np.float64)


def adjusted_draws(
    counted: Counts, validation: Counts, num_draws: int = NUM_DRAWS, seed: int = 0
) -> Floats:
    """Adjusted shares (num_draws, K) of resampled counts and resampled validation errors.

    A Bayesian bootstrap (Rubin 1981) of both: Dirichlet draws around the counts and around each
    row of errors; unlike plain resampling it does not take 36 right of 36 for a recall of 1. Of a
    type that validation lacks nothing is made up: see `rates`.
    """
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(counted + COUNT_PRIOR, num_draws)
    known = np.zeros((num_draws, *validation.shape))
    lacking = _is_lacking(validation)
    for true, row in enumerate(validation):
        likely = row + np.where(lacking, 0.0, _ERROR_PRIOR)
        possible = np.flatnonzero(likely)
        if lacking[true]:
            known[:, true, true] = 1
        else:
            known[:, true, possible] = rng.dirichlet(likely[possible], num_draws)
    return adjust(shares, known)


def _is_lacking(validation: Counts) -> NDArray[np.bool_]:
    """(K,) the types of which validation has no cell."""
    return np.asarray(validation.sum(axis=1) == 0)
