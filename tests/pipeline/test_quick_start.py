"""README's three commands from a folder of pictures to a differential, with a champion."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pandas as pd
import pytest

from tests.pipeline.conftest import ROOT, Repository

pytestmark = pytest.mark.pipeline


@pytest.fixture
def with_champion(repository: Repository) -> Repository:
    """Version 1 is champion; two slides of the sample's pictures."""
    repository.run("python", "-m", "wbc", "sync")
    repository.set(promotion__floor=0.2)
    assert "is champion now" in repository.run("python", "-m", "wbc", "promote", "--version", "1")
    pictures = sorted((repository.path / "data" / "raw").rglob("*.jpg"))[::8]
    for number, picture in enumerate(pictures):
        target = repository.path / "slides" / f"slide {number % 2}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    return repository


def test_from_a_folder_of_pictures_to_a_differential(with_champion: Repository) -> None:
    repository = with_champion
    count, review, again = commands(ROOT / "README.md", repository.path / "slides")
    assert count == again
    said = repository.run(*count)
    assert "slide 0: " in said and "slide 1: " in said
    num_before, queue = counted(repository), table(repository, "review.csv")
    assert len(queue) > 0
    assert answer_all(repository, review) == len(queue)
    repository.run(*again)
    assert counted(repository) == num_before + len(queue)
    assert table(repository, "review.csv")["reviewed"].eq("monocyte").all()
    for page in ("index.html", "slides/slide-0.html", "slides/slide-1.html"):
        assert "Not a medical device" in (repository.path / "differential" / page).read_text()


def commands(readme: Path, slides: Path) -> list[list[str]]:
    """Their words, for this folder."""
    section = readme.read_text(encoding="utf-8").split("## From a folder of pictures to a")[1]
    lines = section.split("```bash\n")[1].split("```")[0].splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [[str(slides) if word == "/path/to/slides" else word for word in line] for line in words]


def table(repository: Repository, name: str) -> pd.DataFrame:
    return pd.read_csv(repository.path / "differential" / name, keep_default_na=False)


def counted(repository: Repository) -> int:
    return int(table(repository, "differential.csv")["counted"].sum())


def answer_all(repository: Repository, command: list[str]) -> int:
    """Name every cell of the queue a monocyte, as the page does; how many there were."""
    number = 0
    with subprocess.Popen(
        [sys.executable, *command[1:]], cwd=repository.path, env=repository.environment,
        text=True, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            address = next(found[0] for line in process.stdout
                           if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))  # fmt: skip
            with urlopen(address) as reply:
                token = re.search(r'"token": ?"([^"]+)"', reply.read().decode())
            assert token is not None
            state = ask(f"{address}state?token={token[1]}")
            while question := state["question"]:
                answer = {key: question[key] for key in ("index", "digest")}
                answer |= {"action": "relabel", "label": "monocyte"}
                state = ask(f"{address}answer", json.dumps(answer).encode(), token[1])
                number += 1
        finally:
            process.terminate()
    return number


def ask(address: str, body: bytes | None = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json", "X-Review-Token": token}
    with urlopen(Request(address, body, headers)) as reply:
        assert reply.status == 200
        return json.load(reply)
