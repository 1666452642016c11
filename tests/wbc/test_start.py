"""wbc.start: what the stage weights left of where a network starts."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from wbc.errors import UserError
from wbc.start import CARD_FILE, Start, read_start

START = Start("resnet18", "random", "", "no network")


def test_a_start_comes_back(tmp_path: Path) -> None:
    (tmp_path / CARD_FILE).write_text(json.dumps(asdict(START)))
    assert read_start(tmp_path) == START
    (tmp_path / CARD_FILE).write_text(json.dumps(asdict(START) | {"later": 1}))
    assert read_start(tmp_path) == START


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"archi', "cannot be read"), ("[]", "no object"), ("{}", "has no architecture")],
)
def test_a_damaged_start_is_one_sentence(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(UserError, match=r"start\.json was expected but is not there"):
        read_start(tmp_path)
    (tmp_path / CARD_FILE).write_text(content)
    with pytest.raises(
        UserError, match=rf"start\.json should be a JSON .* but .*{words}.*checkout"
    ):
        read_start(tmp_path)
