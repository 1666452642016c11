"""wbc.written: JSON and predictions that stages wrote, damaged in the ways that files are."""

from pathlib import Path

import pytest

from wbc.errors import UserError
from wbc.written import parsed, read_json, read_predictions, read_scores

MEND = "bring it back with `dvc checkout`, or remove it and run `dvc repro`."
ROWS = "path,set,label,predicted\n" + "a.png,val,monocyte,monocyte\n" * 5


def refused(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        read_scores(path)
    assert str(error.value).startswith(f"{path} should be a JSON file as")
    assert str(error.value).endswith(MEND) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b'{"val": {"ma', b"", b"\xff", b"[" * 99_999, b"1" * 9999])
def test_what_is_no_json_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path / "metrics.json", content, "but cannot be read")


@pytest.mark.parametrize("content", [b"[]", b"7", b"null"])
def test_what_is_no_object_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path / "metrics.json", content, "but is no object with names and values")


def test_scores_are_of_sets(tmp_path: Path) -> None:
    refused(tmp_path / "metrics.json", b'{"val": {}, "test": 7}', "but has no scores of test")
    (tmp_path / "metrics.json").write_text('{"val": {"macro_f1": 0.5}}')
    assert read_scores(tmp_path / "metrics.json") == {"val": {"macro_f1": 0.5}}


def test_what_is_not_there_or_lacks_a_name_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json was expected but is not there; run `dvc repro`"):
        parsed(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"b": 1}')
    assert read_json(tmp_path / "a.json", ["b"]) == {"b": 1}
    with pytest.raises(UserError, match="but has no c; bring it back"):
        read_json(tmp_path / "a.json", ["b", "c"])


def test_predictions_are_of_the_cells_that_were_counted(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(ROWS)
    assert len(read_predictions(tmp_path, {"val": {"num_cells": 5}, "old": {}})) == 5
    with pytest.raises(UserError, match=r"has 5 of the 9 cells of val that metrics\.json"):
        read_predictions(tmp_path, {"val": {"num_cells": 9}})
    with pytest.raises(UserError, match="has 0 of the 3 cells of test that"):
        read_predictions(tmp_path, {"val": {"num_cells": 5}, "test": {"num_cells": 3}})
