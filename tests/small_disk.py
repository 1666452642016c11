"""A real file system of a few megabytes, to fill up."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """`folder` as a file system of its own; skips the test where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-o", f"size={int(megabytes * 1024)}k"]
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)])
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip("mounting a small disk needs more rights than this machine gives")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def resize(folder: Path, megabytes: float) -> None:
    """Room is made on a small disk."""
    size = f"remount,size={int(megabytes * 1024)}k"
    subprocess.run(["mount", "-o", size, str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    """Nobody may write to a small disk any more, not even root."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
