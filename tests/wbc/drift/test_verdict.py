"""wbc.drift.findings and verdict: what is called drift, in which words, and how often by chance."""

from collections.abc import Sequence

import numpy as np
import pytest

from wbc.binomial import clopper_pearson
from wbc.cells import CLASSES
from wbc.drift import verdict
from wbc.drift.findings import ALPHA, MEASURES, Cells, compare
from wbc.drift.stratified import Group, standard_error, van_elteren
from wbc.drift.verdict import FEW, LIKE, MIX, OUTSIDE, SHIFTED, Verdict
from wbc.picture_statistics import NAMES

EVEN, BLOOD = (0.2,) * 5, (0.6, 0.3, 0.06, 0.03, 0.01)


def draw(
    num_cells: int, seed: int, mix: Sequence[float] = EVEN, far: float = 0.01, **shifts: float
) -> Cells:
    """Cells whose every measure depends on their class by several standard deviations; `shifts`
    move a statistic by so many within all of them."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(5, num_cells, p=mix)
    pictures = {
        name: 3.0 * classes * (k % 3) + rng.normal(shifts.get(name, 0), 1, num_cells)
        for k, name in enumerate(NAMES)
    }
    confidence = 0.9 - 0.05 * classes + rng.uniform(-0.02, 0.02, num_cells)
    # One type lies farther away than the others, and more of it beyond the limit.
    is_far = rng.random(num_cells) < np.where(classes == 0, 4 * far, far / 4)
    return Cells(classes, confidence, classes + rng.random(num_cells) + is_far, is_far, pictures)


USUAL = draw(300, 1)


def conclude(found: Cells) -> Verdict:
    return verdict.conclude(compare(found, USUAL, 5), found, USUAL, CLASSES)


def test_cells_of_the_same_kind_are_like_training_nearly_always() -> None:
    words = [conclude(draw(100, seed)).word for seed in range(100, 140)]
    # 1 % is allowed: more than 2 of 40 would be seen with a chance of 0.7 %.
    assert words.count(LIKE) >= 38 and set(words) <= {LIKE, SHIFTED, MIX}


def test_another_mix_is_never_another_microscope() -> None:
    found = [conclude(draw(100, seed, BLOOD)) for seed in range(300, 315)]
    assert [each.word for each in found].count(MIX) >= 14
    low, high = clopper_pearson(58, 100)
    reason = next(r for each in found for r in each.reasons if "58" in r)
    assert f"58\u00a0% ({100 * low:.0f} to {100 * high:.0f}\u00a0%) neutrophils" in reason


def test_a_shift_is_named_with_its_direction_in_any_mix() -> None:
    for mix in (EVEN, BLOOD):
        found = conclude(draw(100, 5, mix, sharpness=-1.5, nucleus_density=1.5))
        assert found.word == SHIFTED
        said = " ".join(found.reasons)
        assert "sharpness: log Laplacian variance, more blurred in 8" in said
        assert "nucleus: optical density, darker in 8" in said and "p below" in said.replace(
            "\u00a0", " "
        )
        assert "azure" not in said and ("mix of" in said) == (mix is BLOOD)
        assert any("model's mistake" in note for note in found.notes) == (mix is BLOOD)


def test_far_cells_are_a_shift_and_most_of_them_another_domain() -> None:
    found = conclude(draw(100, 6, far=0.15))
    assert found.word == SHIFTED and "of the cells are out of domain" in found.reasons[0]
    assert conclude(draw(100, 6, far=2.0)).word == OUTSIDE


def test_a_sure_difference_that_does_not_matter_is_no_drift() -> None:
    found = draw(5000, 8, brightness=0.2)
    (finding,) = [f for f in compare(found, USUAL, 5) if f.measure.name == "brightness"]
    large = verdict.conclude(compare(found, draw(5000, 9), 5), found, draw(5000, 9), CLASSES)
    (sure,) = [f for f in compare(found, draw(5000, 9), 5) if f.measure.name == "brightness"]
    assert sure.p_corrected < 1e-6 and not sure.matters and large.word == LIKE
    assert not finding.drifted


def test_few_cells_can_show_drift_and_cannot_show_that_there_is_none() -> None:
    assert conclude(draw(12, 10)).word == FEW
    assert conclude(draw(12, 10, brightness=6)).word == SHIFTED
    one = conclude(draw(1, 11))
    assert one.word == FEW and "standard deviations" in one.notes[0]


def test_classes_that_the_reference_lacks_are_said() -> None:
    usual = draw(200, 12, (0.25, 0.25, 0.25, 0.25, 0))
    found = draw(60, 13, (0, 0, 0, 0.5, 0.5))
    said = verdict.conclude(compare(found, usual, 5), found, usual, CLASSES)
    assert "no cell decided as basophil" in said.notes[0]
    alone = draw(60, 13, (0, 0, 0, 0, 1), far=4)
    assert verdict.conclude(compare(alone, usual, 5), alone, usual, CLASSES).word == MIX


def test_every_verdict_has_a_status_and_drift_is_not_0() -> None:
    assert set(verdict.EXIT_STATUS) == set(verdict.WORDS)
    assert [word for word, status in verdict.EXIT_STATUS.items() if status == 0] == [LIKE]
    assert not {1, 2} & set(verdict.EXIT_STATUS.values())  # an error, and wrong arguments


def test_what_would_show_does_show_in_four_of_five() -> None:
    classes = np.repeat(range(5), 20), np.repeat(range(5), 40)
    least = verdict.detectable(standard_error(*classes))
    rng = np.random.default_rng(14)
    seen = [
        van_elteren(Group(rng.normal(least, 1, 100), classes[0]),
                    Group(rng.normal(0, 1, 200), classes[1])).other < ALPHA / len(MEASURES)
        for _ in range(300)
    ]  # fmt: skip
    assert np.mean(seen) == pytest.approx(verdict.POWER, abs=0.09)
