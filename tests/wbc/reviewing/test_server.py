"""The review's server: who is let in, what is taken, what an answer becomes."""

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.wbc.reviewing.cases import write_out
from wbc import cli
from wbc.digests import digest_of
from wbc.reviewing import command, journal
from wbc.reviewing.queue import read_run
from wbc.reviewing.server import MAX_BODY, TOKEN_HEADER, Server, _Handler
from wbc.reviewing.session import Session


@dataclass
class Client:
    server: Server
    session: Session
    out: Path

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, dict(reply.getheaders()), content

    def answer(
        self, index: Any, action: str, label: str = "", digest: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """As the page does it; digest: of the picture that was shown, None: of the one there is."""
        digest = self.digest(index) if digest is None else digest
        given = {"index": index, "action": action, "label": label, "digest": digest}
        body = json.dumps(given).encode()
        given = {TOKEN_HEADER: self.server.token} | headers
        status, _, content = self.ask("POST", "/answer", body, **given)
        return status, json.loads(content) if content.startswith(b"{") else content.decode()

    def digest(self, index: Any) -> str:
        queue = self.session.run.queue
        there = index in range(len(queue))
        return digest_of(Path(queue[index].file)) if there else ""

    def picture(self, kind: str, index: int, digest: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask("GET", f"/{kind}/{index}/{digest}?token={self.server.token}")

    def lines(self) -> list[tuple[str, str, str]]:
        return [(e.action, e.cell, e.label) for e in journal.read(self.out)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    out = write_out(tmp_path, num_cells=3)
    with journal.opened(out) as answers:
        session = Session(read_run(out), answers, "Ada", lambda: "2026-01-01T00:00:00+00:00")
        with Server(session, 0, "again") as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            yield Client(server, session, out)
            server.shutdown()
            thread.join()


def test_only_the_page_of_this_address_is_let_in(client: Client) -> None:
    port, token = client.server.server_port, client.server.token
    status, headers, page = client.ask("GET", "/")
    assert status == 200 and token.encode() in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    assert client.ask("GET", "/", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert client.ask("GET", "/", Host=host)[0] == 403
        assert client.answer(0, "accept", Host=host)[0] == 403
    assert client.ask("GET", "/state")[0] == 403
    assert client.ask("GET", "/picture/0/a?token=wrong")[0] == 403
    assert client.answer(0, "accept", **{TOKEN_HEADER: "wrong"})[0] == 403
    assert client.answer(0, "accept", Origin="http://evil.example")[0] == 403
    assert client.lines() == []
    assert client.answer(0, "accept", Origin=f"http://127.0.0.1:{port}")[0] == 200


def test_a_browser_that_goes_away_is_no_news(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    """It resets the connection in the middle of its request."""
    for sent in (
        b"",
        b"GET / HTTP/1.1\r\nHost:",
        b"POST /answer HTTP/1.1\r\nContent-Length: 9\r\n",
    ):
        lost = socket.create_connection(("127.0.0.1", client.server.server_port))
        lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lost.sendall(sent)
        lost.close()
    assert client.ask("GET", "/")[0] == 200
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_an_answer_that_does_not_come_is_waited_for_only_so_long(
    client: Client, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "timeout", 0.2)
    head = (
        f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:{client.server.server_port}\r\n"
        f"{TOKEN_HEADER}: {client.server.token}\r\nContent-Length: 50\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.server.server_port), timeout=10) as stalled:
        stalled.sendall(head.encode() + b"{")
        reply = b"".join(iter(lambda: stalled.recv(65536), b""))  # to the end of the connection
    assert reply.startswith(b"HTTP/1.1 408 ") and b"did not come to its end" in reply
    assert client.lines() == []
    assert client.answer(0, "accept")[0] == 200
    assert capfd.readouterr().err == ""


def test_answers_are_recorded_once_and_in_the_words_of_the_journal(client: Client) -> None:
    assert client.answer(0, "accept")[1]["question"]["index"] == 1
    assert client.answer(1, "relabel", "monocyte")[1]["answered"] == 2
    status, state = client.answer(1, "skip")
    assert status == 409 and "answered already" in state["error"]
    assert client.answer(0, "undo")[1]["question"]["index"] == 1
    assert client.answer(1, "skip")[1]["skipped"] == 1
    assert client.answer(2, "relabel", "other")[1]["question"] is None
    assert client.answer(-1, "again")[1]["question"]["index"] == 1
    assert client.lines() == [
        ("accept", "a/0.png", "monocyte"), ("accept", "a/1.png", "monocyte"), ("undo", "", ""),
        ("skip", "a/1.png", ""), ("relabel", "a/2.png", "other"), ("again", "", ""),
    ]  # fmt: skip
    entry = journal.read(client.out)[0]
    assert (entry.slide, entry.model, entry.reviewer) == ("a", "the-model", "Ada")
    assert len(entry.sha256) == 64 and entry.answer == "monocyte"


def test_what_is_no_answer_is_refused_with_a_reason(client: Client) -> None:
    for given in ((0, "relabel", "blast"), (0, "delete"), (7, "accept"), (-1, "skip")):
        assert client.answer(*given)[0] == 409
    assert client.answer(0, "undo")[1]["error"] == "There is nothing to take back."
    assert client.answer("x", "accept")[0] == 400
    good = b'{"index": 0, "action": "undo", "digest": ""}'
    for body in (b"", b"[]", b"nonsense", b"{}", good + b" " * MAX_BODY):
        status, _, _ = client.ask("POST", "/answer", body, **{TOKEN_HEADER: client.server.token})
        assert status == 400
    assert client.ask("PUT", "/answer")[0] == 501
    assert client.lines() == []


def test_pictures_are_those_of_the_queue_and_no_other_file(client: Client) -> None:
    token, digest = f"?token={client.server.token}", client.digest(1)
    for kind in ("picture", "square"):
        status, headers, content = client.picture(kind, 1, digest)
        assert status == 200 and headers["Content-Type"] == "image/png"
        assert content.startswith(b"\x89PNG")
    for path in (
        "/picture/9/a",
        "/picture/-1/a",
        "/picture/../run.json",
        "/run.json",
        "/picture/1",
    ):
        assert client.ask("GET", path + token)[0] == 404


def test_addresses_that_are_none_are_answered(client: Client) -> None:
    token = f"?token={client.server.token}"
    assert client.ask("GET", "//[")[0] == 403
    for index in ("9" * 5000, "00", "-0", "0.0"):
        assert client.ask("GET", f"/picture/{index}/a{token}")[0] == 404
    assert client.answer(0, "accept", Origin="http://[")[0] == 403
    assert client.lines() == []


def test_of_a_file_that_has_gone_only_skip_is_possible(client: Client) -> None:
    Path(client.session.run.queue[0].file).unlink()
    assert client.picture("picture", 0, "")[0] == 410
    status, state = client.answer(0, "accept")
    assert status == 409 and "only skip is possible" in state["error"]
    assert client.answer(0, "skip")[0] == 200


def test_no_answer_is_taken_for_a_picture_that_nobody_saw(client: Client) -> None:
    """It is exchanged while its page is open."""
    token = f"?token={client.server.token}"
    shown = json.loads(client.ask("GET", f"/state{token}")[2])["question"]
    assert client.picture("picture", 0, shown["digest"])[0] == 200
    path = Path(client.session.run.queue[0].file)
    path.write_bytes(Path(client.session.run.queue[2].file).read_bytes() + b"\0")
    for kind in ("picture", "square"):  # not under an address that a browser keeps
        assert client.picture(kind, 0, shown["digest"])[0] == 409
    for action in ("accept", "skip"):
        status, state = client.answer(0, action, digest=shown["digest"])
        assert status == 409 and "has changed; look again" in state["error"]
    assert client.lines() == []
    again = state["question"]
    assert (again["index"], again["digest"]) == (0, client.digest(0)) != (0, shown["digest"])
    assert client.picture("picture", 0, again["digest"])[0] == 200
    assert client.answer(0, "accept", digest=again["digest"])[0] == 200
    assert journal.read(client.out)[0].sha256 == again["digest"]
    body = b'{"index": 1, "action": "accept"}'  # of a page of older code
    assert client.ask("POST", "/answer", body, **{TOKEN_HEADER: client.server.token})[0] == 400


def test_a_full_disk_is_said_and_the_question_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        status, state = client.answer(0, "accept")
    assert status == 507 and "nothing was recorded" in state["error"]
    assert client.lines() == []


def test_a_folder_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    for content in ("", "{}", '{"format": 2}', '{"format": 1, "queue": [3]}', "[" * 100_000):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(SystemExit, match="that `python -m wbc differential` wrote"):
            cli.main(["review", str(tmp_path)])


def test_a_run_that_names_no_files_is_one_sentence(tmp_path: Path) -> None:
    path = write_out(tmp_path, num_cells=1) / "run.json"
    run = json.loads(path.read_text())
    cell = run["queue"][0]
    for odd in ({"folder": 5}, {"models": []}, {"queue": [cell | {"file": 5}]},
                {"queue": [cell | {"slide": 7}]}, {"queue": [cell | {"file": "\0"}]}):  # fmt: skip
        path.write_text(json.dumps(run | odd))
        with pytest.raises(SystemExit, match="that `python -m wbc differential` wrote"):
            cli.main(["review", str(path.parent), "--export", str(tmp_path / "reviewed")])


def test_squares_that_are_no_longer_made_are_refused_before_the_page_opens(tmp_path: Path) -> None:
    path = write_out(tmp_path, num_cells=1) / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"framing": run["framing"] | {"light": "neutral"}}))
    with pytest.raises(SystemExit, match=r"run.json was expected .*light keep, but has neutral"):
        cli.main(["review", str(path.parent)])


def test_a_reviewer_is_called_by_what_a_file_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    monkeypatch.setattr(command, "serve", lambda *given: names.append(given[-1]))
    cli.main(["review", str(write_out(tmp_path, num_cells=1)), "--reviewer", "J\udcf6rg"])
    assert names == ["J%F6rg"]


def test_a_second_server_and_a_taken_port_are_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is being reviewed already"):
        cli.main(["review", str(client.out)])
    other = write_out(tmp_path / "other", num_cells=1)
    with pytest.raises(SystemExit, match="cannot be used"):
        cli.main(["review", str(other), "--port", "70000"])
