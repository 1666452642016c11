"""wbc.registry.gate and evidence: verdicts on answers, with both sides of every rule."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.registry_home import RULES, answers, scattered
from wbc.cells import CLASSES
from wbc.registry import evidence, gate
from wbc.registry.evidence import MissingEvidence, choose, same_set


def _verdict(new: pd.DataFrame, old: pd.DataFrame) -> gate.Verdict:
    return gate.against(choose(new, "auto"), choose(old, "auto"), 1, RULES)


def test_a_shown_gain_without_a_loss_passes_and_says_its_numbers() -> None:
    found = _verdict(answers(2), answers(15))
    assert found.passed and found.words == "passed"
    for words in (
        "On test_a, macro-F1 is 0.217 higher than the champion's (95 % interval +0.",
        "p < 0.001) and balanced accuracy 0.967, 0.217 higher",
        "The new one alone is right on 65 cells, the champion alone on 0 (McNemar's exact p < 0.0",
        "(one-sided 95 %, to lie above -0.05): neutrophil 0.967, was 0.750, +0.1",
        "test_a has 300 cells of 15 smears, SHA-256 ",
        "this was look 1 at it for promotion.",
    ):
        assert words in found.facts
    assert found.scores == pytest.approx(
        {"balanced_accuracy": 0.967, "macro_f1_gain": 0.217, "macro_f1_p": 0.0,
         "balanced_accuracy_gain": 0.217, "mcnemar_p": 0.0}, abs=1e-3,
    )  # fmt: skip
    assert (
        found.facts.count("neutrophil") == 1
        and "neutrophil 0.967, was 0.750, +0.1" in (found.facts.split("; ")[0])
    )
    assert "not shown" not in found.facts and "too few" not in found.facts
    assert found.set == "test_a"
    assert f"SHA-256 {found.set_sha256[:8]}; this was" in found.facts


def test_a_tie_is_refused() -> None:
    assert _verdict(answers(5), answers(5)).reasons == (
        "it ties with the champion: macro-F1 is the same",
    )


def test_a_gain_within_noise_is_refused() -> None:
    (reason, *_) = _verdict(scattered(0.10, seed=1), scattered(0.12, seed=2)).reasons
    assert "within noise (p 0." in reason


def test_a_worse_model_is_refused() -> None:
    (gain, *lost) = _verdict(answers(15), answers(2)).reasons
    assert gain == "its macro-F1 is not above the champion's (-0.217)"
    assert lost == [f"the recall of {name} may have fallen by 0.05 or more" for name in CLASSES]
    facts = _verdict(answers(15), answers(2)).facts
    assert "macro-F1 is 0.217 lower than the champion's (95 % interval -0." in facts
    recalls = facts.split("to lie above -0.05): ")[1].partition(". test_a has ")[0].split("; ")
    assert len(recalls) == len(CLASSES) and all(one.endswith(", not shown") for one in recalls)
    assert recalls[0].startswith("neutrophil 0.750, was 0.967, -0.")


def test_other_answers_are_no_tie_and_equal_scores_no_gain() -> None:
    """As many cells gained as lost, in other classes; then the same in each class."""
    mixed = answers(4)
    monocytes = answers(8)["label"] == "monocyte"
    mixed[monocytes] = answers(8)[monocytes]
    basophils = answers(0)["label"] == "basophil"
    mixed[basophils] = answers(0)[basophils]
    assert "macro-F1" in _verdict(mixed, answers(4)).reasons[0]
    assert "ties" not in _verdict(mixed, answers(4)).reasons[0]
    (reason, *_) = _verdict(answers(4, from_end=True), answers(4)).reasons
    assert reason == "it ties with the champion: macro-F1 is the same"


def test_a_set_without_smears_and_a_single_cell_are_said_as_such() -> None:
    new, old = answers(2).assign(group=""), answers(2).assign(group="")
    old.loc[5, "predicted"] = "monocyte"
    facts = _verdict(new, old).facts
    assert "alone is right on 1 cell, the champion alone on 0 (" in facts
    assert "test_a has 300 cells, SHA-256 " in facts


def _with_basophils(size: int, wrong: int) -> pd.DataFrame:
    """Basophils alone have `wrong` mistakes; the others are as in a much better model."""
    table = answers(2)
    kept = table[(table["label"] != "basophil") | table["path"].isin(_basophils(size))]
    return kept.assign(
        predicted=kept["predicted"].where(
            ~kept["path"].isin(_basophils(wrong)) | (kept["label"] != "basophil"), "monocyte"
        )
    )


def _basophils(number: int) -> list[str]:
    return [f"lab/basophil-{i}.png" for i in range(2, 2 + number)]


def _champion_with_basophils(size: int) -> pd.DataFrame:
    table = answers(20)
    kept = table[(table["label"] != "basophil") | table["path"].isin(_basophils(size))]
    return kept.assign(predicted=kept["predicted"].where(kept["label"] != "basophil", "basophil"))


def test_a_gain_overall_does_not_buy_a_lost_class() -> None:
    found = _verdict(_with_basophils(58, 5), _champion_with_basophils(58))
    assert found.reasons == ("the recall of basophil may have fallen by 0.05 or more",)
    assert "basophil 0.914, was 1.000, -0.1" in found.facts and "not shown" in found.facts


def test_of_few_cells_only_a_significant_loss_refuses() -> None:
    lenient = _verdict(_with_basophils(20, 5), _champion_with_basophils(20))
    assert lenient.passed
    assert "20 cells: too few to prove" in lenient.facts
    strict = _verdict(_with_basophils(20, 6), _champion_with_basophils(20))
    assert strict.reasons == (
        "the recall of basophil has fallen: of 20 cells, the champion alone is right on 6, the new"
        " one alone on 0 (p 0.031)",
    )
    assert "20 cells: too few to prove" in strict.facts


def test_looks_are_said() -> None:
    new, old = choose(answers(2), "auto"), choose(answers(15), "auto")
    assert "this was look 7 at it for promotion, and each makes a lucky pass likelier." in (
        gate.against(new, old, 7, RULES).facts
    )


def test_the_first_must_be_surely_above_the_floor() -> None:
    new = choose(answers(3), "auto")
    low = evidence.balanced_accuracy(new)["low"]
    assert 0.85 < low < 0.95
    passed = gate.first(new, 1, replace(RULES, floor=low - 0.01))
    assert passed.passed and f"(95 % interval {low:.3f} to " in passed.facts
    assert passed.scores == pytest.approx(
        {"balanced_accuracy": 0.95, "balanced_accuracy_low": low}, abs=1e-6
    )
    assert (passed.set, passed.set_sha256) == ("test_a", new.sha256)
    refused = gate.first(new, 3, replace(RULES, floor=low + 0.01))
    assert "this was look 3 at it for promotion, and each makes" in refused.facts
    assert not gate.first(new, 1, replace(RULES, floor=low)).passed  # not above is not enough
    assert f"the lower limit of its balanced accuracy, {low:.3f}, is not above" in refused.words


def test_auto_takes_the_first_test_set_with_all_classes() -> None:
    val, test_a, lab = (answers(2, cells=n, name=n) for n in ("val", "test_a", "lab"))
    test = answers(2, cells="t", name="test")
    test = test[test["label"] != "basophil"]
    assert choose(pd.concat([val, test, test_a, lab]), "auto").name == "test_a"
    assert choose(pd.concat([val, lab, test_a]), "lab").name == "lab"
    with pytest.raises(
        MissingEvidence, match=r"five classes \(promotion.set: auto\), but on val, test, lab$"
    ):
        choose(pd.concat([val, test, lab]), "auto")
    with pytest.raises(MissingEvidence, match="the set other"):
        choose(val, "other")
    with pytest.raises(MissingEvidence, match=r"but on nothing$"):
        choose(val.head(0), "auto")


def test_a_set_is_known_by_its_cells_and_labels_not_by_name_or_path() -> None:
    new = choose(answers(2), "auto")
    moved = answers(15, name="test").assign(path=lambda t: "elsewhere/" + t["path"])
    shuffled = moved.sample(frac=1, random_state=1)
    old = same_set(pd.concat([answers(3, cells="b"), shuffled]), new)
    assert old is not None and old.name == "test"
    assert gate.against(new, old, 1, RULES).scores == _verdict(answers(2), answers(15)).scores
    relabelled = answers(15).assign(label=lambda t: t["label"].replace("basophil", "monocyte"))
    assert same_set(relabelled, new) is None


def test_copies_of_one_picture_are_paired_once() -> None:
    twice = [pd.concat([answers(n), answers(n).head(10)]) for n in (2, 15)]
    new, old = (choose(table, "auto") for table in twice)
    assert len(evidence.pair(new, old).labels) == 310
