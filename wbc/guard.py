"""Between the network and MLflow's scoring server: what reaches the model is small and well-formed.

MLflow's server reads a request of any size into memory, answers some mistakes with
an echo of the pictures, and decodes base64 in two of its four JSON layouts only. Here a request is
measured while it comes, checked, and handed on in one layout; a mistake is a 4xx with one
sentence. An ASGI application without MLflow.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

MAX_BYTES: Final = 32 << 20  # of a request's body
MAX_IMAGES: Final = 1000  # a request
AT_ONCE: Final = 2  # requests whose bodies are in memory; the others wait in their connections
SECONDS: Final = 30.0  # for a body to come
LAYOUTS: Final = ("inputs", "instances", "dataframe_split", "dataframe_records")
COLUMN: Final = "image"
NO_BASE64: Final = base64.b64encode(b"no base64 text").decode()  # becomes a row `unreadable`

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Refused(Exception):  # noqa: N818
    """A request that is answered with `status` and one sentence; `unread`: its body still comes."""

    def __init__(self, status: int, sentence: str, unread: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.unread = status, unread


class Guard:
    """The scoring server `app`, behind it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/invocations" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            check_head(headers := {name.lower(): text for name, text in scope["headers"]})
            async with self._slots:
                body = await asyncio.wait_for(read(receive), SECONDS)
                body = await asyncio.to_thread(checked, body)
                await self._app(_changed(scope, headers, body), _replayed(body, receive), send)
        except Refused as refused:
            if refused.unread:
                await _drain(receive)
            await _answer(send, refused.status, str(refused))
        except TimeoutError:
            await _answer(send, 408, f"The request did not come within {SECONDS:g} seconds.")
        except ConnectionResetError:  # the client has gone
            return


def check_head(headers: dict[bytes, bytes]) -> None:
    """Raises Refused for what is no JSON or says that it is too long."""
    kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(
            415, f"Send JSON with content-type: application/json, not {kind or 'none'}.", True
        )
    length = headers.get(b"content-length", b"0").decode("latin-1")
    if length.isdigit() and int(length) > MAX_BYTES:
        raise _too_long()


async def read(receive: Receive) -> bytes:
    """The body; raises Refused where it is too long, ConnectionResetError where it breaks off."""
    parts, num_bytes = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        parts.append(message.get("body", b""))
        num_bytes += len(parts[-1])
        if num_bytes > MAX_BYTES:
            raise _too_long(unread=message.get("more_body", False))
        if not message.get("more_body", False):
            return b"".join(parts)


def checked(body: bytes) -> bytes:
    """The request in MLflow's layout dataframe_split, which it decodes; raises Refused."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, 'The body is no JSON; send {"inputs": ["<base64>", ...]}.') from None
    named = [name for name in LAYOUTS if isinstance(request, dict) and name in request]
    if len(named) != 1:
        raise Refused(
            400, f"The body was expected to be a JSON object with one of {', '.join(LAYOUTS)}."
        )
    images = images_of(named[0], request[named[0]])
    if not images:
        raise Refused(400, f"{named[0]} holds no image.")
    if len(images) > MAX_IMAGES:
        raise Refused(413, f"At most {MAX_IMAGES} images a request, not {len(images)}.")
    for number, image in enumerate(images):
        if not isinstance(image, str):
            raise Refused(
                400,
                f"Image {number} was expected to be base64 text, but is"
                f" {'null' if image is None else type(image).__name__}.",
            )
    data = {"columns": [COLUMN], "data": [[_base64(image)] for image in images]}
    whole: dict[str, Any] = {"dataframe_split": data}
    if request.get("params") is not None:
        whole["params"] = _params(request["params"])
    return json.dumps(whole).encode()


def images_of(layout: str, content: Any) -> list[Any]:
    """What stands in the column `image`; raises Refused for anything else."""
    if layout == "dataframe_split":
        split = content if isinstance(content, dict) else {}
        rows = split.get("data")
        one_each = isinstance(rows, list) and all(
            isinstance(row, list) and len(row) == 1 for row in rows
        )
        if split.get("columns") != [COLUMN] or not one_each:
            raise Refused(
                400,
                f'dataframe_split was expected to be {{"columns": ["{COLUMN}"], "data":'
                ' [["<base64>"], ...]}.',
            )
        return [row[0] for row in split["data"]]
    if layout == "inputs" and isinstance(content, dict):
        content = _column(content, layout)
    if not isinstance(content, list):
        raise Refused(400, f"{layout} was expected to be a list of images.")
    if layout == "dataframe_records" or (content and isinstance(content[0], dict)):
        return [_column(row, layout) for row in content]
    return list(content)


def _column(row: Any, layout: str) -> Any:
    if not isinstance(row, dict) or set(row) != {COLUMN}:
        found = ", ".join(sorted(map(str, row))[:5])[:80] if isinstance(row, dict) else "no object"
        raise Refused(
            400,
            f'In {layout} each row should be {{"{COLUMN}": "<base64>"}}, found {found or "{}"}.',
        )
    return row[COLUMN]


def _params(params: Any) -> dict[str, bool]:
    if not isinstance(params, dict) or not all(
        name == "calibrated" and isinstance(value, bool) for name, value in params.items()
    ):
        raise Refused(400, 'The only parameter is {"calibrated": true or false}.')
    return params


def _base64(text: str) -> str:
    """Plain base64: without the head of a data URL and white space, whole. What is none stands for
    an unreadable image, so that the others of the request get their answers."""
    plain = "".join(text.rpartition(",")[2].split())
    try:
        base64.b64decode(plain, validate=True)
    except ValueError:
        return NO_BASE64
    return plain


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
