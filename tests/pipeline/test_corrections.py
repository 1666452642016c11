"""From a person's answers on the review page to a model that has learned from them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.pipeline.conftest import Repository, commit
from tests.pipeline.test_incoming import picture
from tests.wbc.reviewing.cases import write_out
from tests.wbc.reviewing.test_export import answer
from wbc.reviewing import journal
from wbc.reviewing.journal import Entry

pytestmark = pytest.mark.pipeline
NAME = "squeezenet1_1"
TARGET = "data/incoming/reviewed"
SOURCE = {
    "kind": "folder", "name": "reviewed", "role": "train", "path": TARGET, "table": "labels.csv"
}  # fmt: skip


def reviewed(repository: Repository) -> dict[str, str]:
    """{label: part} of the reviewed cells that the stages prepared."""
    index = pd.read_csv(repository.path / "data/pixels/index.csv", keep_default_na=False)
    ours = index[index["path"].str.startswith("reviewed/")]
    return dict(zip(ours["label"], ours["split"], strict=True))


def test_the_next_repro_learns_from_what_was_reviewed(
    repository: Repository, tmp_path: Path
) -> None:
    out = write_out(tmp_path / "review", num_cells=2)
    for number in range(2):  # drawn ones are too alike: the second would be dropped as a copy
        picture(out.parent / "slides" / "a" / f"{number}.png", 5000 + number)
    answer(out, c0="basophil", c1="monocyte")
    export = ("python", "-m", "wbc", "review", str(out), "--export", TARGET)
    assert "dvc add" in repository.run(*export)
    repository.run("dvc", "add", TARGET)
    before = YAML(typ="safe").load(repository.path / "params.yaml")["data"]["sources"]
    repository.set(data__sources=[*before, SOURCE])
    commit(repository, "reviewed")
    ran = repository.ran(repository.run("dvc", "repro", f"train@{NAME}"))
    assert ran == ["download", "split", "preprocess", f"train@{NAME}"]
    assert reviewed(repository) == {"basophil": "train", "monocyte": "train"}
    card = json.loads((repository.path / "models" / NAME / "model.json").read_text())
    assert [source["name"] for source in card["sources"]] == [
        *(source["name"] for source in before), "reviewed"
    ]  # fmt: skip

    with journal.opened(out) as opened:
        opened.append(Entry("undo"))
    repository.run(*export)
    repository.run("dvc", "add", TARGET)
    assert "preprocess" in repository.ran(repository.run("dvc", "repro", "preprocess"))
    assert reviewed(repository) == {"basophil": "train"}
