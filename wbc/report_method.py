"""The report's sections on how the model works and how to make it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from wbc.cells import CLASSES
from wbc.comparison import STARTS
from wbc.model_card_data import DECISIONS, Json, crop_words, is_classical, kind
from wbc.page import Block, Cell, Table, Text, table

if TYPE_CHECKING:
    from wbc.report import Material

IMBALANCE = {
    "logit_adjustment": "the probabilities hold the training shares, the decision divides by"
    " them (logit adjustment)",
    "loss_weights": "inverse class frequencies as weights of the training loss",
    "none": "nothing is done about it",
}


def method(material: Material) -> list[Block]:
    """What goes in, what comes out, and how one becomes the other."""
    card = material.card
    rows = [(name, text) for name, text in _steps(card) if text]
    return [Table(["", "how"], [[Cell(name), Cell(text)] for name, text in rows], words=(1,))]


def _steps(card: Json) -> list[tuple[str, str]]:
    given, parameters = card.get("input", {}), card.get("parameters", {})
    start = STARTS.get(card.get("start", ""), "")
    trained = "" if is_classical(card) else f"; layers trained: {card.get('trained', 'all')}"
    size = f"{given['size']} × {given['size']} pixels" if "size" in given else "pixels"
    return [
        ("model", f"{card['architecture']}: {kind(card)}"),
        ("input", f"the picture of one leukocyte, nothing else: RGB, {size}, {crop_words(card)}"),
        ("started", f"{start}{trained}. {card.get('start_note', '')}".strip()),
        ("output", f"a probability of each of {', '.join(card.get('classes', CLASSES))}"),
        ("decision", DECISIONS.get(card.get("decision", ""), "")),
        ("rare types", IMBALANCE.get(parameters.get("train.imbalance", ""), "")),
        ("temperature", f"{card['temperature']:.3f}: softmax((z − log prior) / T + log prior),"
         " fitted on validation" if "temperature" in card else ""),
    ]  # fmt: skip


def reproduce(material: Material) -> list[Block]:
    """Hashes, commands and parameters."""
    inputs = material.card["inputs"]
    architecture = material.card["architecture"]
    hashes = [
        [Cell(name), Cell(value)]
        for name, value in (
            ("model (SHA-256 of weights and card)", material.sha256),
            ("pixels", str(inputs["pixels"])),
            ("starting weights", str(inputs["weights"])),
        )
    ]
    parameters = pd.DataFrame(
        [(name, _text(value)) for name, value in sorted(material.card["parameters"].items())],
        columns=["parameter", "value"],
    )
    return [
        Text(
            "With the commit that the model's MLflow run names (tag git.commit), the same data and"
            " the parameters below, the same machine makes the same bytes:"
        ),
        Text(
            f"git checkout COMMIT\ndvc repro train@{architecture} evaluate@{architecture}",
            "commands",
        ),
        Text(
            "Software: that commit's requirements.txt pins every package; the versions that were at"
            " work are the tags version.* of the run, beside device and processor. They are not on"
            " this page, for it must be the same wherever it is made."
        ),
        Table(["what", "SHA-256"], hashes, words=(1,)),
        table(
            parameters, "The parameters that decide the model, given pixels and starting weights."
        ),
        Text(
            "split.* and preprocess.*, which decide the pixels, and model.weights, which names the"
            " starting weights, are in that commit's params.yaml; the hashes above say whether they"
            " came to the same."
        ),
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
