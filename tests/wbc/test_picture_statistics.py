"""wbc.picture_statistics: each statistic moves with what it is named after."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import norm

from wbc.picture_statistics import NAMES, compare_statistics, overlap, picture_statistics
from wbc.picture_statistics import robust_difference as difference


def cell(azure: float = 1.0, eosin: float = 0.1) -> np.ndarray:
    """A purple nucleus in a pink disc on pale glass."""
    y, x = np.mgrid[:96, :96]
    radius = np.hypot(y - 48, x - 48)[..., None]
    wave = 0.15 * np.sin(x / 2)[..., None]
    # Densities (R, G, B): chromatin absorbs green most, cytoplasm little.
    nucleus = (radius < 22) * azure * (np.array([1.0, 1.6, 0.6]) + wave)
    plasm = (radius < 38) * eosin * np.array([0.1, 1.0, 0.3])
    light = np.array([225, 220, 205]) * np.exp(-(nucleus + plasm))
    return light.clip(0, 255).astype(np.uint8)


def of(*cells: np.ndarray) -> dict[str, float]:
    return dict(picture_statistics(cells).iloc[0])


def test_there_is_one_row_a_cell_and_one_column_a_statistic() -> None:
    table = picture_statistics([cell(), cell()])
    assert table.shape == (2, len(NAMES)) and np.isfinite(table.to_numpy()).all()


def test_the_background_is_the_glass() -> None:
    found = of(cell())
    assert found["background_brightness"] == pytest.approx((225 + 220 + 205) / 3, abs=1.5)
    assert found["background_warmth"] == pytest.approx(20, abs=1.5)


def test_a_paler_stain_is_seen_as_one() -> None:
    plain, pale = of(cell()), of(cell(azure=0.6))
    assert pale["azure"] < plain["azure"]
    assert pale["nucleus_density"] == pytest.approx(0.6 * plain["nucleus_density"], rel=0.1)
    assert pale["nucleus_saturation"] < plain["nucleus_saturation"]


def test_more_eosin_is_seen_as_such() -> None:
    assert of(cell(eosin=0.3))["eosin"] > of(cell())["eosin"] + 0.05


def test_a_dimmer_lamp_changes_brightness_and_not_the_stain() -> None:
    plain, dim = of(cell()), of((cell() * 0.7).astype(np.uint8))
    assert dim["background_brightness"] < plain["background_brightness"] - 50
    assert dim["brightness"] < plain["brightness"] - 40
    for name in ("azure", "eosin", "nucleus_density", "nucleus_hue"):
        assert dim[name] == pytest.approx(plain[name], abs=0.08)


def test_blur_lowers_sharpness_alone() -> None:
    blurred = ndimage.gaussian_filter(cell().astype(float), (2, 2, 0)).astype(np.uint8)
    plain, found = of(cell()), of(blurred)
    assert found["sharpness"] < plain["sharpness"] - 0.5
    assert found["brightness"] == pytest.approx(plain["brightness"], abs=1)


def test_the_robust_difference_is_cohens_d_of_normal_data() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 20_000), rng.normal(1.2, 1, 20_000)
    assert difference(a, b) == pytest.approx(1.2, abs=0.04)
    outliers = np.concatenate([b, np.full(500, 1e6)])
    assert difference(a, outliers) == pytest.approx(1.2, abs=0.1)


def test_no_spread_is_no_division_by_zero() -> None:
    assert difference(np.ones(5), np.ones(5)) == 0
    assert difference(np.ones(5), np.zeros(5)) == -99


def test_a_grey_level_between_backgrounds_without_spread_is_no_difference() -> None:
    """Glass that is clipped to white has no spread at all."""
    tables = [picture_statistics([cell()]).assign(background_brightness=x) for x in (255, 254)]
    found = compare_statistics(*tables).set_index("statistic")
    assert found.loc["background_brightness", "difference"] == -1


def test_the_overlap_is_that_of_normal_data() -> None:
    """Two unit normals d apart share 2 Phi(-d / 2) (Inman and Bradley 1989)."""
    rng = np.random.default_rng(1)
    a = rng.normal(0, 1, 50_000)
    assert overlap(a, a) == pytest.approx(1, abs=0.001)
    assert overlap(a, a + 100) == pytest.approx(0.1)  # what lies above all shares the last bin
    found = overlap(a, rng.normal(1, 1, 50_000))
    assert found == pytest.approx(2 * norm.cdf(-0.5), abs=0.03)


def test_two_laboratories_are_compared_by_statistic() -> None:
    cells = [cell(azure=a) for a in (0.9, 1.0, 1.1)]
    table = compare_statistics(
        picture_statistics(cells), picture_statistics([(c * 0.7).astype(np.uint8) for c in cells])
    ).set_index("statistic")
    assert list(table.index) == list(NAMES)
    assert table.loc["background_brightness", "difference"] < -5
    assert abs(table.loc["nucleus_density", "difference"]) < 0.5
