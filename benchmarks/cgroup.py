"""A command in a control group with limited memory, and how much anonymous memory it took."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Peak:
    """`anonymous`: peak of RssAnon over the command and its children, in bytes; `group`: peak of
    all memory that the control group counts, page cache included (None without one)."""

    status: int
    output: str
    seconds: float
    anonymous: int
    group: int | None


@contextmanager
def limited(num_bytes: int) -> Iterator[Path | None]:
    """A new control group (v1 or v2) with this limit; None where none may be made."""
    is_v2 = (V2 / "cgroup.controllers").exists()
    group = (V2 if is_v2 else V1) / f"wbc-{os.getpid()}"
    try:
        group.mkdir()
        if is_v2:
            (group / "memory.max").write_text(str(num_bytes))
            swap = group / "memory.swap.max"
            if swap.exists():
                swap.write_text("0")
        else:
            (group / "memory.limit_in_bytes").write_text(str(num_bytes))
    except OSError as error:
        print(f"no control group ({error}); only RssAnon is checked", file=sys.stderr)
        if group.exists():
            group.rmdir()
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


def measure(command: list[str], group: Path | None) -> Peak:
    """Run a command to its end inside `group`."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_in(group)
    )
    anonymous = 0
    while process.poll() is None:
        anonymous = max(anonymous, _anonymous(process.pid))
        time.sleep(0.02)
    output = process.stdout.read() if process.stdout else ""
    seconds = time.perf_counter() - start
    return Peak(process.returncode, output, seconds, anonymous, _group_peak(group))


def _in(group: Path | None) -> Callable[[], None] | None:
    if group is None:
        return None
    path = group / "cgroup.procs"

    def enter() -> None:
        path.write_text(str(os.getpid()))

    return enter


def _anonymous(pid: int) -> int:
    """RssAnon of a process and its children: what it wrote, without mapped files.

    A child that is just being started (after vfork, before exec) has the memory of its parent,
    which is not counted again.
    """
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        parents = {process.pid: process.ppid() for process in family}
    except psutil.NoSuchProcess:
        return 0
    found = {pid: _memory(pid) for pid in parents}
    own = [
        memory["RssAnon"]
        for pid, memory in found.items()
        if memory and memory != found.get(parents[pid])
    ]
    return sum(own)


def _memory(pid: int) -> dict[str, int]:
    """What the kernel counts of a process's memory, in bytes; nothing where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    names = ("VmPeak", "VmSize", "VmHWM", "RssAnon")
    values = dict(line.split(":") for line in lines if line.startswith(names))
    return {name: int(value.split()[0]) * 1024 for name, value in values.items()}


def _group_peak(group: Path | None) -> int | None:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        if group and (group / name).exists():
            return int((group / name).read_text())
    return None
