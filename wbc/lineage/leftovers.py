"""Files beside dvc.lock that a killed DVC left half written, and over which the next one stops."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_WRITING: Final = 1.0  # seconds, in which a DVC that is just writing one is surely done


def mend(repository: Path) -> list[str]:
    """Remove them; a sentence for each kind that there was. Nothing is lost: DVC had not used them.

    They are `.dvc/tmp/rwlock`, who reads and writes what just now, and entries of the run cache
    that had no name yet, which DVC takes for entries nevertheless.
    """
    dvc_dir = repository / ".dvc"
    if not dvc_dir.is_dir():
        return []
    found = [*_cut_off_locks(dvc_dir), *_half_entries(dvc_dir)]
    if not found:
        return []
    time.sleep(_WRITING)
    locks = _remove(set(found) & set(_cut_off_locks(dvc_dir)))
    entries = _remove(set(found) & set(_half_entries(dvc_dir)))
    said = (
        (locks, "DVC's list of who reads and writes what (.dvc/tmp/rwlock)"),
        (entries, "An entry of DVC's run cache"),
    )
    return [
        f"{what} was cut off while DVC wrote it (a kill, a full disk), and was removed."
        for removed, what in said
        if removed
    ]


def _cut_off_locks(dvc_dir: Path) -> list[Path]:
    path = dvc_dir / "tmp" / "rwlock"
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # UnicodeDecodeError is one
        return [path]
    except OSError:
        pass
    return []


def _half_entries(dvc_dir: Path) -> list[Path]:
    from dvc.config import Config

    set_by_user = Config(str(dvc_dir), validate=False).get("cache", {}).get("dir")
    cache = dvc_dir / set_by_user if set_by_user else dvc_dir / "cache"
    return list(cache.glob("runs/??/*/.*.tmp"))


def _remove(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        path.unlink(missing_ok=True)
        removed += 1
    return removed
