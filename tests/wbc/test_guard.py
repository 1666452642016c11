"""wbc.guard: what comes to the scoring server, and what is answered before it."""

import asyncio
import base64
import json
import struct
import zlib
from typing import Any

import pytest

from wbc import guard, request
from wbc.guard import Guard

IMAGE = base64.b64encode(b"\x89PNG and more").decode()


def plain_png(side: int, height: int = 0) -> str:
    """A header alone: nobody decodes it here."""
    size = struct.pack(">IIBBBBB", side, height or side, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + size
    head = struct.pack(">I", len(size)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 0) + b"IDAT").decode()


UNPACKS = plain_png(9_000)  # 81 megapixels
STRIP = plain_png(60_000, 1)  # 0.06, but the square around it has 100
SAME = {"dataframe_split": {"columns": ["image"], "data": [[IMAGE], [IMAGE]]}}
JSON = {"content-type": "application/json"}


class Server:
    """An application that keeps what it is asked and says 200."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.most_at_once = self.now = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        self.asked.append((await receive()).get("body", b""))
        await asyncio.sleep(0.01)
        self.now -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def ask(
    guarded: Guard, parts: list[bytes], headers: dict[str, str] = JSON, path: str = "/invocations"
) -> tuple[int, Any]:
    """The status and the JSON of an answer to a body that comes in parts; then nothing comes."""
    waiting, sent = list(parts), []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(60)
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    pairs = [(name.encode(), text.encode()) for name, text in headers.items()]
    scope = {"type": "http", "path": path, "method": "POST", "headers": pairs}
    await asyncio.wait_for(guarded(scope, receive, send), 10)
    return sent[0]["status"], json.loads(sent[1]["body"])


def asked(body: Any, headers: dict[str, str] = JSON) -> tuple[Server, int, str]:
    server = Server()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer = asyncio.run(ask(Guard(server), [data], headers))
    return server, status, answer.get("error", "")


@pytest.mark.parametrize(
    "request_",
    [
        {"inputs": [IMAGE, IMAGE]},
        {"inputs": {"image": [IMAGE, IMAGE]}},
        {"inputs": [{"image": IMAGE}, {"image": f"data:image/png;base64,{IMAGE}"}]},
        {"instances": [{"image": IMAGE}, {"image": f"{IMAGE[:4]}\n{IMAGE[4:]}"}]},
        {"dataframe_records": [{"image": IMAGE}, {"image": IMAGE}]},
        SAME,
    ],
)
def test_every_layout_reaches_the_server_in_one(request_: Any) -> None:
    server, status, _ = asked(request_)
    assert status == 200 and json.loads(server.asked[0]) == SAME


def test_parameters_reach_the_server() -> None:
    server, status, _ = asked({"inputs": [IMAGE], "params": {"calibrated": False}})
    assert status == 200 and json.loads(server.asked[0])["params"] == {"calibrated": False}


def test_what_is_too_large_to_be_decoded_costs_nothing_and_is_the_models_to_refuse() -> None:
    large = plain_png(40_000)
    assert request.num_pixels(base64.b64decode(large)) == 0
    server, status, _ = asked({"inputs": [large] * 4})
    assert status == 200 and len(server.asked) == 1


@pytest.mark.parametrize(
    "body, status, words",
    [
        (b"hello", 400, "no JSON"),
        (b"", 400, "no JSON"),
        (b"\xff{}", 400, "no JSON"),
        (b"[" * request.MAX_MARKS, 400, "no JSON"),
        (b"[" * 200_000, 413, "commas and brackets"),
        (b'{"inputs": [' + b"[]," * 100_000 + b"[]]}", 413, "commas and brackets"),
        ([1], 400, "one of inputs"),
        ({"pictures": []}, 400, "one of inputs"),
        ({"inputs": [IMAGE], "instances": [IMAGE]}, 400, "one of inputs"),
        ({"inputs": []}, 400, "holds no image"),
        ({"inputs": 5}, 400, "a list of images"),
        ({"inputs": {"picture": [IMAGE]}}, 400, "found picture"),
        ({"dataframe_records": [{"picture": IMAGE}]}, 400, "found picture"),
        ({"dataframe_records": [5]}, 400, "found no object"),
        ({"dataframe_split": {"columns": ["x"], "data": [[IMAGE]]}}, 400, "dataframe_split was"),
        ({"dataframe_split": {"columns": ["image"], "data": [[1, 2]]}}, 400, "dataframe_split was"),
        ({"inputs": [IMAGE, None]}, 400, "Image 1 was expected to be base64 text, but is null"),
        ({"inputs": [5]}, 400, "but is int"),
        ({"inputs": [IMAGE, "no base64!"]}, 400, "Image 1 was expected to be base64 text, but is"),
        ({"inputs": ["\u00e4"]}, 400, "Image 0 was expected to be base64 text, but is none"),
        ({"inputs": ["A" * (1 << 20) + "\U0001f600"]}, 400, "has other letters"),
        ({"inputs": [UNPACKS] * 4}, 413, "At most 300 megapixels a request, which the first 4"),
        ({"inputs": [STRIP] * 4}, 413, "At most 300 megapixels a request, which the first 4"),
        ({"inputs": [IMAGE], "params": {"x": 1}}, 400, "only parameter"),
        ({"inputs": [IMAGE] * (request.MAX_IMAGES + 1)}, 413, "At most 1000 images"),
    ],
)
def test_a_mistake_is_one_sentence_at_once(body: Any, status: int, words: str) -> None:
    server, got, sentence = asked(body)
    assert got == status and words in sentence and server.asked == []


def test_only_json_is_taken() -> None:
    for headers in ({}, {"content-type": "text/csv"}):
        server, status, sentence = asked({"inputs": [IMAGE]}, headers)
        assert status == 415 and "application/json" in sentence and server.asked == []


def test_a_long_body_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_BYTES", 100)
    parts = [bytes(60)] * 50
    for headers in (JSON, JSON | {"content-length": "3000"}):
        server = Server()
        status, answer = asyncio.run(ask(Guard(server), list(parts), headers))
        assert status == 413 and "several requests" in answer["error"] and server.asked == []


@pytest.mark.parametrize("length", ["\u00b2", "-1", "x", "", "0" * 5000])
def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    server, status, _ = asked({"inputs": [IMAGE]}, JSON | {"content-length": length})
    assert status == 200 and len(server.asked) == 1


def test_a_length_of_thousands_of_digits_is_too_long() -> None:
    server, status, _ = asked({"inputs": [IMAGE]}, JSON | {"content-length": "9" * 5000})
    assert status == 413 and server.asked == []


def test_a_body_that_does_not_come_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.05)

    async def half() -> tuple[int, Any]:
        guarded = Guard(Server())
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            return {}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "path": "/invocations", "method": "POST", "headers": headers}
        await asyncio.wait_for(guarded(scope, receive, send), 10)
        return sent[0]["status"], json.loads(sent[1]["body"])

    status, answer = asyncio.run(half())
    assert status == 408 and "within" in answer["error"]


def test_few_requests_are_judged_at_once() -> None:
    server = Server()

    async def many() -> None:
        guarded = Guard(server)
        body = [json.dumps({"inputs": [IMAGE]}).encode()]
        await asyncio.gather(*(ask(guarded, list(body)) for _ in range(12)))

    asyncio.run(many())
    assert len(server.asked) == 12 and server.most_at_once == guard.AT_ONCE


def test_other_paths_are_the_servers_own() -> None:
    server = Server()
    status, _ = asyncio.run(ask(Guard(server), [b"x"], {}, path="/ping"))
    assert status == 200 and server.asked == [b"x"]
