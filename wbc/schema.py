"""Strict building of frozen dataclasses from a parsed YAML mapping.

Every error is a UserError with the full key, the value found and what would be right. Field types
may be int, float, bool, str, Literal, tuple[X, ...], another dataclass, or a union of dataclasses
told apart by a Literal field `kind`; `Annotated[int, Range(1, 9)]` bounds a number, and
`Annotated[str, Pattern(...)]` a text; `Annotated[tuple[X, ...], MayBeEmpty()]` is a list that may
have no entry.
"""

import contextlib
import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from wbc.errors import UserError, shown


@dataclasses.dataclass(frozen=True)
class Range:
    """Both ends are allowed; `open_low` excludes the lower one."""

    low: float
    high: float
    open_low: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.open_low else number >= self.low
        return above and number <= self.high

    def __str__(self) -> str:
        return f"{'above' if self.open_low else 'from'} {self.low:g} to {self.high:g}"


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A regular expression for the whole text, and the words that describe it."""

    regex: str
    words: str


@dataclasses.dataclass(frozen=True)
class MayBeEmpty:
    """Of a list: no entry at all is right as well."""

    words = "or []"


def build(cls: Any, value: object, key: str, file: str) -> Any:
    """Turn `value` (from YAML) into `cls`; `key` is its dotted name, "" for the whole file.

    Raises:
        UserError: unknown or missing key, wrong type, value out of its range.
    """
    if get_origin(cls) is Annotated:
        base, *bounds = get_args(cls)
        if MayBeEmpty() in bounds and value == []:
            return ()
        return _bounded(build(base, value, key, file), bounds, key, file)
    if get_origin(cls) is Literal:
        return _choice(get_args(cls), value, key, file)
    if get_origin(cls) is tuple:
        return _sequence(get_args(cls)[0], value, key, file)
    if get_origin(cls) in (types.UnionType, typing.Union):
        return build(_member(get_args(cls), value, key, file), value, key, file)
    if dataclasses.is_dataclass(cls):
        return _section(cls, value, key, file)
    return _scalar(cls, value, key, file)


def _section(cls: Any, value: object, key: str, file: str) -> Any:
    where = f"{file}: {key}" if key else file
    if not isinstance(value, Mapping):
        found = "empty" if value is None else shown(value)
        raise UserError(
            f"{where} must be a section of `name: value` lines, but is {found}; write them, or"
            f" bring the file back with `git checkout {file}`."
        )
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in value:
        if name not in fields:
            raise UserError(_unknown(str(name), value[name], list(fields), key, file))
    for name, field in fields.items():
        if name not in value and field.default is dataclasses.MISSING:
            full = _join(key, name)
            raise UserError(
                f"{file}: {full} is missing; add a line for it, {_wanted(hints[name])}"
                " (the project's own params.yaml has an example)."
            )
    built = {n: build(hints[n], v, _join(key, str(n)), file) for n, v in value.items()}
    return cls(**built)


def _unknown(name: str, value: object, known: list[str], key: str, file: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    name = name if len(name) < 100 else f"{name[:100]}..."
    remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}."
    return f"{file}: {_join(key, name)} (value {shown(value)}) is not a setting; {remedy}"


def _member(options: tuple[Any, ...], value: object, key: str, file: str) -> Any:
    kinds = {get_args(typing.get_type_hints(option)["kind"])[0]: option for option in options}
    if not isinstance(value, Mapping):
        raise UserError(f"{file}: {key} must be an entry with `kind:`, but is {shown(value)}.")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise UserError(
            f"{file}: {key}.kind is {shown(kind)}, but must be one of {', '.join(kinds)}."
        )
    return kinds[kind]


def _sequence(item: Any, value: object, key: str, file: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise UserError(
            f"{file}: {key} must be a list with at least one entry, but is {shown(value)}."
        )
    return tuple(build(item, entry, f"{key}[{i}]", file) for i, entry in enumerate(value))


def _choice(options: tuple[Any, ...], value: object, key: str, file: str) -> Any:
    for option in options:
        if type(option) is type(value) and option == value:
            return option
    words = ", ".join(str(option) for option in options)
    raise UserError(f"{file}: {key} is {shown(value)}, but must be one of {words}.")


def _scalar(cls: type, value: object, key: str, file: str) -> Any:
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if isinstance(value, cls) and not (cls is int and isinstance(value, bool)):
        return value
    raise UserError(f"{file}: {key} is {shown(value)}, but must be {_words(cls)}.")


def _bounded(value: Any, bounds: list[Any], key: str, file: str) -> Any:
    for bound in bounds:
        if isinstance(bound, Range) and value not in bound:
            raise UserError(f"{file}: {key} is {shown(value)}, but must be {bound}.")
        if isinstance(bound, Pattern) and not re.fullmatch(bound.regex, value):
            raise UserError(f"{file}: {key} is {shown(value)}, but must be {bound.words}.")
    return value


def _wanted(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        base, *bounds = get_args(hint)
        return ", ".join([_words(base), *(getattr(b, "words", str(b)) for b in bounds)])
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(option) for option in get_args(hint))
    return _words(hint)


def _words(cls: Any) -> str:
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return plain.get(cls, "a list" if get_origin(cls) is tuple else "a section")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
