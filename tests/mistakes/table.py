"""Mistakes that people make, and the sentence that each of them sees: table.yaml."""

from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from tests.mistakes import data, machine, registry, settings, tracking, training, using
from tests.mistakes.scene import Maker, Mistake

MODULES: Final = (data, machine, registry, settings, tracking, training, using)


def read() -> dict[str, list[Mistake]]:
    """The rows, by the headings of the document."""
    path = Path(__file__).with_name("table.yaml")
    sections = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return {
        heading: [
            Mistake(row["mistake"], row["found"], row.get("next", ""), row.get("status", 1))
            for row in rows
        ]
        for heading, rows in sections.items()
    }


def makers() -> dict[str, Maker]:
    """How each is made, by its name."""
    return {name: maker for module in MODULES for name, maker in module.MAKERS.items()}
