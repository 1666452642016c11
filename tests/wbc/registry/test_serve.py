"""The guard over real HTTP, as `make serve` runs it, before an application that answers at once."""

import base64
import contextlib
import http.client
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from wbc import guard
from wbc.errors import UserError
from wbc.registry import serve

IMAGE = base64.b64encode(b"\x89PNG and more").decode()
HEAD = "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
HALF_HEAD = b"POST /invocations HTTP/1.1\r\nho"
HALF_BODY = f'{HEAD}content-length: 1000\r\n\r\n{{"inputs"'.encode()


async def scoring(scope: Any, receive: Any, send: Any) -> None:
    """In the place of MLflow's application."""
    body = (await receive())["body"] if scope["path"] == "/invocations" else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a server that gives a request 1.5 s to come."""
    monkeypatch.setattr(guard, "SECONDS", 1.5)
    config = uvicorn.Config(
        guard.Guard(scoring), http=serve.HTTP, lifespan="off", log_level="critical"
    )
    server = uvicorn.Server(config)
    with socket.create_server((serve.HOST, 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port: int, body: Any, connection: Any = requests) -> requests.Response:
    address = f"http://{serve.HOST}:{port}/invocations"
    headers = {"content-type": "application/json"}
    response: requests.Response = connection.post(address, body, headers=headers, timeout=20)
    return response


def heard(slow: socket.socket) -> bytes:
    """All that the server says until it closes the connection."""
    slow.settimeout(20)
    with slow.makefile("rb") as answer:
        return answer.read()


def test_slow_clients_get_408_and_nobody_waits_for_them(port: int) -> None:
    with contextlib.ExitStack() as stack:
        clients = []
        for sent in (HALF_HEAD, HALF_BODY, b"") * 3:
            slow = stack.enter_context(socket.create_connection((serve.HOST, port)))
            slow.sendall(sent)
            clients.append(slow)
        start = time.perf_counter()
        time.sleep(0.2)
        good = ask(port, json.dumps({"inputs": [IMAGE]}))
        assert good.status_code == 200 and time.perf_counter() - start < 1.4
        assert good.json()["dataframe_split"]["data"] == [[IMAGE]]
        for slow in clients:
            answer = heard(slow)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 ")
            assert f"content-length: {len(body)}".encode() in head
            assert "within 1.5 seconds" in json.loads(body)["error"]


def test_a_connection_may_be_used_again_but_no_half_head_stays(port: int) -> None:
    whole = f'{HEAD}content-length: 14\r\n\r\n{{"inputs": []}}'.encode()
    with socket.create_connection((serve.HOST, port)) as slow:
        slow.sendall(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        time.sleep(0.1)
        slow.sendall(HALF_HEAD)
        answer = heard(slow)
        assert answer.count(b"HTTP/1.1 200") == 2 and answer.count(b"HTTP/1.1 408") == 1
    with requests.Session() as session:
        for _ in range(2):
            assert ask(port, json.dumps({"inputs": [IMAGE]}), session).status_code == 200
    with contextlib.closing(http.client.HTTPConnection(serve.HOST, port, timeout=20)) as used:
        for _ in range(2):
            used.request("GET", "/ping")
            answer = used.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            time.sleep(1.7)  # longer than a request may take to come
    with socket.create_connection((serve.HOST, port)) as other:
        other.sendall(whole)
        assert heard(other).startswith(b"HTTP/1.1 400 ")


def test_what_does_not_fit_is_refused_and_the_others_are_served(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MAX_BYTES", 100_000)
    monkeypatch.setattr(guard, "MAX_HELD", 150_000)
    head = f"{HEAD}content-length: 99000\r\n\r\n".encode()
    with socket.create_connection((serve.HOST, port)) as slow:
        slow.sendall(head + bytes(90_000))
        time.sleep(0.2)
        assert ask(port, bytes(200_000)).status_code == 413
        start = time.perf_counter()
        busy = ask(port, bytes(99_000))
        assert busy.status_code == 503 and "again later" in busy.json()["error"]
        assert time.perf_counter() - start < 1.4  # its body had come: nothing was waited for
        assert ask(port, json.dumps({"inputs": [IMAGE]})).status_code == 200
        assert heard(slow).startswith(b"HTTP/1.1 408 ")
    assert ask(port, bytes(99_000)).status_code == 400  # there is room again


def test_the_servers_command_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    command = serve.command_line(5001, 2)
    assert command[:3] == [sys.executable, "-m", "uvicorn"]
    assert command[-1] == "wbc.registry.scoring_app:app"
    options = " ".join(command[3:-1])
    root = Path(serve.__file__).parents[2]
    assert options == (
        "--host 127.0.0.1 --port 5001 --workers 2 --http wbc.registry.bounded_head:BoundedHead"
        f" --no-access-log --log-level warning --app-dir {root}"
    )
    monkeypatch.setattr(serve, "cpu_count", lambda: 8)
    monkeypatch.setenv("MINE", "stays")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    found = serve.environment(Path("version"), 3)
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["MINE"] == "stays" and found["OMP_NUM_THREADS"] == "2"
    assert found["MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"] == "3600"
    assert "version" in found.values()
    assert serve.environment(Path("version"), 9)["OMP_NUM_THREADS"] == "1"


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.create_server((serve.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as error:
            serve._check_port(port)
    assert str(error.value) == (
        f"Port {port} on 127.0.0.1 cannot be had, perhaps another server uses it; choose another:"
        f" `make serve PORT={port % 60000 + 1}`."
    )
    serve._check_port(port)  # free again
    with pytest.raises(UserError, match="Port 70000 on"):
        serve._check_port(70000)


class Server:
    """In the place of uvicorn's process; it ends by itself, or hangs when it is told to end."""

    def __init__(self, status: int | BaseException = 3, hangs: bool = False) -> None:
        self.status, self.hangs, self.told = status, hangs, []  # type: ignore[var-annotated]

    def __call__(self, command: list[str], env: dict[str, str]) -> "Server":
        self.command, self.env = command, env
        return self

    def wait(self, seconds: float | None = None) -> int:
        self.told.append(f"wait {seconds}")
        if seconds is not None and self.hangs:
            raise subprocess.TimeoutExpired("x", seconds)
        if isinstance(self.status, BaseException):
            if seconds is None:
                raise self.status
            return 0
        return self.status

    def terminate(self) -> None:
        self.told.append("terminate")

    def kill(self) -> None:
        self.told.append("kill")


