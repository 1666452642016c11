"""Whether this package still answers as the copy of it that a registered version carries."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Final

import wbc
from wbc.spreading import SOFTWARE

log = logging.getLogger(__name__)

# wbc.imaging, wbc.model and wbc.reference with all that they import: from bytes to a decision.
ANSWERING: Final = (
    "architectures", "backbones", "cells", "decoding", "depthwise", "errors", "folding", "framing",
    "imaging", "joining", "localisation", "masks", "model", "reference", "staining", "uncompiled",
)  # fmt: skip


def code_sha256() -> str:
    """Of what makes a row from a file: this code and the packages that make pixels."""
    package = Path(wbc.__file__).parent
    folders = ("exporting", "handmade", "predicting")
    files = [path for name in folders for path in sorted(package.glob(f"{name}/*.py"))]
    own = {f"{path.parent.name}/{path.name}": path.read_text(encoding="utf-8") for path in files}
    return hashlib.sha256(json.dumps(SOFTWARE | own, sort_keys=True).encode()).hexdigest()


def changed(model_dir: Path) -> list[str]:
    """Modules whose text in the version differs from that here; [] for a model outside of one.

    model_dir: `artifacts` in the folder of a version, beside its `code`.
    """
    theirs, ours = model_dir.parent / "code" / "wbc", Path(wbc.__file__).parent
    if not (theirs / "model.py").is_file():
        return []
    return [name for name in ANSWERING if _text(theirs, name) != _text(ours, name)]


def warn(model_dir: Path) -> None:
    """Say where answers may differ from those of the version's own code."""
    if other := changed(model_dir):
        log.warning(
            "This version was registered with another wbc/%s.py; its own copy, which serving uses,"
            " may answer otherwise than the code here does.",
            ".py, wbc/".join(other),
        )


def _text(folder: Path, name: str) -> bytes:
    path = folder / f"{name}.py"
    return path.read_bytes() if path.is_file() else b""
