"""wbc.registry.noninferiority: Tango's limits as published, and what few cells can show."""

import numpy as np
import pytest
from scipy import optimize, stats

from wbc.paired import Pair, mcnemar
from wbc.registry import noninferiority
from wbc.registry.noninferiority import can_be_proved, lower_limit, recalls


@pytest.mark.parametrize(
    ("only_new", "only_old", "num_cells", "limit"),
    [
        (28, 25, 618, -0.0148),  # PropCIs 0.3, scoreci.mp(25, 28, 618, 0.90): -0.0148 to 0.0247
        (0, 0, 100, -(stats.norm.ppf(0.95) ** 2) / (100 + stats.norm.ppf(0.95) ** 2)),
        (0, 5, 5, -1.0),
    ],
)
def test_the_lower_limit_is_tangos(
    only_new: int, only_old: int, num_cells: int, limit: float
) -> None:
    assert lower_limit(only_new, only_old, num_cells) == pytest.approx(limit, abs=5e-5)


def test_at_95_percent_two_sided_it_is_that_of_the_textbook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fagerland, Lydersen and Laake 2017, table 8.7: 1 and 7 of 21 discordant, -0.517."""
    monkeypatch.setattr(noninferiority, "LEVEL", 0.975)
    assert lower_limit(1, 7, 21) == pytest.approx(-0.517, abs=5e-4)


def test_the_share_in_the_statistic_is_the_likeliest() -> None:
    """Against a search for the maximum instead of the closed form."""
    only_new, only_old, num_cells, difference = 4, 9, 60, -0.12

    def loss(
        share: float,
    ) -> float:  # of the multinomial, both discordant shares `difference` apart
        both = share + difference
        if share <= 0 or both <= 0 or share + both >= 1:
            return 1e9
        rest = num_cells - only_new - only_old
        return -float(
            only_new * np.log(both) + only_old * np.log(share) + rest * np.log(1 - share - both)
        )

    share = optimize.minimize_scalar(loss, bounds=(0.12, 0.56), method="bounded").x
    variance = num_cells * (2 * share + difference * (1 - difference))
    expected = (only_new - only_old - num_cells * difference) / np.sqrt(variance)
    found = noninferiority._statistic(difference, only_new, only_old, num_cells)
    assert found == pytest.approx(expected, abs=1e-4)


def test_equal_recalls_are_seldom_called_not_worse_when_they_are_the_margin_apart() -> None:
    """The level: at a true loss of exactly the margin, at most about 5 % pass."""
    draw = np.random.default_rng(3)
    shares = [0.02, 0.07, 0.91]  # only new, only old, the rest: a loss of 0.05
    tables = draw.multinomial(200, shares, 2000)
    passed = [lower_limit(int(new), int(old), 200) > -0.05 for new, old, _ in tables]
    assert 0.02 < np.mean(passed) < 0.065


@pytest.mark.parametrize(("margin", "least"), [(0.02, 133), (0.05, 52), (0.1, 25)])
def test_so_many_cells_are_needed(margin: float, least: int) -> None:
    assert can_be_proved(least, margin) and not can_be_proved(least - 1, margin)


def test_the_cliff_that_docs_registry_names() -> None:
    limits = [lower_limit(0, 1, 52), lower_limit(1, 1, 52), lower_limit(0, 1, 87)]
    assert limits == pytest.approx([-0.082, -0.065, -0.050], abs=5e-4)
    assert limits[2] > -0.05 > lower_limit(0, 1, 86) and mcnemar(0, 5) == 0.0625
    assert [_states(*counts)[0] for counts in ((52, 0, 1), (52, 1, 1), (51, 0, 5))] == [
        "may be worse", "may be worse", "too few to prove",
    ]  # fmt: skip


def _states(size: int, only_new: int, only_old: int) -> list[str]:
    """The states of five classes of `size` cells, the first with these discordant cells."""
    labels = np.repeat(np.arange(5), size)
    new, old = labels.copy(), labels.copy()
    old[:only_new], new[size - only_old : size] = 1, 1
    return [one.state for one in recalls(Pair(labels, new, old, None), 0.05)]


@pytest.mark.parametrize(
    ("size", "only_new", "only_old", "state", "others"),
    [
        (100, 0, 1, "not worse", "not worse"),
        (100, 0, 5, "may be worse", "not worse"),
        (100, 8, 8, "may be worse", "not worse"),  # no loss, but too much scatter to say so
        (1000, 5, 25, "not worse", "not worse"),  # a sure loss within the margin
        (40, 0, 0, "too few to prove", "too few to prove"),
        (40, 0, 5, "too few to prove", "too few to prove"),  # p 0.0625
        (40, 0, 6, "worse", "too few to prove"),  # p 0.03125
        (40, 6, 0, "not worse", "too few to prove"),  # a gain shows it with fewer
    ],
)
def test_what_is_said_of_a_class(
    size: int, only_new: int, only_old: int, state: str, others: str
) -> None:
    assert _states(size, only_new, only_old) == [state, *[others] * 4]


def test_a_class_that_the_set_lacks_is_left_out() -> None:
    labels = np.array([0, 0, 3])
    found = recalls(Pair(labels, labels, labels, None), 0.05)
    assert [(one.name, one.num_cells) for one in found] == [("neutrophil", 2), ("eosinophil", 1)]
