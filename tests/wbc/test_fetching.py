"""Downloads against a loopback server: resumed, restarted, checked, refused, given up in time."""

import hashlib
import json
import socket
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.loopback import LoopbackServer, RangedFile, redirect, send, stalled
from wbc import fetching
from wbc.errors import UserError
from wbc.fetching import NoNetwork, Unavailable, check_network, download

DATA = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0, 0, 0))
    monkeypatch.setattr(fetching, "_CHUNK", 1 << 16)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_whole_file_is_checked_and_not_fetched_twice(tmp_path: Path) -> None:
    with LoopbackServer({"/f": RangedFile(DATA)}) as server:
        target = tmp_path / "deep" / "f.zip"
        assert download(f"{server.url}/f", target, sha256=SHA256, size=len(DATA)) == target
        download(f"{server.url}/f", target, sha256=SHA256)
        assert len(server.requests) == 1
    assert target.read_bytes() == DATA
    assert left_over(target.parent) == ["f.zip"]


def test_broken_off_download_is_resumed(tmp_path: Path) -> None:
    with LoopbackServer({"/f": RangedFile(DATA, num_cuts=2)}) as server:
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256)
        ranges = [headers.get("range") for _, _, headers in server.requests]
    half = len(DATA) // 2
    assert ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_later_call_resumes(tmp_path: Path) -> None:
    with LoopbackServer({"/f": RangedFile(DATA, num_cuts=4)}) as server:
        with pytest.raises(Unavailable, match=r"4 attempts.*same command again"):
            download(f"{server.url}/f", tmp_path / "f")
        assert left_over(tmp_path) == ["f.part", "f.part.json"]
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256)
        assert "range" in server.requests[-1][2]
    assert left_over(tmp_path) == ["f"]


@pytest.mark.parametrize("etag", ['"v2"', 'W/"v1"'])
def test_another_or_a_weak_validator_restarts(tmp_path: Path, etag: str) -> None:
    file = RangedFile(DATA[::-1], etag='W/"v1"' if etag[0] == "W" else '"v1"', num_cuts=4)
    with LoopbackServer({"/f": file}) as server:
        with pytest.raises(UserError):
            download(f"{server.url}/f", tmp_path / "f")
        server.routes["/f"] = RangedFile(DATA, etag=etag)
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256)
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("state", ["", "[]", '{"url": "other", "validator": "\\"v1\\""}'])
def test_leftover_without_a_valid_note_restarts(tmp_path: Path, state: str) -> None:
    (tmp_path / "f.part").write_bytes(b"rubbish")
    (tmp_path / "f.part.json").write_text(state)
    with LoopbackServer({"/f": RangedFile(DATA)}) as server:
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256)


def test_part_longer_than_the_file_restarts(tmp_path: Path) -> None:
    with LoopbackServer({"/f": RangedFile(DATA)}) as server:
        (tmp_path / "f.part").write_bytes(DATA + b"more")
        state = {"url": f"{server.url}/f", "validator": '"v1"'}
        (tmp_path / "f.part.json").write_text(json.dumps(state))
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256)


@pytest.mark.parametrize(
    "expected",
    [{"sha256": "0" * 64}, {"sha256_prefix": "deadbeef"}, {"size": 5}],
)
def test_wrong_file_is_removed(tmp_path: Path, expected: dict[str, str | int]) -> None:
    with (
        LoopbackServer({"/f": RangedFile(DATA)}) as server,
        pytest.raises(UserError, match="another file than expected") as raised,
    ):
        download(f"{server.url}/f", tmp_path / "f", **expected)  # type: ignore[arg-type]
    assert not isinstance(raised.value, Unavailable)
    assert left_over(tmp_path) == []


def test_right_prefix_and_a_replaced_wrong_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with LoopbackServer({"/f": RangedFile(DATA)}) as server:
        download(f"{server.url}/f", tmp_path / "f", sha256_prefix=SHA256[:8].upper())
    assert (tmp_path / "f").read_bytes() == DATA


def test_server_errors_are_tried_again_and_refusals_are_not(tmp_path: Path) -> None:
    with LoopbackServer({"/busy": lambda handler: send(handler, b"", 503)}) as server:
        with pytest.raises(Unavailable, match="answers 503"):
            download(f"{server.url}/busy", tmp_path / "f")
        assert len(server.requests) == 4
        with pytest.raises(Unavailable, match="answers 404"):
            download(f"{server.url}/none", tmp_path / "f")
        assert len(server.requests) == 5


def test_stall_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "READ_TIMEOUT", 0.2)
    begin = time.monotonic()
    with (
        LoopbackServer({"/f": stalled}) as server,
        pytest.raises(UserError, match="4 attempts"),
    ):
        download(f"{server.url}/f", tmp_path / "f")
    assert time.monotonic() - begin < 4


