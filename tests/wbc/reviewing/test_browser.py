"""The review page in a real browser: keys, what is shown, and that nothing answered is lost."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import browser
from tests.wbc import pictures
from tests.wbc.reviewing.cases import write_out
from wbc.cells import CLASSES
from wbc.reviewing import journal
from wbc.reviewing.session import CHANGED

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no chromium on this machine")


@contextmanager
def review(out: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A running `python -m wbc review` and its address."""
    command = [sys.executable, "-m", "wbc", "review", str(out), "--reviewer", "Ada"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Open http://127.0.0.1:")
        yield line.split()[1], process
    finally:
        process.kill()
        process.wait()


def test_a_review_survives_a_kill_and_goes_on(tmp_path: Path) -> None:
    out = write_out(tmp_path, num_cells=5)
    with browser.page(tmp_path / "profile") as page:
        with review(out) as (address, process):
            page.open(address)
            page.wait("document.body.dataset.index === '0'")
            page.wait("document.getElementById('picture').naturalWidth === 120")
            page.wait("document.getElementById('square').naturalWidth === 64")
            assert page.text("count") == "0 of 5 answered"
            assert page.text("where") == "a/0.png, slide a"
            assert "yes, monocyte" in page.text("accept")
            assert "Models differ. other-model says basophil." in page.text("why")
            page.press("a")
            page.wait("document.body.dataset.index === '1'")
            page.press("4")
            page.wait("document.body.dataset.index === '2'")
            page.press("5")
            page.wait("document.body.dataset.index === '3'")
            page.press("u")
            page.wait("document.body.dataset.index === '2'")
            assert page.text("count") == "2 of 5 answered"
            for ignored in ("repeat: true", "ctrlKey: true"):
                pressed = f"new KeyboardEvent('keydown', {{key: 'a', {ignored}, bubbles: true}})"
                page.evaluate(f"document.body.dispatchEvent({pressed})")
                page.wait("!busy")
            process.send_signal(signal.SIGKILL)
            process.wait()
            page.press("a")
            page.wait("!document.getElementById('problem').hidden")
            assert "may not have been saved" in page.text("problem")
            assert page.evaluate("document.body.dataset.index") == "2"
        with review(out) as (address, process):
            page.open(address)
            page.wait("document.body.dataset.index === '2'")
            assert page.text("count") == "2 of 5 answered"
            page.press("s")
            page.wait("document.body.dataset.index === '3'")
            page.wait("document.getElementById('picture').naturalWidth === 120")
            path = tmp_path / "slides" / "a" / "3.png"
            path.write_bytes(pictures.encoded(pictures.cell(140, 140, 60, 60)))  # behind its back
            page.press("a")
            page.wait("!document.getElementById('problem').hidden")
            assert page.text("problem") == CHANGED
            page.wait("document.getElementById('picture').naturalWidth === 140")
            path.write_bytes(pictures.encoded(pictures.cell(130, 130, 60, 60)))
            page.evaluate(
                "ask({...state.question, digest: 'of the time before'})"
            )  # comes too late
            page.wait("document.getElementById('picture').naturalWidth === 130")
            assert page.text("count") == "2 of 5 answered, 1 skipped"
            page.evaluate("document.querySelector('[data-label=other]').click()")
            page.wait("document.body.dataset.index === '4'")
            page.press("1")
            page.wait("document.body.dataset.index === 'none'")
            assert page.text("count") == "4 of 5 answered, 1 skipped"
            assert "python -m wbc differential" in page.text("finished")
            page.press("r")
            page.wait("document.body.dataset.index === '2'")
            for key, label in (("2", CLASSES[1]), ("3", CLASSES[2]), ("0", "other")):
                page.press(key)
                page.wait("document.body.dataset.index === 'none'")
                assert journal.read(out)[-1].label == label
                page.press("u")
                page.wait("document.body.dataset.index === '2'")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 143
    given = journal.by_picture(journal.read(out)).values()
    answers = {entry.cell: entry.label for entry in given if entry.label}
    assert answers == {
        "a/0.png": "monocyte", "a/1.png": "eosinophil", "a/3.png": "other", "a/4.png": "neutrophil",
    }  # fmt: skip
    lines = [json.loads(line) for line in (out / journal.FILE).read_text().splitlines()]
    actions = ["accept", "relabel", "relabel", "undo", "skip", "relabel", "relabel", "again"]
    actions += ["relabel", "undo", "accept", "undo", "relabel", "undo"]  # 3 is what the model says
    assert [line["action"] for line in lines] == actions
    assert {line["reviewer"] for line in lines} == {"Ada"}
