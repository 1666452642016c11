"""What the experiments of a sweep are called: their settings, as a part of a git reference's name.

A sweep takes an experiment with the same name as its own result, so other settings must have
another name, in this grid and in any other one on the same commit.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from wbc.params import Params


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """train.learning_rate -> learning_rate, unless two settings would be called the same."""
    last = Counter(key.rpartition(".")[2] for key in {*_settings(Params), *keys})
    return {
        key: key.rpartition(".")[2] if last[key.rpartition(".")[2]] == 1 else key for key in keys
    }


def value_name(value: object) -> str:
    """A value as YAML reads it: 0.1 for 0.10 and .1, a-b for [a, b].

    Where characters have to be replaced, six of the value's SHA-256 follow.
    """
    items = value if isinstance(value, list) else [value]
    texts = [item if isinstance(item, str) else json.dumps(item, default=str) for item in items]
    name = "-".join(texts)
    allowed = r"[\w.+]+" if isinstance(value, list) else r"[\w.+-]+"
    clear = texts and all(re.fullmatch(allowed, text, re.ASCII) for text in texts)
    if clear and ".." not in name and not name.endswith((".", ".lock")):  # as git refuses
        return name
    readable = re.sub(r"[^\w+.]+|\.\.+", "-", name, flags=re.ASCII).strip("-.") or "none"
    digest = hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:6]
    return f"{readable}-{digest}"


def _settings(section: Any, prefix: str = "") -> Iterator[str]:
    """The full names of all settings below a section of params.yaml, without sources' own."""
    for field in fields(section):
        if is_dataclass(field.type):
            yield from _settings(field.type, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"