@pytest.fixture
def free_port() -> int:
    with socket.create_server((serve.HOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


@pytest.mark.parametrize("hangs", [False, True])
def test_a_server_that_ends_by_itself_is_said_and_none_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: int, hangs: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    server, packed = Server(hangs=hangs), []

    def package(folder: Path, target: Path) -> None:
        packed.append((folder, target))
        assert target.parent.is_dir()

    monkeypatch.setattr(subprocess, "Popen", server)
    monkeypatch.setattr(
        serve, "model_folder", lambda *words: contextlib.nullcontext(tmp_path / str(words[0]))
    )
    monkeypatch.setattr(serve.packaging, "package", package)
    monkeypatch.setattr(serve.model, "load", lambda folder: None)
    with pytest.raises(UserError) as error:
        serve.serve("models", free_port, 2)
    assert str(error.value) == (
        "The server ended by itself with status 3; its own words are above. Choose another version"
        " with --model, or mend that."
    )
    assert server.told == ["wait None", "terminate", "wait 20.0", "kill"]
    assert server.command == serve.command_line(free_port, 2)
    ((folder, target),) = packed
    assert folder == tmp_path / "models" and str(target) in server.env.values()
    assert server.env["OMP_NUM_THREADS"] == serve.environment(target, 2)["OMP_NUM_THREADS"]
    assert f"models: in 10 to 30 s on http://127.0.0.1:{free_port}/invocations" in caplog.text
    server = Server(KeyboardInterrupt())
    monkeypatch.setattr(subprocess, "Popen", server)
    (tmp_path / "MLmodel").write_text("x")  # of the registry: served as it is
    with pytest.raises(KeyboardInterrupt):
        serve.serve("models", free_port, 2)
    assert server.told[-1] == "kill" and str(tmp_path) in server.env.values() and len(packed) == 1
