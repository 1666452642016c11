"""wbc.tracking.reach: what is wrong with MLFLOW_TRACKING_URI, in one sentence and bounded time."""

import socket
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import LoopbackServer, send
from tests.mlflow_home import new_home, write_model
from wbc import cli
from wbc.errors import UserError
from wbc.tracking import reach as tracking_reach
from wbc.tracking import store as tracking_store

SECONDS = 1
HTML = b"<html><title>Welcome to nginx!</title></html>"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(SECONDS))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    tracking_store.prepare_environment()


def refusal(address: str) -> str:
    with pytest.raises(UserError) as refused:
        tracking_reach.check(address)
    words = str(refused.value)
    assert words.count("\n") == 0 and words.endswith(".")
    return words


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, HTML, "is no MLflow 3 (it answers 404 to /version): check MLFLOW_TRACKING_URI"),
        (200, HTML, "is no MLflow 3 (it answers 200 to /version)"),
        (200, b"2.9.2", "is MLflow 2.9.2, but 3 or newer is needed: upgrade it"),
        (401, b"", "wants to know who you are: set MLFLOW_TRACKING_USERNAME and"),
        (403, b"not from here", "refuses this client (not from here): ask its administrator"),
        (500, HTML, "answers 500 Internal Server Error: wait for it, or look into its log"),
        (503, b"", "answers 503 Service Unavailable"),
    ],
)
def test_an_answer_that_is_none_of_mlflows(status: int, body: bytes, said: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, body, status, {"Retry-After": "3600"})

    with LoopbackServer({"/version": answer}) as server:
        assert said in refusal(server.url)
        assert len(server.requests) == 1  # and no second try


def test_mlflow_itself_is_let_pass() -> None:
    with LoopbackServer({"/version": lambda handler: send(handler, b"3.17.2")}) as server:
        tracking_reach.check(server.url)


def test_a_wrong_password_names_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    with LoopbackServer({"/version": lambda handler: send(handler, b"", 401)}) as server:
        assert "refuses ann with this password: set" in refusal(server.url)


def test_a_server_that_says_nothing_or_too_slowly() -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(3 * SECONDS)

    def a_byte_now_and_then(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        for _ in range(10):
            handler.wfile.write(b"3")
            handler.wfile.flush()
            time.sleep(SECONDS / 3)

    for answer in (silent, a_byte_now_and_then):
        with LoopbackServer({"/version": answer}) as server:
            started = time.monotonic()
            assert f"did not answer within {SECONDS} s" in refusal(server.url)
            assert time.monotonic() - started < SECONDS + 1


def test_no_server_at_all() -> None:
    assert "does not answer: connection refused; check" in refusal("http://127.0.0.1:9")
    assert "//127.0.0.1:9 does" in refusal("http://ann:secret@127.0.0.1:9")


def test_tls_that_is_none() -> None:
    with LoopbackServer({}) as server:
        assert "does not speak TLS" in refusal(server.url.replace("http:", "https:"))


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    def slow(*_: Any, **__: Any) -> None:
        time.sleep(3 * SECONDS)
        unknown()

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "has a name that cannot be resolved" in refusal("http://mlflow.example.org")
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert "did not answer within" in refusal("http://mlflow.example.org")


@pytest.mark.parametrize("address", ["localhost:5000", "htp://x", "file:./mlruns", "mlruns"])
def test_what_is_no_address(address: str) -> None:
    assert refusal(address).startswith(f"MLFLOW_TRACKING_URI is {address}, but should begin with")


def test_sync_says_it_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = new_home(tmp_path / "home", monkeypatch)
    write_model(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SystemExit) as ended:
        cli.main(["sync"])
    assert str(ended.value) == (
        "error: The MLflow server http://127.0.0.1:9 does not answer: connection refused; check"
        " MLFLOW_TRACKING_URI, or start the server."
    )


def test_a_server_that_asks_for_an_hours_patience_gets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_home(tmp_path / "home", monkeypatch)
    asked = "/api/2.0/mlflow/experiments/get-by-name"
    routes = {
        "/version": lambda handler: send(handler, b"3.17.2"),
        asked: lambda handler: send(handler, b"", 503, {"Retry-After": "3600"}),
    }
    with LoopbackServer(routes) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        started = time.monotonic()
        with pytest.raises(Exception, match="503"):
            tracking_store.connect()
        assert time.monotonic() - started < 60
        assert [path for _, path, _ in server.requests].count(asked) == 2
