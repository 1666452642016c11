"""wbc.framing: what store.json and model.json say, also those of earlier versions."""

import pytest

from wbc.errors import UserError
from wbc.framing import Framing

SETTINGS = {"size": 64, "crop": "cell", "context": 1.5}


def test_settings_are_read_back_and_other_entries_passed_over() -> None:
    framing = Framing.of(SETTINGS | {"num_cells": 9})
    assert framing == Framing(64, "cell", 1.5)
    assert framing.settings() == SETTINGS


def test_removed_settings_that_changed_nothing_are_passed_over() -> None:
    older = SETTINGS | {"light": "keep", "surroundings": "keep"}
    assert Framing.of(older) == Framing(64, "cell", 1.5)


@pytest.mark.parametrize("name, value", [("light", "neutral"), ("surroundings", "fade")])
def test_pictures_that_can_no_longer_be_made_are_refused(name: str, value: str) -> None:
    both = {"light": "keep", "surroundings": "keep"} | {name: value}
    words = f"preprocess.{name} keep, but has {value}, which .*; use the code of .*, or train anew"
    with pytest.raises(UserError, match=words):
        Framing.of(SETTINGS | both)
