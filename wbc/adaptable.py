"""Which model can be adapted, to cells of which laboratory."""

from pathlib import Path
from typing import Any

from wbc import model
from wbc.architectures import ARCHITECTURES
from wbc.errors import UserError
from wbc.framing import Framing
from wbc.pixels import PixelStore
from wbc.shift_report import reference_set


def read_card(folder: Path) -> model.Card:
    """The model's card, refused where the model cannot be adapted.

    Raises:
        UserError: the file is damaged or lacks what adapting needs, or the model is no network.
    """
    card = model.read_card(folder)
    architecture = card["architecture"]
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"A network is needed to adapt, one of {', '.join(ARCHITECTURES)}, but {folder} holds"
            f" {architecture}, which has no layers to fine-tune; name another with --model."
        )
    if wrong := _unsaid(card):
        raise UserError(
            f"{folder} can be used but not adapted: its model.json does not say {wrong} as this"
            " version of the code does; name another with --model, or train one with `dvc repro`."
        )
    return card


def _unsaid(card: model.Card) -> str:
    """What adapting needs of a card and its use does not, the first that is missing or odd."""
    parameters, sources, inputs = (card.get(name) for name in ("parameters", "sources", "inputs"))
    dropout = model.parameter(card, "model.dropout")
    adapted = card.get("adapted", None if "offsets" in card else {"set": ""})
    said = {
        "parameters": isinstance(parameters, dict)
        and isinstance(dropout, float | int | None)
        and 0 <= (dropout or 0) < 1,
        "sources": isinstance(sources, list) and all(map(_is_source, sources)),
        "inputs": isinstance(inputs, dict) and isinstance(inputs.get("pixels"), str),
        "start_note": isinstance(card.get("start_note"), str),
        "drawn": isinstance(card.get("drawn"), bool),
        "adapted": isinstance(adapted, dict) and isinstance(adapted.get("set"), str),
    }
    return next((name for name, right in said.items() if not right), "")


def _is_source(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(n), str) for n in ("name", "role"))


def check(card: model.Card, store: PixelStore, name: str) -> None:
    """Refuse what could not be learned from or judged.

    Raises:
        UserError: the set is unknown, the model has learned from it, or its squares differ.
    """
    fit = [s for s in store.evaluation_sets() if s not in (own_test(card, store), "val")]
    fit = [s for s in fit if s not in _learned(card)]
    choice = f"name one that it has not seen, data/pixels has {', '.join(fit) or 'none'}"
    if name in _learned(card) | set(own_sets(card, store)) - set(fit):
        raise UserError(
            f"A model adapts to cells of a laboratory that it has not learned from, but it has"
            f" learned from {name}, or was chosen by it; {choice}."
        )
    if name not in fit:
        raise UserError(
            f"{name} is no set of another laboratory's cells; {choice}, or add it to"
            " data.sources in params.yaml with role external and run `dvc repro`."
        )
    found = Framing.of(store.settings).settings()
    for key, value in Framing.of(card["input"]).settings().items():
        if found[key] != value:
            raise UserError(
                f"The model expects cells with preprocess.{key} {value}, but data/pixels was made"
                f" with {found[key]}; set it in params.yaml and run `dvc repro`."
            )


def own_test(card: model.Card, store: PixelStore) -> str:
    """The set that shows what the model forgets: its laboratory's first test, else val."""
    return reference_set(own_sets(card, store))


def own_sets(card: model.Card, store: PixelStore) -> list[str]:
    """The sets made of cells of the model's own laboratories."""
    own = set(store.table["split"][store.table["source"].isin(_learned(card))])
    return [name for name in store.evaluation_sets() if name in own]


def _learned(card: model.Card) -> set[str]:
    """Names of the sources, and of sets adapted to, that the model has learned from."""
    return {entry["name"] for entry in card["sources"] if entry["role"] != "external"}
