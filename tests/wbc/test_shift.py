"""wbc.shift: distances from training, and what is called far."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from wbc import reference, shift
from wbc.reference import Features, Reference, distances
from wbc.shift import measure


def cloud(num_cells: int, seed: int, centre: float = 0.0) -> Features:
    """Positive features around one direction, moved towards another by `centre`."""
    rng = np.random.default_rng(seed)
    features = rng.normal(1.0, 0.3, (num_cells, 32))
    features[:, :16] += centre
    return features.astype(np.float32)


def make(train: Features, val: Features) -> Reference:
    return reference.make_reference(train, val, np.zeros((len(val), 5), np.float32), {})


REFERENCE = make(cloud(300, 1), cloud(200, 2))


def test_cells_of_the_same_kind_are_in_domain() -> None:
    verdicts = {
        measure(REFERENCE, distances(REFERENCE, cloud(150, seed))).verdict for seed in range(10, 20)
    }
    assert verdicts == {"in domain"}


def test_cells_of_another_kind_are_out_of_domain() -> None:
    found = measure(REFERENCE, distances(REFERENCE, cloud(150, 7, centre=4.0)))
    assert found.verdict == "out of domain" and found.auroc > 0.99 and found.share_far > 0.9


def test_some_cells_of_another_kind_are_a_shift() -> None:
    mixed = np.concatenate([cloud(80, 8), cloud(20, 9, centre=4.0)])
    found = measure(REFERENCE, distances(REFERENCE, mixed))
    assert found.verdict == "shifted" and 0.1 < found.share_far < 0.3


@pytest.mark.parametrize("m", [50, 600, 5000])
def test_chance_is_beta_binomial(m: int) -> None:
    """Held against the hypergeometric law of ranks, for the reference's 200 cells and m others."""
    n, rank = 200, 198
    allowed = round(shift.chance_far(REFERENCE, m) * m)

    def at_most(j: int) -> float:
        # At most j beyond: of the first r + m - j - 1 cells in rising order, under r are usual.
        return float(hypergeom(n + m, n, rank + m - j - 1).cdf(rank - 1))

    assert at_most(allowed) >= shift.NOT_BY_CHANCE > at_most(allowed - 1)


def test_errors_are_found_where_they_are_far() -> None:
    distance = distances(REFERENCE, np.concatenate([cloud(80, 8), cloud(20, 9, centre=4.0)]))
    wrong = np.arange(100) >= 80
    assert measure(REFERENCE, distance, wrong).auroc_errors == pytest.approx(1.0, abs=0.01)
    assert measure(REFERENCE, distance, np.zeros(100, bool)).auroc_errors is None
