"""dvc.lock after DVC was killed: DVC writes it in place, and stops over what is left of it."""

import time
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_WRITING: Final = 1.0  # seconds, in which a DVC that is just writing it is surely done


def mend(repository: Path) -> str:
    """Remove a dvc.lock that DVC could not read; a sentence, or "" where nothing was wrong.

    Without it DVC finds every stage that has run with these inputs in its run cache, and restores
    the outputs from there; the file that it then writes is the same.
    """
    path = repository / "dvc.lock"
    if not path.is_file() or _is_whole(path):
        return ""
    time.sleep(_WRITING)
    if _is_whole(path):
        return ""
    path.unlink()
    return (
        "dvc.lock was cut off while DVC wrote it (a kill, a full disk) and is made anew: what it"
        " told of comes out of DVC's cache."
    )


def _is_whole(path: Path) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except (YAMLError, Invalid, UnicodeDecodeError):
        return False
    return True
