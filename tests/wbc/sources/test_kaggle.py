"""wbc.sources.kaggle: two processes at once, and what is done where Kaggle has no answer."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from tests.kaggle_server import ARCHIVE, GET_DATASET, KaggleServer, serve
from tests.loopback import send
from wbc import fetching
from wbc.errors import UserError
from wbc.fetching import Unavailable
from wbc.sources import kaggle

HANDLE = "somebody/cells"
ASK = f"""
import kagglehub
from wbc.sources import kaggle
print("ready", flush=True)
input()
print(kaggle.dataset({HANDLE!r}))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/1.jpg").write_bytes(b"picture" * 10_000)
    return tmp_path / "tree"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0, 0, 0))
    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)


def start(environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", ASK],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_share_one_download(tmp_path: Path, tree: Path) -> None:
    with KaggleServer(tree, HANDLE) as server:
        second, lock = threading.Event(), threading.Lock()

        def slow(handler: BaseHTTPRequestHandler) -> None:
            """The first answer waits a second for another request, which should not come."""
            if lock.acquire(blocking=False):
                second.wait(1)
            else:
                second.set()
            server.file(handler)

        server.routes[ARCHIVE] = slow
        processes = [start(server.environment(tmp_path)) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
        answers = [process.communicate(timeout=120) for process in processes]
        num_downloads = sum(path == ARCHIVE for _, path, _ in server.requests)
    assert [process.returncode for process in processes] == [0, 0], answers
    assert num_downloads == 1
    folders = {Path(stdout.splitlines()[-1]) for stdout, _ in answers}  # kagglehub prints too
    assert len(folders) == 1
    assert (folders.pop() / "1.jpg").read_bytes() == (tree / "1.jpg").read_bytes()


def test_cached_version_serves_where_kaggle_fails(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with KaggleServer(tree, HANDLE) as server:
        serve(server, tmp_path, monkeypatch)
        folder = kaggle.dataset(HANDLE)
        server.routes[GET_DATASET] = lambda handler: send(handler, b"", 503)
        assert kaggle.dataset(HANDLE) == folder
    assert "cache is used" in caplog.text


def test_a_cache_that_cannot_be_written_still_serves(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise PermissionError

    with KaggleServer(tree, HANDLE) as server:
        serve(server, tmp_path, monkeypatch)
        folder = kaggle.dataset(HANDLE)
        monkeypatch.setattr(kaggle, "FileLock", read_only)
        assert kaggle.dataset(HANDLE) == folder


def test_what_cannot_be_had_is_told_from_what_is_damaged(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KaggleServer(tree, HANDLE) as server:
        serve(server, tmp_path, monkeypatch)
        with pytest.raises(Unavailable, match=r"refuses .* 404"):
            kaggle.dataset("nobody/nothing")
        server.file.data, server.file.headers = b"no archive" * 100, {}
        with pytest.raises(UserError, match="4 attempts") as raised:
            kaggle.dataset(HANDLE)
        assert not isinstance(raised.value, Unavailable)
        server.routes[GET_DATASET] = lambda handler: send(handler, b"", 503)
        with pytest.raises(Unavailable, match="4 attempts"):
            kaggle.dataset(HANDLE)


def test_tls_failure_is_not_tried_again(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(session: requests.Session, request: requests.PreparedRequest, **_: object) -> None:
        raise requests.exceptions.SSLError("certificate verify failed", request=request)

    monkeypatch.setattr(requests.Session, "send", refuse)
    monkeypatch.setattr(fetching.time, "sleep", lambda _: pytest.fail("tried again"))
    with KaggleServer(tree, HANDLE) as server:
        serve(server, tmp_path, monkeypatch)
        with pytest.raises(Unavailable, match=r"cannot be trusted: certificate"):
            kaggle.dataset(HANDLE)
