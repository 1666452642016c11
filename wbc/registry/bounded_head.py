"""uvicorn's HTTP with a limit of time for a request's head, which uvicorn itself does not have.

A client that sends half a head, or nothing, would keep its connection for ever. The time of a body
is the guard's.
"""

import asyncio
import json
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from wbc import guard


class BoundedHead(H11Protocol):
    """One connection."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()  # the head is there
        elif self._waiting is None:  # a part of the next one; not anew with every byte of it
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(guard.SECONDS, self._end)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_answer())
            self.transport.close()


def _answer() -> bytes:
    body = json.dumps({"error": guard.too_slow()})
    return (HEAD.format(len(body)) + body).encode()


HEAD: Final = (
    "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
    "content-length: {}\r\nconnection: close\r\n\r\n"
)
