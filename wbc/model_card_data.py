"""The model card's tables: which cells, which scores; and the Markdown that they are written in."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wbc.cells import CLASSES, CLASSICAL
from wbc.figures import set_title
from wbc.wording import percent

Json = Mapping[str, Any]
Notes = Mapping[str, Sequence[str]]

SCORES: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "ece": "ECE",
    "brier": "Brier",
}
DECISIONS: Final = {
    "logit_adjustment": "the most probable type after dividing by its share in training, so that"
    " rare types count as much as common ones (logit adjustment, Menon et al. 2021)",
    "argmax": "the most probable type",
}
NOTE_TITLES: Final = {  # notes that belong to the quantitative analyses, in this order
    "shift": "Other laboratories",
    "counts": "Counts",
    "shortcuts": "Shortcuts",
    "seeds": "Training seeds",
}


def evaluation_data(card: Json, metrics: Mapping[str, Json]) -> list[str]:
    rows = []
    for name, scores in metrics.items():
        support = scores["support"]
        lacking = [label for label in CLASSES if label not in support]
        rows.append(
            (
                set_title(name),
                role(card, name),
                f"{scores['num_cells']:,}",
                f"{scores['num_groups']:,}" if scores.get("num_groups") else "unknown",
                ", ".join(f"{label} {count:,}" for label, count in support.items()),
                ", ".join(lacking) or "–",
            )
        )
    return table(("set", "role", "cells", "smears", "of each type", "lacks"), rows)


def crop_words(card: Json) -> str:
    """What of a picture the model sees."""
    given = card.get("input", {})
    around = {"cell": "around the leukocyte found", "mask": "around the given mask"}
    words = "the whole picture"
    if given.get("crop") in around:
        words = f"{around[given['crop']]}, {given.get('context')} cell diameters wide"
    return words


def kind(card: Json) -> str:
    if is_classical(card):
        return "hand-made features of nucleus and cell with multinomial logistic regression"
    return "a convolutional neural network of torchvision"


def is_classical(card: Json) -> bool:
    return bool(card["architecture"] == CLASSICAL)


def role(card: Json, name: str) -> str:
    if name == "val":
        return "fits the temperature" if is_classical(card) else "chooses the epoch"
    external = [s["name"] for s in card.get("sources", []) if s["role"] == "external"]
    return "another laboratory" if name in external else "held out"


def training_data(card: Json, division: Json) -> list[str]:
    named = [f"{s['name']} ({s['kind']})" for s in card.get("sources", [])
             if s["role"] != "external"]  # fmt: skip
    lines = [f"Sources: {', '.join(named)}. Cells trained on: {card.get('num_train', 0):,}."]
    train = division.get("cells", {}).get("train", {})
    if train:
        counts = [label for label in CLASSES if label in train]
        lines.append("Of each type: " + ", ".join(f"{k} {train[k]:,}" for k in counts) + ".")
    smears = division.get("smears", {})
    if smears and any(smears.values()):
        lines.append("A smear never lies on both sides of a division made here.")
        if division.get("smears_in_train_and_test"):
            lines.append(
                f"The published division shares {division['smears_in_train_and_test']:,} smears"
                " between training and test."
            )
    elif smears:
        lines.append("Smears are unknown, so cells of one smear may lie on both sides.")
    if "exact_copies" in division:
        lines.append(
            f"Copies found: {division['exact_copies']:,} exact, {division['near_copies']:,} near,"
            f" {division['copies_across_splits']:,} of them across parts;"
            f" {division['left_out']:,} cells left out."
        )
    for title, prefix in (("Trained with", "train."), ("Varied while training", "train.augment.")):
        found = _parameters(card, prefix)
        if found:
            lines.append(f"{title}: {found}.")
    return bullets(*lines)


def _parameters(card: Json, prefix: str) -> str:
    """Parameters right below a prefix, named and in order."""
    given = card.get("parameters", {})
    names = sorted(name for name in given if name.startswith(prefix))
    below = [name for name in names if "." not in name.removeprefix(prefix)]
    return ", ".join(f"{name.removeprefix(prefix)} {given[name]}" for name in below)


def analyses(metrics: Mapping[str, Json], notes: Notes) -> list[str]:
    shown = [name for name in SCORES if any(name in scores for scores in metrics.values())]
    rows = [
        (set_title(name), *(_interval(scores.get(score)) for score in shown))
        for name, scores in metrics.items()
    ]
    lines = ["### Scores", "", *table(("set", *(SCORES[name] for name in shown)), rows)]
    rows = [
        (label, *(_recall(scores, label) for scores in metrics.values()))
        for label in CLASSES
        if any(label in scores["recall"] for scores in metrics.values())
    ]
    head = ("cell type", *map(set_title, metrics))
    lines += ["", "### Recall of each type, of the cells of that type", "", *table(head, rows)]
    constant = [_constant(name, scores) for name, scores in metrics.items()]
    lines += ["", *bullets(*(text for text in constant if text))] if any(constant) else []
    for name, title in NOTE_TITLES.items():
        if notes.get(name):
            lines += ["", f"### {title}", "", *bullets(*notes[name])]
    return lines


def _constant(name: str, scores: Json) -> str:
    """What doing nothing would have reached, and what goes where it cannot be."""
    if "constant" not in scores:
        return ""
    constant = scores["constant"]
    text = (
        f"{set_title(name)}: always answering {constant['class']} would give accuracy"
        f" {percent(constant['accuracy'])}, balanced accuracy"
        f" {percent(constant['balanced_accuracy'])}."
    )
    if scores.get("share_impossible"):
        text += (
            f" {percent(scores['share_impossible'])} of the cells go to types that the set lacks."
        )
    return text


def _recall(scores: Json, label: str) -> str:
    if label not in scores["recall"]:
        return "–"
    return f"{_interval(scores['recall'][label])} of {scores['support'][label]:,}"


def _interval(score: Json | float | None) -> str:
    """A score with its interval, where it has one."""
    if score is None:
        return "–"
    if not isinstance(score, Mapping):
        return f"{score:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of GitHub's Markdown; a bar in a text would end its cell."""
    lines = [head, ["---"] * len(head), *rows]
    return [
        f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines
    ]


def bullets(*texts: str) -> list[str]:
    return [f"- {text}" for text in texts]
