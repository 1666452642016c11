"""The temperature: found again where it is known, and tame where there is nothing to learn from."""

import numpy as np
import pytest

from wbc.temperature import BOUNDS, fit_temperature

PRIOR = np.log([0.6, 0.2, 0.1, 0.05, 0.05])


def drawn(num_cells: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """What an honest network says beside the prior, and labels drawn from its probabilities."""
    draw = np.random.default_rng(seed)
    spoken = draw.normal(0, 3, (num_cells, 5))
    shares = np.exp(spoken + PRIOR)
    shares /= shares.sum(axis=1, keepdims=True)
    labels = np.array([draw.choice(5, p=row) for row in shares])
    return spoken, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    spoken, labels = drawn(4000)
    found = fit_temperature(spoken * temperature + PRIOR, labels, PRIOR)
    assert found == pytest.approx(temperature, rel=0.08)


@pytest.mark.parametrize("gap", [1.0, 5.0, 50.0])
@pytest.mark.parametrize("num_cells", [10, 180, 3000])
def test_no_mistake_makes_nobody_certain(gap: float, num_cells: int) -> None:
    """Validation is told apart perfectly: confidence may rise to what so many cells can show."""
    labels = np.arange(num_cells) % 5
    logits = gap * np.eye(5)[labels]
    temperature = fit_temperature(logits, labels, np.zeros(5))
    assert BOUNDS[0] < temperature < BOUNDS[1]
    confidence = 1 / (1 + 4 * np.exp(-gap / temperature))
    assert confidence == pytest.approx((num_cells + 1) / (num_cells + 2), abs=1e-4)


def test_the_same_cells_give_the_same_digits() -> None:
    spoken, labels = drawn(200)
    first = fit_temperature((spoken + PRIOR).astype(np.float32), labels, PRIOR)
    assert first == fit_temperature((spoken + PRIOR).astype(np.float32), labels, PRIOR)
    assert first == round(first, 6)
