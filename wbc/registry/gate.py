"""The gate: whether a version may become champion, by its answers against the champion's.

Pure: evaluation sets in, a verdict with its words out. What was measured is said whatever the
verdict is. docs/registry.md explains each rule.
"""

from dataclasses import dataclass, field
from typing import Final

from wbc import paired
from wbc.paired import Comparison, Difference
from wbc.params import Promotion
from wbc.registry import noninferiority
from wbc.registry.evidence import EvaluationSet, balanced_accuracy, pair
from wbc.registry.noninferiority import ClassRecall
from wbc.smears import number_of

PRIMARY: Final = "macro_f1"  # must rise; it is what networks are ranked by, and falls with false
# alarms too, which no recall shows


@dataclass(frozen=True)
class Verdict:
    """`reasons` say why not, clauses without a stop, none if the gate was passed; `facts` are
    sentences with the numbers; `scores` by name (new, new less old, p)."""

    reasons: tuple[str, ...]
    facts: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    set: str = ""
    set_sha256: str = ""

    @property
    def passed(self) -> bool:
        return not self.reasons

    @property
    def words(self) -> str:
        return "passed" if self.passed else f"refused: {'; '.join(self.reasons)}"


def against(new: EvaluationSet, old: EvaluationSet, looks: int, rules: Promotion) -> Verdict:
    """Compare with the champion on the same cells: a shown gain, and no class recognised worse."""
    both = pair(new, old)
    found = paired.compare(both)
    recalls = noninferiority.recalls(both, rules.recall_margin)
    reasons = [_no_gain(found), *(_lost(one, rules.recall_margin) for one in recalls)]
    level = balanced_accuracy(new)
    facts = [
        f"On {new.name}, macro-F1 is {_change(found.differences['macro_f1'])} and balanced accuracy"
        f" {level['value']:.3f}, {_change(found.differences['balanced_accuracy'])}.",
        f"The new one alone is right on {_cells(found.only_first_right)}, the champion alone on"
        f" {found.only_second_right} (McNemar's exact p {_p(found.mcnemar_p)}).",
        f"Recalls, with the lower limit of new less old (one-sided 95 %, to lie above"
        f" {-rules.recall_margin:g}): {'; '.join(map(_recall, recalls))}.",
        _about(new, looks),
    ]
    scores = {
        "balanced_accuracy": level["value"],
        "macro_f1_gain": found.differences["macro_f1"].value,
        "macro_f1_p": found.differences["macro_f1"].p,
        "balanced_accuracy_gain": found.differences["balanced_accuracy"].value,
        "mcnemar_p": found.mcnemar_p,
    }
    return Verdict(
        tuple(filter(None, reasons)), " ".join(facts), _rounded(scores), new.name, new.sha256
    )


def first(new: EvaluationSet, looks: int, rules: Promotion) -> Verdict:
    """Without a champion to compare with: balanced accuracy must be surely above the floor."""
    level = balanced_accuracy(new)
    low = level["low"]
    reason = (
        f"the lower limit of its balanced accuracy, {low:.3f}, is not above promotion.floor"
        f" {rules.floor:g}, as the first champion's must be"
    )
    facts = (
        f"On {new.name}, balanced accuracy is {level['value']:.3f} (95 % interval {low:.3f} to"
        f" {level['high']:.3f}); the floor is {rules.floor:g}. {_about(new, looks)}"
    )
    scores = {"balanced_accuracy": level["value"], "balanced_accuracy_low": low}
    reasons = () if low > rules.floor else (reason,)
    return Verdict(reasons, facts, _rounded(scores), new.name, new.sha256)


def _no_gain(found: Comparison) -> str:
    gain = found.differences[PRIMARY]
    if gain.value > 0 and paired.is_shown(gain, gain.p):
        return ""
    if found.only_first_right == found.only_second_right and abs(gain.value) < 1e-9:
        return "it ties with the champion: macro-F1 is the same"
    if gain.value <= 0:
        return f"its macro-F1 is not above the champion's ({gain.value:+.3f})"
    return f"its gain of {gain.value:.3f} in macro-F1 is within noise (p {_p(gain.p)})"


def _lost(one: ClassRecall, margin: float) -> str:
    if one.state == "may be worse":
        return f"the recall of {one.name} may have fallen by {margin:g} or more"
    if one.state == "worse":
        p = paired.mcnemar(one.only_new, one.only_old)
        return (
            f"the recall of {one.name} has fallen: of {one.num_cells} cells, the champion alone is"
            f" right on {one.only_old}, the new one alone on {one.only_new} (p {_p(p)})"
        )
    return ""


def _change(difference: Difference) -> str:
    direction = "higher" if difference.value >= 0 else "lower"
    return (
        f"{abs(difference.value):.3f} {direction} than the champion's (95 % interval"
        f" {difference.low:+.3f} to {difference.high:+.3f}, p {_p(difference.p)})"
    )


def _recall(one: ClassRecall) -> str:
    words = f"{one.name} {one.new:.3f}, was {one.old:.3f}, {one.low:+.3f}"
    if one.state in ("too few to prove", "worse"):
        return f"{words}, {one.num_cells} cells: too few to prove"
    return f"{words}{', not shown' if one.state == 'may be worse' else ''}"


def _about(one: EvaluationSet, looks: int) -> str:
    num_smears = number_of(one.smears)
    of = f" of {num_smears} smears" if num_smears else ""
    words = f"{one.name} has {len(one.cells)} cells{of}, SHA-256 {one.sha256[:8]}; this was look"
    again = "" if looks == 1 else ", and each makes a lucky pass likelier"
    return f"{words} {looks} at it for promotion{again}."


def _cells(number: int) -> str:
    return f"{number} cell" if number == 1 else f"{number} cells"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(score, 6) for name, score in scores.items()}