def test_half_a_file_and_then_silence_is_resumed_at_the_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "READ_TIMEOUT", 0.3)
    whole = RangedFile(DATA)
    hung: list[bool] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if hung:
            whole(handler)
            return
        hung.append(True)
        handler.send_response(200)
        handler.send_header("ETag", whole.etag)
        handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA[: len(DATA) // 2])
        handler.wfile.flush()
        stalled(handler)

    begin = time.monotonic()
    with LoopbackServer({"/f": answer}) as server:
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256, size=len(DATA))
        assert server.requests[1][2]["range"] == f"bytes={len(DATA) // 2}-"
    assert time.monotonic() - begin < 4
    assert left_over(tmp_path) == ["f"]


@pytest.mark.parametrize("goal", ["file:///etc/passwd", "ftp://127.0.0.1/f"])
def test_only_http_even_after_a_redirect(tmp_path: Path, goal: str) -> None:
    with pytest.raises(UserError, match="http or https"):
        download(goal, tmp_path / "f")
    with (
        LoopbackServer({"/f": redirect(goal)}) as server,
        pytest.raises(Unavailable, match=f"cannot be downloaded: .*{goal}"),
    ):
        download(f"{server.url}/f", tmp_path / "f")


def test_redirect_is_followed_but_not_out_of_encryption(tmp_path: Path) -> None:
    with LoopbackServer({"/f": redirect("/g"), "/g": RangedFile(DATA)}) as server:
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256)
    with pytest.raises(Unavailable, match="not encrypted"):
        fetching._check_scheme("http://x/f", start="https://x/f")


def test_downloads_wait_in_the_repository_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert fetching.downloads_dir(tmp_path) == tmp_path / "scratch/downloads"
    monkeypatch.setenv("DVC_ROOT", "/stays")
    assert fetching.downloads_dir(tmp_path) == Path("/stays/scratch/downloads")


def test_nobody_listens(tmp_path: Path) -> None:
    with LoopbackServer({}) as server:
        url = server.url
    with pytest.raises(NoNetwork, match="online"):
        download(f"{url}/f", tmp_path / "f")


def swallowed(*address: object, **options: object) -> None:
    """A connection into a network that drops every packet."""
    time.sleep(3)
    raise TimeoutError


def test_silent_network_is_noticed_by_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetching.CONNECT_DEADLINE < 10
    monkeypatch.setattr(fetching, "CONNECT_DEADLINE", 0.2)
    monkeypatch.setattr(fetching.socket, "create_connection", swallowed)
    begin = time.monotonic()
    with pytest.raises(NoNetwork, match="no answer"):
        check_network("https://example.org/x")
    assert time.monotonic() - begin < 2


def listening() -> tuple[socket.socket, str]:
    """A server that takes connections and then says nothing, and its https address."""
    server = socket.create_server(("127.0.0.1", 0))
    return server, f"https://127.0.0.1:{server.getsockname()[1]}/f"


def test_silence_instead_of_tls_is_noticed_by_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "CONNECT_DEADLINE", 0.2)
    server, url = listening()
    begin = time.monotonic()
    with server, pytest.raises(NoNetwork, match="no answer"):
        download(url, tmp_path / "f")
    assert time.monotonic() - begin < 2


def test_tls_failure_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer({"/f": RangedFile(DATA)}) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(NoNetwork, match="SSL"):
            download(f"{url}/f", tmp_path / "f")
        monkeypatch.setattr(fetching, "check_network", lambda *_: None)  # as if it had passed
        monkeypatch.setattr(fetching.time, "sleep", lambda _: pytest.fail("tried again"))
        with pytest.raises(Unavailable, match=r"cannot be trusted.*SSL"):
            download(f"{url}/f", tmp_path / "f")


def test_tls_that_breaks_off_later_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, failures = fetching._receive, [requests.exceptions.SSLError("bad record")]

    def break_off_once(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        receive(*arguments)

    monkeypatch.setattr(fetching, "_receive", break_off_once)
    with LoopbackServer({"/f": RangedFile(DATA)}) as server:
        download(f"{server.url}/f", tmp_path / "f", sha256=SHA256)


@pytest.mark.parametrize("form", ["{}", "http://{}"])
def test_proxy_is_asked_instead_and_its_refusal_means_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    with LoopbackServer({}) as server:
        monkeypatch.setenv("https_proxy", form.format(server.url.removeprefix("http://")))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        check_network("https://example.invalid/f")
        with pytest.raises(NoNetwork):
            download("https://example.invalid/f", tmp_path / "f")


def test_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: requests.Response, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(requests.Response, "iter_content", full)
    with (
        LoopbackServer({"/f": RangedFile(DATA)}) as server,
        pytest.raises(UserError, match="No space left") as raised,
    ):
        download(f"{server.url}/f", tmp_path / "f")
    assert not isinstance(raised.value, Unavailable)


def test_what_has_no_end_is_cut_at_the_size_that_was_expected(tmp_path: Path) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while sent < 200_000_000:  # else a test that fails would have no end either
            sent += handler.wfile.write(bytes(1 << 16))

    refused = pytest.raises(UserError, match=r"another file than expected .* instead of 1000\)")
    with LoopbackServer({"/f": endless}) as server, refused:
        download(f"{server.url}/f", tmp_path / "f", size=1000)
    assert sent < 50_000_000
    assert left_over(tmp_path) == []
