"""Masks: shifts against scipy's morphology, shapes against what is known of them."""

import numpy as np
import pytest
from scipy import ndimage

from wbc.masks import dilated, eroded, opened_by_disc, solidity, spread


@pytest.mark.parametrize("share", [0.3, 0.8, 0.97])
@pytest.mark.parametrize("shape", [(1, 9), (2, 2), (40, 30)])
def test_shifts_do_what_scipys_morphology_does(shape: tuple[int, int], share: float) -> None:
    y, x = np.ogrid[-3:4, -3:4]
    disc = x * x + y * y <= 10
    random = np.random.default_rng(0)
    for _ in range(50):
        mask = ndimage.binary_dilation(random.random(shape) < 1 - share, iterations=2)
        mask &= random.random(shape) < share
        closed = eroded(dilated(mask, 2), 2)
        opened = dilated(eroded(mask))
        assert (closed == ndimage.binary_closing(mask, iterations=2)).all()
        assert (opened == ndimage.binary_opening(mask)).all()
        assert (opened_by_disc(mask) == ndimage.binary_opening(mask, disc)).all()


def test_shapes_are_what_geometry_says() -> None:
    y, x = np.mgrid[:101, :101] - 50
    disc, ring = np.hypot(y, x) <= 40, (np.hypot(y, x) <= 40) & (np.hypot(y, x) >= 20)
    corner = (np.abs(y) <= 40) & (np.abs(x) <= 40) & ~((y > 0) & (x > 0))
    assert spread(disc) == pytest.approx(1, abs=0.01)
    assert spread(ring) == pytest.approx((40**2 + 20**2) / (40**2 - 20**2), rel=0.02)
    assert solidity(disc) > 0.97
    assert solidity(corner) == pytest.approx(3 / 3.5, abs=0.02)
