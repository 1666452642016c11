"""`python …` of a test: asks the server for a fork, or becomes the real interpreter.

Run as `python -ISE client.py SOCKET ARGUMENT…`; without site-packages it starts in 20 ms.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    address, *arguments = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
            read_at_start = json.loads(_line(server))
            alike = all(os.environ.get(name) == value for name, value in read_at_start.items())
        except OSError:
            alike = False  # it has ended
        if arguments[:1] not in (["-m"], ["-P"]) or not alike or _inherits(arguments[1]):
            os.execv(sys.executable, [sys.executable, *arguments])
        wanted = {
            "arguments": arguments,
            "environment": dict(os.environ),
            "cwd": str(Path.cwd()),
            "python": str(Path(address).with_name("python")),
        }
        socket.send_fds(server, [b"f"], [0, 1, 2])
        server.sendall(json.dumps(wanted).encode() + b"\n")
        fork = int(_line(server))

        def hand_on(number: int, _: FrameType | None) -> None:
            os.kill(fork, number)

        for number in HANDED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, hand_on)
        status = int(_line(server))
    if status < 0:
        if -status in HANDED_ON:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def _inherits(name: str) -> bool:
    """Workers that are handed more open files than the three that go to a fork."""
    return name.startswith(("joblib.", "multiprocessing."))


def _line(server: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        piece = server.recv(1)
        if not piece:
            raise ConnectionResetError("the server of forks has ended")
        received += piece
    return received


if __name__ == "__main__":
    main()
