"""Mistakes of the machine and the copy: Python, git, DVC, make."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.mistakes.scene import Scene, Seen
from tests.pipeline.conftest import ROOT, environment_of
from tests.test_makefile import fake_python

OLD = (
    'test "$1" = --version && echo Python 3.9.2 && exit\n'
    'test "$1" = -c && set -- -c "import sys; sys.version_info = (3, 9, 2); $2"'
)


def set_up(scene: Scene) -> None:
    shutil.copytree(ROOT / ".ci", ".ci")
    shutil.copy(ROOT / "Makefile", ".")
    shutil.copy(ROOT / "requirements.txt", ".")


def make(*words: str) -> Callable[[Scene], Seen]:
    def made(scene: Scene) -> Seen:
        set_up(scene)
        return scene.process("make", *words)

    return made


def old_python(scene: Scene) -> Seen:
    set_up(scene)
    return scene.process(".ci/make_venv", ".venv", PYTHON=str(fake_python(scene.home, OLD)))


def no_git(scene: Scene) -> Seen:
    set_up(scene)
    return scene.process("/bin/sh", ".ci/make_venv", ".venv", PATH="/nowhere")


def no_python(scene: Scene) -> Seen:
    set_up(scene)
    return scene.process(".ci/make_venv", ".venv", PYTHON="python2.9")


def no_packages(scene: Scene) -> Seen:
    """The Python that is active has nothing but its own library."""
    set_up(scene)
    bare = scene.write("bin/python", f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    return scene.process("make", "lint", "TORCH=active", f"PYTHON={bare}")


def told(scene: Scene, has_dvc: bool, local: str = "") -> Seen:
    """What `make repro` and `make sweep` do first."""
    set_up(scene)
    if has_dvc:
        scene.write(".dvc/config", "[core]\n    analytics = false\n")
    if local:
        scene.write(".dvc/config.local", local)
    return scene.process(sys.executable, ".ci/dvc_scm.py")


def dvc(scene: Scene, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["python", "-m", "dvc", *words], cwd=scene.home, env=environment_of(scene.home), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def two_repros(scene: Scene) -> Seen:
    """The second `dvc repro` meets the first in its stage."""
    assert dvc(scene, "init", "-q", "--no-scm").wait(120) == 0
    stage = "touch began; while test ! -e go; do sleep 0.1; done; echo 1 > out"
    scene.write("dvc.yaml", f"stages:\n  download:\n    cmd: {stage}\n    outs: [out]\n")
    Path("dvc.lock").unlink()
    first = dvc(scene, "repro")
    try:
        while not (scene.home / "began").exists():
            assert first.poll() is None
            time.sleep(0.05)
        second = dvc(scene, "repro")
        said, _ = second.communicate(timeout=120)
        return Seen(" ".join(said.split()), second.returncode)
    finally:
        scene.write("go")
        first.communicate(timeout=120)


MAKERS = {
    "an old Python": old_python,
    "a Python that is not there": no_python,
    "no git": no_git,
    "packages missing in the active environment": no_packages,
    "a TORCH= that there is not": make("repro", "TORCH=amd"),
    "make clean-all by accident": make("clean-all"),
    "a zip of the repository instead of a clone": lambda scene: told(scene, True),
    "a copy without hidden files: DVC is not initialised": lambda scene: told(scene, False),
    "a damaged .dvc/config.local": lambda scene: told(scene, True, "['remote \"lab\"']\n   passw"),
    "two repros at once": two_repros,
}
