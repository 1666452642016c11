"""Between the network and MLflow's scoring server: what reaches the model is small and well-formed.

MLflow's server reads a request of any size into memory, answers some mistakes with
an echo of the pictures, and decodes base64 in two of its four JSON layouts only. Here a request is
measured while it comes, checked, and handed on in one layout; a mistake is a 4xx with one
sentence. Nobody waits for a slow client: a body has its turn when it is there. An ASGI application
without MLflow.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from wbc.request import Refused, checked

MAX_BYTES: Final = 32 << 20  # of a request's body
MAX_HELD: Final = 256 << 20  # of all bodies that come or wait for their turn
AT_ONCE: Final = 2  # requests that are read and judged; the others wait
SECONDS: Final = 30.0  # for a body to come

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Take = Callable[[int, bool], None]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """The scoring server `app`, behind it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._room = Room()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/invocations" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            check_head(headers := {name.lower(): text for name, text in scope["headers"]})
            with self._room.held() as take:
                body = await asyncio.wait_for(read(receive, take), SECONDS)
                async with self._slots:
                    body = await asyncio.to_thread(checked, body)
                    await self._app(_changed(scope, headers, body), _replayed(body, receive), send)
        except Refused as refused:
            if refused.unread:
                await _drain(receive)
            await _answer(send, refused.status, str(refused))
        except TimeoutError:
            await _answer(send, 408, too_slow())
        except ConnectionResetError:  # the client has gone
            return


class Room:
    """What all bodies together may take of memory."""

    def __init__(self) -> None:
        self._num_bytes = 0

    @contextmanager
    def held(self) -> Iterator[Take]:
        """A function that counts bytes of one body; they are free again at the end.

        It raises Refused where there is no room left; it is told whether more of the body comes.
        """
        mine = 0

        def take(num_bytes: int, more: bool) -> None:
            nonlocal mine
            if self._num_bytes + num_bytes > MAX_HELD:
                raise Refused(503, "Too many requests at a time; send this one again later.", more)
            mine += num_bytes
            self._num_bytes += num_bytes

        try:
            yield take
        finally:
            self._num_bytes -= mine


def check_head(headers: dict[bytes, bytes]) -> None:
    """Raises Refused for what is no JSON or says that it is too long."""
    kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(
            415, f"Send JSON with content-type: application/json, not {kind or 'none'}.", True
        )
    length = headers.get(b"content-length", b"0").decode("latin-1")
    digits = length.lstrip("0")
    if digits.isdecimal() and (len(digits) > len(str(MAX_BYTES)) or int(digits) > MAX_BYTES):
        raise _too_long()


async def read(receive: Receive, take: Take) -> bytes:
    """The body; raises Refused where it is too long, ConnectionResetError where it breaks off."""
    parts, num_bytes = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        parts.append(message.get("body", b""))
        num_bytes += len(parts[-1])
        more = message.get("more_body", False)
        if num_bytes > MAX_BYTES:
            raise _too_long(unread=more)
        take(len(parts[-1]), more)
        if not more:
            return b"".join(parts)


def too_slow() -> str:
    return f"The request did not come within {SECONDS:g} seconds."


def _too_long(unread: bool = True) -> Refused:
    sentence = f"At most {MAX_BYTES >> 20} MB a request; send the images in several requests."
    return Refused(413, sentence, unread)


def _changed(scope: Message, headers: dict[bytes, bytes], body: bytes) -> Message:
    kept = {name: text for name, text in headers.items() if name != b"transfer-encoding"}
    kept |= {b"content-length": str(len(body)).encode(), b"content-type": b"application/json"}
    return {**scope, "headers": list(kept.items())}


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _drain(receive: Receive) -> None:
    """Let the rest of a body come and go, so that the client is ready to hear the answer."""

    async def rest() -> None:
        while (message := await receive()).get("more_body", False):
            del message

    try:
        await asyncio.wait_for(rest(), SECONDS)
    except TimeoutError:
        return


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers: Sequence[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
