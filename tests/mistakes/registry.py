"""Mistakes with versions: promote, rollback, verify, checkout."""

import shutil
from collections.abc import Callable

from tests.mistakes.scene import Scene, Seen
from tests.registry_home import BAD, GOOD, Registry, loads_everything


def on_empty(*words: str) -> Callable[[Scene], Seen]:
    """A registry without a version."""
    return lambda scene: scene.wbc(*words)


def registry(scene: Scene) -> Registry:
    """Of one version, which nobody has promoted."""
    scene.process("git", "init", "-q")
    loads_everything(scene.monkeypatch)
    found = Registry(scene.home)
    found.add(GOOD)
    return found


def on_one(*words: str) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        registry(scene)
        scene.cells("cells")
        return scene.wbc(*words)

    return make


def a_worse_one(scene: Scene) -> Seen:
    found = registry(scene)
    assert scene.wbc("promote", "--version", "1").status == 0
    found.add(BAD)
    return scene.wbc("promote", "--version", "2")


def promoted_twice(scene: Scene) -> Seen:
    registry(scene)
    assert scene.wbc("promote", "--version", "1").status == 0
    return scene.wbc("promote", "--version", "1")


def rollback_without_history(scene: Scene) -> Seen:
    registry(scene)
    assert scene.wbc("promote", "--version", "1").status == 0
    return scene.wbc("rollback")


def edited_after(*words: str) -> Callable[[Scene], Seen]:
    """A version of the last commit, and a file that was edited since."""

    def make(scene: Scene) -> Seen:
        found = registry(scene)
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
            scene.process("git", "config", key, value)
        scene.write("README.md", "as committed")
        scene.process("git", "add", "README.md", "dvc.lock")
        assert scene.process("git", "commit", "-q", "-m", "first").status == 0
        client = found.store.client
        run_id = found.version("1").run_id
        commit = scene.process("git", "rev-parse", "HEAD").text.strip()
        client.set_tag(run_id, "git.commit", commit)
        client.log_artifact(run_id, "dvc.lock", "lineage")
        scene.write("README.md", "an afternoon's work")
        return scene.wbc(*words)

    return make


def in_a_zip(*words: str) -> Callable[[Scene], Seen]:
    """The repository came as a zip, without git; the registry is a team's."""

    def make(scene: Scene) -> Seen:
        found = registry(scene)
        client, run_id = found.store.client, found.version("1").run_id
        client.set_tag(run_id, "git.commit", "0123456789" * 4)
        client.log_artifact(run_id, "dvc.lock", "lineage")
        shutil.rmtree(".git")
        return scene.wbc(*words)

    return make


MAKERS = {
    "promote before there is a version": on_empty("promote"),
    "promote when nobody is challenger": on_one("promote"),
    "promote an unknown version": on_one("promote", "--version", "7"),
    "promote an unknown alias": on_one("promote", "--alias", "best"),
    "promote a worse version": a_worse_one,
    "promote the champion": promoted_twice,
    "--force without a reason": on_one("promote", "--version", "1", "--force"),
    "rollback without a champion": on_one("rollback"),
    "rollback without history": rollback_without_history,
    "predict before there is a champion": on_one("predict", "cells"),
    "predict by an unknown alias": on_one(
        "predict", "cells", "--model", "models:/wbc-classifier@best"
    ),
    "predict by an unknown version": on_one(
        "predict", "cells", "--model", "models:/wbc-classifier/9"
    ),
    "predict by another model's name": on_one("predict", "cells", "--model", "models:/wbc/1"),
    "serve before there is a champion": on_one("serve", "--port", "5987"),
    "drift before there is a champion": on_one("drift", "cells"),
    "verify an unknown version": on_one("verify", "9"),
    "verify a version that names no commit": on_one("verify", "1"),
    "checkout of a version that names no commit": on_one("checkout", "1"),
    "checkout of an unknown version": on_one("checkout", "latest"),
    "promote with uncommitted changes": edited_after("promote", "--version", "1"),
    "a sweep over uncommitted changes": edited_after("sweep", "seed=1,2"),
    "checkout over unsaved work": edited_after("checkout", "1"),
    "checkout in a zip of the repository": in_a_zip("checkout", "1"),
    "verify in a zip of the repository": in_a_zip("verify", "1"),
    "clean where nobody can be asked": on_one("clean", "--keep-last", "0"),
}
