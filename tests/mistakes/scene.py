"""Where mistakes are made: a small repository around this process, and what its user sees."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages import _run
from tests.mlflow_home import ARCHITECTURE, lock_model, new_home, write_model, write_reference
from tests.pipeline.conftest import ROOT, set_params
from tests.wbc import pictures
from tests.wbc.stores import SIZE, make_store
from wbc import cli
from wbc.cells import CLASSES, read_table, write_table

MODEL = f"models/{ARCHITECTURE}"
CARD = {
    "sources": [
        {"name": "blobs", "kind": "folder", "role": "auto"},
        {"name": "abroad", "kind": "folder", "role": "external"},
    ],
    "input": {"size": SIZE, "crop": "none", "context": 1.5},
    "temperature": 1.5,
}


@dataclass(frozen=True)
class Seen:
    """What a command left on the screen, and its exit status."""

    text: str
    status: int

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@dataclass(frozen=True)
class Mistake:
    """A row of table.yaml, which says what the fields are."""

    name: str
    found: str
    next: str
    status: int

    @property
    def pattern(self) -> re.Pattern[str]:
        """Both in one line, in this order."""
        parts = [".*?".join(map(re.escape, text.split("…"))) for text in (self.found, self.next)]
        return re.compile(".*?".join(parts))


class Scene:
    """A repository with settings, pixels, a trained model and an MLflow database of its own."""

    def __init__(
        self,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.home = home
        self.monkeypatch = monkeypatch
        self._capsys = capsys
        self._caplog = caplog

    def wbc(self, *words: str) -> Seen:
        """`python -m wbc WORDS`, in this process."""
        return self.seen(lambda: cli.main(list(words)))

    def stage(self, name: str, *words: str) -> Seen:
        """`python -m stages.NAME WORDS`, in this process."""
        module = importlib.import_module(f"stages.{name}")
        self.monkeypatch.setattr(sys, "argv", [f"stages.{name}", *words])
        self.monkeypatch.setattr("wbc.processes.end_with_dvc", lambda: None)
        return self.seen(lambda: _run.run(module.main))

    def seen(self, command: Callable[[], None]) -> Seen:
        """What a command that runs in this process says, and how it ends."""
        self._caplog.clear()
        self._capsys.readouterr()
        end: Any = 0
        with self._caplog.at_level("INFO"):
            try:
                command()
            except SystemExit as ended:
                end = ended.code
        printed = self._capsys.readouterr()
        said = [record.getMessage() for record in self._caplog.records]
        said += [printed.out, printed.err, end if isinstance(end, str) else ""]
        return Seen("\n".join(said), 1 if isinstance(end, str) else int(end or 0))

    def process(self, *words: str, **environment: str) -> Seen:
        """A process of its own, in the repository."""
        done = subprocess.run(
            words, cwd=self.home, env=os.environ | environment, text=True, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Seen(done.stdout, done.returncode)

    def write(self, name: str, content: str | bytes = b"") -> Path:
        """A file of the repository; its folders are made."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def edit(self, old: str, new: str) -> None:
        """Change the text of params.yaml by hand."""
        text = Path("params.yaml").read_text(encoding="utf-8")
        assert old in text, old
        self.write("params.yaml", text.replace(old, new, 1))

    def set(self, **values: Any) -> None:
        set_params(self.home, {key.replace("__", "."): value for key, value in values.items()})

    def cells(self, folder: str, number: int = 3) -> None:
        """So many pictures of single cells in a folder."""
        for index in range(number):
            picture = pictures.cell(120, 120, 50 + index, 60)
            self.write(f"{folder}/{index}.png", pictures.encoded(picture))

    def laboratory(
        self, num_cells: int = 3, classes: tuple[str, ...] = CLASSES, **more: Any
    ) -> None:
        """data/incoming/lab with a folder for each class, as the only source."""
        for label in classes:
            for index in range(num_cells):
                noise = np.random.default_rng((index, *label.encode()))
                picture = Image.fromarray(noise.integers(0, 255, (6, 6, 3), np.uint8))
                picture = picture.resize((48, 48), Image.Resampling.BICUBIC)
                path = f"data/incoming/lab/{label}/s{index}_{index}.png"
                self.write(path, pictures.encoded(picture))
        source = {"kind": "folder", "name": "lab", "role": "auto", "path": "data/incoming/lab"}
        self.set(data__sources=[source | more])


Maker = Callable[[Scene], Seen]


def write_home(folder: Path) -> None:
    """What `Scene` finds in its repository, but for the database."""
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    shutil.copy(ROOT / "params.yaml", folder)
    set_params(
        folder,
        {
            "architectures": [ARCHITECTURE],
            "train.epochs": 2,
            "train.head_epochs": 1,
            "model.weights": "none",
        },
    )
    pixels = folder / "data" / "pixels"
    make_store(pixels, {"train": 3, "val": 2, "test": 2, "abroad": 4})
    table = read_table(pixels / "index.csv")
    table.loc[table["split"] == "abroad", "source"] = "abroad"
    write_table(table, pixels / "index.csv")
    write_reference(write_model(folder, **CARD)[0])


def open_home(template: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `template` with a database, around this process."""
    shutil.copytree(template, folder)
    new_home(folder, monkeypatch)
    lock_model(folder, ARCHITECTURE)
    return folder
