"""A real Chromium that tests drive: through its debugging pipe, so without any package or port."""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")  # as in .ci/run
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run")
PATIENCE = 60  # seconds


class Page:
    """One tab. The protocol: JSON messages, each ended by a zero byte, on two pipes."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._number, self._rest, self._session = 0, b"", ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self, element_id: str) -> str:
        return str(self.evaluate(f"document.getElementById('{element_id}').innerText"))

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key * (kind == "keyDown"))

    def wait(self, expression: str) -> None:
        """Until a JavaScript expression is true; one that cannot be evaluated yet is not."""
        deadline = time.monotonic() + PATIENCE
        while not self.evaluate(f"(() => {{ try {{ return !!({expression}) }} catch {{}} }})()"):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            assert select.select([self._reading], [], [], PATIENCE)[0], "Chromium says nothing"
            block = os.read(self._reading, 1 << 16)
            assert block, "Chromium ended"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A browser of its own with one empty tab; it is ended at the end."""
    for_browser, ours = os.pipe()  # it reads commands from 3 and writes answers to 4
    answers, from_browser = os.pipe()

    def place() -> None:
        commands, replies = os.dup(for_browser), os.dup(from_browser)
        os.dup2(commands, 3)
        os.dup2(replies, 4)

    process = subprocess.Popen(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=place,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(for_browser)
    os.close(from_browser)
    try:
        yield Page(answers, ours)
    finally:
        process.terminate()
        process.wait(PATIENCE)
        os.close(answers)
        os.close(ours)
