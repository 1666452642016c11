"""dvc.lock after DVC was killed: DVC writes it in place, and stops over what is left of it."""

import re
import time
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wbc.errors import UserError

_WRITING: Final = 1.0  # seconds, in which a DVC that is just writing it is surely done
_SCHEMA: Final = "2.0"  # the one that every DVC 2 and 3 writes, and the only one that they read
_CONFLICT: Final = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)


def mend(repository: Path) -> str:
    """Set a dvc.lock aside that DVC cut off; a sentence, or "" where nothing was wrong.

    Without it DVC finds every stage that has run with these inputs in its run cache, and restores
    the outputs from there; the file that it then writes is the same.

    Raises:
        UserError: DVC cannot read it either, but nothing is lost of it: a merge that is not
            resolved, or another DVC's file.
    """
    path = repository / "dvc.lock"
    if not path.is_file() or _is_whole(path):
        return ""
    _refuse_if_complete(path.read_text(encoding="utf-8", errors="replace"))
    time.sleep(_WRITING)
    if _is_whole(path):
        return ""
    aside = path.replace(path.with_name("dvc.lock.damaged"))
    return (
        "dvc.lock was cut off while DVC wrote it (a kill, a full disk) and is made anew: what it"
        f" told of comes out of DVC's cache. What was left of it is kept as {aside.name}."
    )


def _refuse_if_complete(text: str) -> None:
    if _CONFLICT.search(text):
        raise UserError(
            "dvc.lock holds both sides of a merge (<<<<<<<), which DVC cannot read; take one of"
            " them (git checkout --ours dvc.lock, or --theirs), and run the same command again."
        )
    try:
        document: Any = YAML(typ="safe").load(text)
    except YAMLError:
        return
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, str) and schema != _SCHEMA:
        raise UserError(
            f"dvc.lock should have schema {_SCHEMA}, but has {schema}, of another DVC than the one"
            " installed here; install the DVC that wrote it, or bring an older dvc.lock back with"
            " git, and run the same command again."
        )


def _is_whole(path: Path) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except (YAMLError, Invalid, UnicodeDecodeError):
        return False
    return True
