"""Whether this package still answers as the copy of it that a registered version carries."""

from pathlib import Path
from typing import Final

import wbc

# wbc.imaging, wbc.model and wbc.reference with all that they import: from bytes to a decision.
ANSWERING: Final = (
    "backbones", "cells", "decoding", "errors", "folding", "framing", "imaging", "light",
    "localisation", "model", "reference", "staining", "surroundings", "uncompiled",
)  # fmt: skip


def changed(model_dir: Path) -> list[str]:
    """Modules whose text in the version differs from that here; [] for a model outside of one.

    model_dir: `artifacts` in the folder of a version, beside its `code`.
    """
    theirs, ours = model_dir.parent / "code" / "wbc", Path(wbc.__file__).parent
    if not (theirs / "model.py").is_file():
        return []
    return [name for name in ANSWERING if _text(theirs, name) != _text(ours, name)]


def _text(folder: Path, name: str) -> bytes:
    path = folder / f"{name}.py"
    return path.read_bytes() if path.is_file() else b""
