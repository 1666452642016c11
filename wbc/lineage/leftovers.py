"""Files beside dvc.lock that a killed DVC left half written, and over which the next one stops."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

_WRITING: Final = 1.0  # seconds, in which a DVC that is just writing one is surely done
_NAMELESS: Final = re.compile(r"\.[\w-]{22}\.tmp")  # as DVC calls what it is writing


def mend(repository: Path) -> list[str]:
    """Remove them; a sentence for each kind that there was. Nothing is lost: DVC had not used them.

    They are `.dvc/tmp/rwlock`, who reads and writes what just now; entries of the run cache that
    had no name yet, which DVC takes for entries nevertheless; and outputs that had none yet, which
    would belong to what `compare` depends on.
    """
    if not (repository / ".dvc").is_dir():
        return []
    found = [_as_they_are(look(repository)) for look in _KINDS.values()]
    if not any(found):
        return []
    time.sleep(_WRITING)
    said = []
    for (what, look), before in zip(_KINDS.items(), found, strict=True):
        left = before & _as_they_are(look(repository))
        for path, *_ in left:
            path.unlink(missing_ok=True)
        if left:
            said.append(
                f"{what} was cut off while DVC wrote it (a kill, a full disk), and was removed."
            )
    return said


def _as_they_are(paths: Iterable[Path]) -> set[tuple[Path, int, int]]:
    """With size and time: what still grows is being written."""
    found = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            now = path.stat()
            found.add((path, now.st_size, now.st_mtime_ns))
    return found


def _cut_off_locks(repository: Path) -> list[Path]:
    path = repository / ".dvc" / "tmp" / "rwlock"
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # UnicodeDecodeError is one
        return [path]
    except OSError:
        pass
    return []


def _half_entries(repository: Path) -> list[Path]:
    from dvc.config import Config

    dvc_dir = repository / ".dvc"
    set_by_user = Config(str(dvc_dir), validate=False).get("cache", {}).get("dir")
    cache = dvc_dir / set_by_user if set_by_user else dvc_dir / "cache"
    return list(cache.glob("runs/??/*/.*.tmp"))


def _half_outputs(repository: Path) -> list[Path]:
    found = (
        repository.glob(f"{place}.*.tmp") for place in ("", "data/", "models/*/", "reports/*/")
    )
    return [path for paths in found for path in paths if _NAMELESS.fullmatch(path.name)]


_KINDS: Final[Mapping[str, Callable[[Path], list[Path]]]] = {
    "DVC's list of who reads and writes what (.dvc/tmp/rwlock)": _cut_off_locks,
    "An entry of DVC's run cache": _half_entries,
    "An output": _half_outputs,
}
