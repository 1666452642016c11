"""What holds for every input: no hang, little memory, nothing written elsewhere, a sentence."""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from wbc.errors import UserError

SECONDS: Final = 60  # by the clock, on a machine that does other things too
MEMORY: Final = (
    1 << 30
)  # bytes above what the process had; the largest picture allowed takes 700 MB
LONGEST: Final = 4000  # letters of a sentence

num_inputs = 0  # since the last test began; see conftest.py
_watched: list[
    tuple[str, list[str]]
] = []  # at most one: (allowed folder, what was written outside)

_WRITES: Final = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod",
    "os.truncate", "os.utime", "os.chown", "shutil.rmtree", "shutil.move",
}  # fmt: skip
_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Hung(BaseException):
    """Not an Exception, so that no `except Exception` of the product swallows it."""


def _hook(event: str, given: tuple[Any, ...]) -> None:
    """Python's own audit of what a process does; it cannot be taken away again, only switched."""
    if not _watched or (event != "open" and event not in _WRITES):
        return
    if event == "open" and not (isinstance(given[2], int) and given[2] & _FLAGS):
        return
    if event in ("os.remove", "os.rmdir") and given[1] != -1:
        return  # relative to a folder that is open: shutil.rmtree, whose own event has the path
    allowed, outside = _watched[0]
    for path in given[:2] if event in ("os.rename", "os.link", "os.symlink") else given[:1]:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        real = os.path.realpath(text) if text and "\0" not in text else ""
        if real and not (real + "/").startswith(allowed) and real != "/dev/null":
            outside.append(f"{event} {text}")


sys.addaudithook(_hook)


@contextlib.contextmanager
def bounded(allowed: Path, counts: bool = True) -> Iterator[None]:
    """Around one input; only below `allowed` may be written, and memory must stay within MEMORY.

    A UserError of one sentence or two is as good as a result and ends the block. More memory than
    twice the limit cannot be had at all, so that a bomb ends as a failure and not the machine.
    """
    global num_inputs
    num_inputs += counts  # False: the same input once more, in another way
    outside: list[str] = []
    before = _reset_peak()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + 2 * MEMORY, hard))
    previous = signal.signal(signal.SIGALRM, _hung)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    _watched.append((os.path.realpath(allowed) + "/", outside))
    try:
        yield
    except UserError as error:
        assert 0 < len(str(error)) < LONGEST and "Traceback" not in str(error)
    finally:
        _watched.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert not outside, f"written outside of {allowed}: {outside}"
    more = _status("VmHWM") - before
    assert more < MEMORY, f"{more >> 20} MB of memory"


def _hung(*_: Any) -> None:
    raise Hung(f"no end after {SECONDS} seconds")


def _reset_peak() -> int:
    """Bytes that the process holds now, from which its peak counts anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    """In bytes, of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
