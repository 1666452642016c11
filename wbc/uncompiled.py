"""Importing torchvision without torch's compiler, which nothing here uses."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import torch

# What torchvision 0.29 asks while its operator roi_align is imported. Answering it takes the
# import of the whole compiler, 1.7 s of every process's start.
_COMPILER: Final = "torch._dynamo"
_ASKED: Final = "is_compile_supported"

assert torch.__version__  # it is there before the stand-ins are


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """While this lasts, an import of torch._dynamo finds a stand-in that supports no device.

    roi_align would run uncompiled then, with the same results. Afterwards the compiler can be
    imported as ever.
    """
    if _COMPILER in sys.modules:
        yield
        return
    answering: Any = ModuleType(f"{_COMPILER}.utils")
    setattr(answering, _ASKED, _not_supported)
    stand_ins = {_COMPILER: ModuleType(_COMPILER), answering.__name__: answering}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _not_supported(_device: str) -> bool:
    return False
