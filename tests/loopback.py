"""A small HTTP server on 127.0.0.1 for tests of downloads: ranges, validators, planted failures."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]


class LoopbackServer:
    """Answers by path; `requests` collects (method, path, headers in lower case).

    It also understands the absolute addresses that a client sends to an HTTP proxy.
    """

    def __init__(self, routes: dict[str, Answer]) -> None:
        self.routes = routes
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                path = urlsplit(self.path).path
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.command, path, headers))
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.routes.get(path, not_found)(self)

            do_GET = do_POST = do_HEAD = _answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        class QuietServer(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up is what some tests are about."""

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "LoopbackServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def not_found(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def send(
    handler: BaseHTTPRequestHandler,
    data: bytes,
    status: int = 200,
    headers: dict[str, str] | None = None,
    cut_after: int | None = None,
) -> None:
    """Send a whole answer, or break the connection off after `cut_after` bytes of it."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data if cut_after is None else data[:cut_after])
    if cut_after is not None:
        handler.wfile.flush()
        handler.close_connection = True


def stalled(handler: BaseHTTPRequestHandler) -> None:
    """Say nothing for 5 seconds, then hang up."""
    time.sleep(5)
    handler.close_connection = True


def redirect(goal: str) -> Answer:
    return lambda handler: send(handler, b"", 302, {"Location": goal})


class RangedFile:
    """A file that can be resumed; the first `num_cuts` answers break off half-way."""

    def __init__(
        self,
        data: bytes,
        etag: str = '"v1"',
        num_cuts: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.data, self.etag, self.num_cuts = data, etag, num_cuts
        self.headers = headers or {}

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {"ETag": self.etag, "Accept-Ranges": "bytes", **self.headers}
        wanted = handler.headers.get("Range", "")
        condition = handler.headers.get("If-Range", self.etag)
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if start and condition == self.etag:
            if start >= len(self.data):
                send(handler, b"", 416)
                return
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
            body, status = self.data[start:], 206
        else:
            body, status = self.data, 200
        cut = None
        if self.num_cuts:
            self.num_cuts -= 1
            cut = len(body) // 2
        send(handler, body, status, headers, cut)
