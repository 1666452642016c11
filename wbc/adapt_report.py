"""Before and after adapting, on cells that neither model has seen."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from wbc import paired
from wbc.cells import CLASSES
from wbc.figures import set_title
from wbc.model import Card
from wbc.model_card_data import SCORES as NAMES
from wbc.page import NOT_A_DEVICE, Banner, Block, Cell, Items, Page, Section, Table, Text, render
from wbc.wording import cells, p_value, signed

CONFUSION: Final = "After adapting, rows are the true types"
SCORES: Final = (
    "balanced_accuracy", "accuracy", "macro_f1", "mcc", "brier", "ece", "ece_uncalibrated",
)  # fmt: skip


def difference(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    """What adapting changed on one set: rows of both predictions tables, cell by cell the same.

    `balanced_accuracy` after minus before with its 95 % interval: both models on the same
    resamples of smears, or of cells where smears are unknown. `mended` cells became right,
    `broken` ones wrong; `p_value` is McNemar's exact test of the two (1947; two-sided binomial),
    which takes cells for independent. `p_value_bootstrap` is that of the resamples (wbc.paired).

    Raises:
        ValueError: the tables do not hold the same cells.
    """
    if not before["path"].reset_index(drop=True).equals(after["path"].reset_index(drop=True)):
        raise ValueError("before and after hold different cells")
    named = [table.assign(set="") for table in (after, before)]
    by_smear = not (before["group"] == "").any()
    found = paired.compare(paired.join(named[0], named[1], "", by_smear))
    gain = found.differences["balanced_accuracy"]
    return {
        "balanced_accuracy": {"value": gain.value, "low": gain.low, "high": gain.high},
        "mended": found.only_first_right,
        "broken": found.only_second_right,
        "p_value": found.mcnemar_p,
        "p_value_bootstrap": gain.p,
    }  # fmt: skip


def table(results: Mapping[str, Any]) -> pd.DataFrame:
    """before_after.csv: one row a set and score: before, after, each with low and high.

    `results`: {set: {"before": scores, "after": scores, ...}}; recalls as recall/CLASS.
    """
    rows = []
    for name, result in results.items():
        for score in _score_names(result["before"]):
            pair = [_interval(result[when], score) for when in ("before", "after")]
            rows.append((name, score, *pair[0], *pair[1]))
    columns = ["set", "score", "before", "before_low", "before_high", "after", "after_low"]
    return pd.DataFrame(rows, columns=[*columns, "after_high"])


def _score_names(scores: Mapping[str, Any]) -> list[str]:
    recalls = [f"recall/{name}" for name in scores["recall"]]
    return [name for name in SCORES if name in scores] + recalls


def _interval(scores: Mapping[str, Any], name: str) -> tuple[float | None, ...]:
    """Value, low, high of a score; low and high None where it has no interval."""
    value: Any = scores
    for key in name.split("/"):
        value = value[key]
    if isinstance(value, Mapping):
        return float(value["value"]), float(value["low"]), float(value["high"])
    return float(value), None, None


def markdown(
    card: Card, results: Mapping[str, Any], remarks: Sequence[str], notes: Sequence[str]
) -> str:
    """report.md: what was done, before and after, what to think of it.

    `remarks`: on the cells learned from; `notes`: what must not be overlooked.
    """
    lines = [
        f"# {title(card)}",
        "",
        introduction(card),
        "",
        *[f"- {sentence}." for sentence in remarks],
        *[f"\n**{sentence}**" for sentence in notes],
    ]
    for name, result in results.items():
        lines += ["", f"## {name}: {result['before']['num_cells']:,} cells", ""]
        lines += [change(result), "", *_markdown_table(score_rows(result))]
        lines += ["", f"{CONFUSION}:", "", *_markdown_table(confusion_rows(result))]
    return "\n".join([*lines, "", "Research software, not a medical device.", ""])


def html(
    card: Card, results: Mapping[str, Any], remarks: Sequence[str], notes: Sequence[str]
) -> str:
    """report.html: the same as `markdown` on one page."""
    heading = "The mix of the cells" if "unlabelled" in card["adapted"] else "Labelled cells"
    sections = [Section("cells", heading, [Items([f"{each}." for each in remarks])])]
    for name, result in results.items():
        heading = f"{set_title(name)}: {result['before']['num_cells']:,} cells"
        blocks: list[Block] = [
            Text(change(result)),
            _page_table(score_rows(result), "95 % intervals in brackets."),
            _page_table(confusion_rows(result), f"{CONFUSION}, columns the decisions."),
        ]
        sections.append(Section(f"set-{name}", heading, blocks))
    banners = [NOT_A_DEVICE, *[Banner(sentence) for sentence in notes]]
    shown = sections if remarks else sections[1:]
    return render(Page(title(card), introduction(card), shown, banners))


def mix_sentences(mix: pd.DataFrame) -> list[str]:
    """The shares that a correction without labels (wbc.blood_mix) saw and left, a class each."""
    return [
        f"{row['class']}s: {100 * row['before']:.1f} % of the cells before,"
        f" {100 * row['after']:.1f} % after, where blood has about {100 * row['expected']:.0f} %;"
        f" logit {signed(row['offset'], 2)}"
        for row in mix.to_dict("records")
    ]


def title(card: Card) -> str:
    return f"{card['architecture']} adapted to {card['adapted']['set']}"


def introduction(card: Card) -> str:
    adapted = card["adapted"]
    if "unlabelled" in adapted:
        return (
            f"Model {adapted['from'][:8]} with its decisions shifted so that the mix of"
            f" {adapted['unlabelled']:,} cells of {adapted['set']} is one that blood can have. No"
            " label was read but for the scores below, where there are labels: they are those of"
            " the same cells."
        )
    return (
        f"Model {adapted['from'][:8]} learned from {len(adapted['cells'])} labelled cells of"
        f" {adapted['set']} (up to {adapted['per_class']} a class, draw {adapted['seed']}) and from"
        f" {adapted['num_rehearsed']} training cells of its own laboratory. All cells judged below"
        " are others, and of other smears where smears are known."
    )


def change(result: Mapping[str, Any]) -> str:
    """What adapting changed on a set, in a sentence."""
    found = result["difference"]
    gain = found["balanced_accuracy"]
    return (
        f"Balanced accuracy changes by {signed(gain['value'], 3)} ({signed(gain['low'], 3)} to"
        f" {signed(gain['high'], 3)}); {cells(found['mended'])} became right and"
        f" {cells(found['broken'])} wrong (McNemar {p_value(found['p_value'])})."
    )


def score_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A head and a row a score: before and after with their intervals."""
    rows = [["score", "before", "after"]]
    for score in _score_names(result["before"]):
        pair = [_words(_interval(result[when], score)) for when in ("before", "after")]
        rows.append([_name(score), *pair])
    return rows


def _name(score: str) -> str:
    """A score as people call it; recall/monocyte is recall of monocytes."""
    if score.startswith("recall/"):
        return f"recall of {score.removeprefix('recall/')}s"
    return NAMES.get(score, "ECE without temperature" if score == "ece_uncalibrated" else score)


def confusion_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A head and a row a true type: numbers of decisions of the adapted model."""
    counts = result["confusion_after"]
    rows = [[name, *[str(row[other]) for other in CLASSES]] for name, row in counts.items()]
    return [["", *CLASSES], *rows]


def _words(interval: tuple[float | None, ...]) -> str:
    value, low, high = interval
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---|" + "---:|" * (len(rows[0]) - 1), *lines[1:]]


def _page_table(rows: Sequence[Sequence[str]], caption: str) -> Table:
    return Table(rows[0], [[Cell(text) for text in row] for row in rows[1:]], caption)
