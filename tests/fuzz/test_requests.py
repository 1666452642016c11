"""HTTP requests to the two servers: an answer below 500, at once, and nothing else happens."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.bounds import bounded
from tests.fuzz.mutations import mutated
from tests.fuzz.profile import inputs
from tests.wbc import pictures
from tests.wbc.reviewing.cases import write_out
from wbc import serving
from wbc.digests import digest_of
from wbc.guard import Guard
from wbc.reviewing import journal
from wbc.reviewing.queue import read_run
from wbc.reviewing.server import Server, _Handler
from wbc.reviewing.session import Session

IMAGE: Final = base64.b64encode(pictures.encoded(pictures.cell(60, 60, 30, 30))).decode()
WHOLE: Final = [
    json.dumps(body).encode()
    for body in (
        {"inputs": [IMAGE]},
        {"inputs": {"image": [IMAGE, IMAGE]}},
        {"instances": [{"image": f"data:image/png;base64,{IMAGE}"}]},
        {"dataframe_split": {"columns": ["image"], "data": [[IMAGE]]}},
        {"dataframe_records": [{"image": IMAGE}], "params": {"calibrated": False}},
    )
]
TOKENS: Final = (
    b"null", b"NaN", b"1e999", b"9" * 5000, b"[" * 5000, b'{"image":', b'"\\ud800"', b"\\u0000",
    b"\xff\xfe", b"\0", b'"' + b"A" * 100_000 + b'"', b"[" * 20_000,
)  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(IMAGE),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(("image", "columns", "data", "x")), inner, max_size=3)
    ),
    max_leaves=8,
)
LAYOUTS: Final = ("inputs", "instances", "dataframe_split", "dataframe_records", "params", "x")
BODIES = mutated(WHOLE, TOKENS) | st.dictionaries(st.sampled_from(LAYOUTS), JUNK, max_size=2).map(
    lambda content: json.dumps(content).encode()
)
HEADERS = st.lists(
    st.sampled_from((
        (b"content-type", b"application/json"), (b"content-type", b"application/json; charset=x"),
        (b"content-type", b"text/csv"), (b"content-type", b"\xff"), (b"content-length", b"-1"),
        (b"content-length", b"9" * 5000), (b"content-length", b"\xb2"), (b"content-length", b"x"),
        (b"Content-Length", b"99999999999"), (b"transfer-encoding", b"chunked"), (b"", b""),
    )),
    max_size=3,
)  # fmt: skip


async def model(scope: Any, receive: Any, send: Any) -> None:
    """In the place of MLflow's server: takes every image as the version's model would."""
    body = json.loads((await receive())["body"])
    for (image,) in body["dataframe_split"]["data"]:
        assert isinstance(serving.image_bytes(image), bytes)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def ask(parts: list[bytes], headers: list[tuple[bytes, bytes]], ends: bool) -> list[Any]:
    """The messages that an ASGI server would be sent; without a socket."""
    waiting: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1 or not ends}
        for number, part in enumerate(parts)
    ]
    waiting.append({"type": "http.disconnect"})
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/invocations", "method": "POST", "headers": headers}
    asyncio.run(Guard(model)(scope, receive, send))
    return sent


@given(body=BODIES, headers=HEADERS, pieces=st.integers(1, 3), ends=st.booleans())
@inputs(60)
def test_any_request_to_the_model_is_answered(
    body: bytes, headers: list[tuple[bytes, bytes]], pieces: int, ends: bool, area: Path
) -> None:
    size = max(1, len(body) // pieces)
    parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    with bounded(area / "nothing"):
        sent = ask(parts, [(b"content-type", b"application/json"), *headers], ends)
        if sent:  # nothing where the client went away
            assert 200 <= sent[0]["status"] < 500
            assert len(sent[1]["body"]) < 1000
            json.loads(sent[1]["body"])


class Review:
    """The review's handler without a socket: one request's bytes in, the answer's out."""

    def __init__(self, out: Path, session: Session, server: Server) -> None:
        self.out, self.session, self.server = out, session, server
        self.digest = digest_of(Path(session.run.queue[0].file))

    def ask(self, request: bytes) -> bytes:
        given, answer = io.BytesIO(request), io.BytesIO()
        answer.close = lambda: None  # type: ignore[method-assign]

        class Socket:
            def makefile(self, mode: str, *_: Any) -> io.BytesIO:
                return given

            def sendall(self, data: bytes) -> None:
                answer.write(data)

            def settimeout(self, _: float) -> None: ...

            def setsockopt(self, *_: Any) -> None: ...

        _Handler(self.session, self.server.token, "again", Socket(), ("127.0.0.1", 9), self.server)
        return answer.getvalue()


@pytest.fixture(scope="module")
def review(area: Path) -> Iterator[Review]:
    out = write_out(area / "review", num_cells=2)
    with journal.opened(out) as answers:
        session = Session(read_run(out), answers, "Ada", lambda: "2026-01-01T00:00:00+00:00")
        with Server(session, 0, "again") as server:
            yield Review(out, session, server)


TARGETS: Final = (
    "/", "/state?token=TOKEN", "/picture/0/DIGEST?token=TOKEN", "/square/1/DIGEST?token=TOKEN",
    "/answer", "//[", "http://[/?token=TOKEN", "/state?token=%FF", "/picture/²/a?token=TOKEN",
    "/picture/" + "9" * 5000 + "/a?token=TOKEN", "/picture/٣/a?token=TOKEN", "*",
    "/../../etc/passwd", "/picture/0/../../../etc/passwd?token=TOKEN",
    "/state?" + "token=TOKEN&" * 300,
)  # fmt: skip
REQUEST: Final = (
    b"POST /answer HTTP/1.1\r\nHost: HOST\r\nX-Review-Token: TOKEN\r\n"
    b"Content-Length: LENGTH\r\n\r\n"
)
ANSWER: Final = b'{"index": 0, "action": "accept", "digest": "DIGEST", "label": ""}'


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        body = draw(mutated([ANSWER], (b"null", b"1e999", b"9" * 5000, b"[" * 5000, b"-1", b"0.5")))
        head = draw(
            st.sampled_from(
                (REQUEST, REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: http://[\r\n\r\n"))
            )
        )
        length = draw(
            st.sampled_from((str(len(body)), str(len(body)), "-1", "9" * 5000, "x", "²", ""))
        )
        return head.replace(b"LENGTH", length.encode()) + body
    target = draw(st.sampled_from(TARGETS)).encode("utf-8")
    method = draw(st.sampled_from((b"GET", b"GET", b"POST", b"HEAD", b"PUT", b"\xff")))
    whole = method + b" " + target + b" HTTP/1.1\r\nHost: HOST\r\nX-Review-Token: TOKEN\r\n\r\n"
    return draw(mutated([whole], (b"\r\n", b" ", b"HTTP/9.9", b"\0", b"\xff", b":")))


@given(request_=requests())
@inputs(40)
def test_any_request_to_the_review_is_answered(request_: bytes, review: Review) -> None:
    port = f"127.0.0.1:{review.server.server_port}".encode()
    token, digest = review.server.token.encode(), review.digest.encode()
    for word, value in ((b"HOST", port), (b"TOKEN", token), (b"DIGEST", digest)):
        request_ = request_.replace(word, value)
    with bounded(review.out):
        answer = review.ask(request_)
        status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 400
        assert status < 500 or status in (
            501,
            505,
        )  # a method or a version of HTTP that is not there
