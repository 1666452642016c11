"""The review page's server: 127.0.0.1 only, for one person's browser on this machine.

Any web page that the person has open may send requests to it, also under a name that has been made
to point here (DNS rebinding). So a request counts only if its Host is this address, and all but the
page itself needs the token that only the page knows; whoever cannot read the page cannot use it.
Other users of this machine can read it.
"""

import hmac
import io
import json
import secrets
import sys
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from wbc.cells import CLASSES
from wbc.decoding import UnreadableImage, decode
from wbc.digests import sha256_of
from wbc.framing import Framing
from wbc.imaging import prepare
from wbc.page import TEMPLATES
from wbc.reviewing.session import CHANGED, Refused, Session
from wbc.slides.reasons import OTHER

HOST: Final = "127.0.0.1"
MAX_BODY: Final = 10_000  # bytes of an answer
LARGEST: Final = 1000  # pixels, longer side of a picture on the page
TOKEN_HEADER: Final = "X-Review-Token"
_EXPECTED: Final = "expected JSON with index, action, digest and label"


class Server(ThreadingHTTPServer):
    """Bound to 127.0.0.1; `address` is what to open."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, session: Session, port: int, again: str) -> None:
        """Raises OSError where the port is taken."""
        self.token = secrets.token_urlsafe(32)
        super().__init__((HOST, port), partial(_Handler, session, self.token, again))
        self.address = f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away or stalls in the middle is no news for the terminal."""
        error = sys.exception()
        if not isinstance(error, OSError) or error.filename:  # a connection's names no file
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "wbc-review", ""
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds for a request that does not come to its end

    def __init__(self, session: Session, token: str, again: str, *given: Any) -> None:
        self._session, self._token, self._again = session, token, again
        super().__init__(*given)

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        url = _address(self.path)
        if url.path == "/":
            self._send_page()
        elif not self._knows(parse_qs(url.query).get("token", [""])[0]):
            self._send_error(HTTPStatus.FORBIDDEN, "the token of the page is missing")
        elif url.path == "/state":
            self._send_json(self._session.state())
        else:
            self._send_picture(url.path)

    def do_POST(self) -> None:
        if not self._is_for_us():
            return
        origin = self.headers.get("Origin")
        if not self._knows(self.headers.get(TOKEN_HEADER, "")) or (
            origin is not None and _address(origin).netloc not in self._hosts()
        ):
            self._send_error(HTTPStatus.FORBIDDEN, "the token of the page is missing")
            return
        try:
            body = self._body()
        except TimeoutError:  # of the connection; the journal's disk may raise one too
            self._send_error(HTTPStatus.REQUEST_TIMEOUT, "the answer did not come to its end")
            return
        except ValueError:
            self._send_error(HTTPStatus.BAD_REQUEST, _EXPECTED)
            return
        try:
            given = json.loads(body)
            state = self._session.answer(
                int(given["index"]),
                str(given["action"]),
                str(given["digest"]),
                str(given.get("label", "")),
            )
        except Refused as reason:
            self._send_json({"error": str(reason), **self._session.state()}, HTTPStatus.CONFLICT)
        except OSError as error:
            words = f"The answer could not be written ({error.strerror}); nothing was recorded."
            self._send_json({"error": words}, HTTPStatus.INSUFFICIENT_STORAGE)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self._send_error(HTTPStatus.BAD_REQUEST, _EXPECTED)
        else:
            self._send_json(state)

    def _is_for_us(self) -> bool:
        if self.headers.get("Host", "") in self._hosts():
            return True
        self._send_error(HTTPStatus.FORBIDDEN, f"open {HOST} by this name")
        return False

    def _hosts(self) -> tuple[str, str]:
        assert isinstance(self.server, ThreadingHTTPServer)
        port = self.server.server_port
        return f"{HOST}:{port}", f"localhost:{port}"

    def _knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    def _body(self) -> bytes:
        """Raises ValueError where its length is none that an answer has, TimeoutError."""
        length = int(self.headers.get("Content-Length", ""))
        if not 0 <= length <= MAX_BODY:
            raise ValueError
        return self.rfile.read(length)

    def _send_page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
        )
        html = environment.get_template("review.html").render(
            nonce=nonce,
            classes=CLASSES,
            run=self._session.run,
            reviewer=self._session.reviewer,
            again=self._again,
            settings={"token": self._token, "classes": CLASSES, "other": OTHER, "changed": CHANGED},
        )
        policy = (
            f"default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'nonce-{nonce}';"
            f" script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'"
        )
        self._send(html.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def _send_picture(self, path: str) -> None:
        """/picture/3/DIGEST: the file of the fourth cell; /square/3/DIGEST: what the model sees.

        The bytes that are shown are those that have the digest, or nothing is.
        """
        _, kind, index, digest = path.split("/") if path.count("/") == 3 else ("", "", "", "")
        queue = self._session.run.queue
        known = kind in ("picture", "square") and index in map(str, range(len(queue)))
        if not known:
            self._send_error(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        cell = queue[int(index)]
        seen = cell.seen if kind == "square" else ""
        try:
            data = Path(seen or cell.file).read_bytes()
            if sha256_of(data) != digest:
                self._send_error(HTTPStatus.CONFLICT, CHANGED)
                return
            whole = kind == "picture" or bool(seen)
            pixels = decode(data) if whole else _square(data, self._session.run.framing)
        except (OSError, UnreadableImage):
            self._send_error(HTTPStatus.GONE, "the picture cannot be read")
            return
        image, buffer = Image.fromarray(pixels), io.BytesIO()
        image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        image.save(buffer, "PNG", compress_level=1)
        self._send(buffer.getvalue(), "image/png", {"Cache-Control": "private, max-age=3600"})

    def _send_json(self, content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(content).encode(), "application/json", status=status)

    def _send_error(self, status: HTTPStatus, words: str) -> None:
        self.close_connection = True  # a body may not have been read
        self._send(f"{words}\n".encode(), "text/plain; charset=utf-8", status=status)

    def _send(
        self,
        body: bytes,
        kind: str,
        headers: dict[str, str] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        self.send_response(status)
        always = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in {**always, **(headers or {})}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the terminal is the person's."""


def _address(text: str) -> SplitResult:
    """Of what is no address, an empty one."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def _square(data: bytes, framing: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Raises UnreadableImage."""
    return prepare(data, Framing.of(framing)).pixels
