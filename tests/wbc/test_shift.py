"""wbc.shift: distances from training, and what is called far."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from wbc import shift
from wbc.shift import distances, make_reference, measure


def cloud(num_cells: int, seed: int, centre: float = 0.0) -> shift.Features:
    """Positive features around one direction, moved towards another by `centre`."""
    rng = np.random.default_rng(seed)
    features = rng.normal(1.0, 0.3, (num_cells, 32))
    features[:, :16] += centre
    return features.astype(np.float32)


REFERENCE = make_reference(cloud(300, 1), cloud(200, 2))


def test_the_distance_is_that_to_the_fifth_neighbour_of_unit_vectors() -> None:
    train, cell = cloud(50, 3), cloud(1, 4)
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)
    expected = np.sort(np.linalg.norm(unit - cell / np.linalg.norm(cell), axis=1))[4]
    (found,) = distances(make_reference(train, cloud(5, 5)), cell)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_scale_of_features_does_not_matter() -> None:
    cells = cloud(20, 6)
    assert np.allclose(distances(REFERENCE, cells), distances(REFERENCE, 7 * cells), atol=1e-6)


def test_one_in_a_hundred_validation_cells_is_far() -> None:
    assert shift.is_far(REFERENCE, REFERENCE.usual).mean() == pytest.approx(0.01)


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


def test_the_same_rows_are_drawn_every_time() -> None:
    assert np.array_equal(shift.sample_rows(5000), shift.sample_rows(5000))
    assert len(set(shift.sample_rows(5000))) == shift.MAX_REFERENCE
    assert shift.sample_rows(7).tolist() == list(range(7))


def test_too_few_cells_make_no_reference() -> None:
    with pytest.raises(ValueError, match="5 training"):
        make_reference(cloud(5, 1), cloud(10, 2))
