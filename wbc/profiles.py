"""Merge a profile (profiles/NAME.yaml, what differs for a job) into params.yaml.

The text of params.yaml is edited in place at the values' own positions, so that every comment,
blank line and quote around them stays, also those that a user wrote. A list is replaced as a whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from wbc import params
from wbc.errors import UserError, shown

Key = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One setting that the profile names; `old == new` where nothing had to change."""

    key: Key
    old: Any
    new: Any


def apply(name: str, root: Path) -> str:
    """Put the settings of profiles/`name`.yaml into params.yaml below `root`.

    Returns: what changed and from which value, to be shown to the user.

    Raises:
        UserError: no such profile, or params.yaml could not be run with it (it stays as it was).
    """
    profile_path, target = _find(name, root), root / "params.yaml"
    label = f"profiles/{profile_path.name}"
    text, profile = _read(target), _read(profile_path)
    old, settings = params.read_yaml(text, target.name), params.read_yaml(profile, label)
    for raw, file in ((old, target.name), (settings, label)):
        if not isinstance(raw, Mapping):
            raise UserError(
                f"{file} must hold sections of `name: value` lines, but is {shown(raw)}."
            )
    new = merged(old, settings)
    params.check(new, f"{target.name} with {label}")
    changes = [Change(key, _get(old, key), value) for key, value in _leaves(settings)]
    edited = merge_text(text, profile, [c.key for c in changes if c.old != c.new])
    if params.read_yaml(edited, target.name) != new:
        raise UserError(
            f"{label} cannot be put into {target.name} as it is written (an anchor or an unusual"
            " layout); change the settings by hand."
        )
    if edited != text:
        _write(target, edited)
    return _report(label, changes)


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with the leaves of `new`; sections are merged, anything else is replaced."""
    both = {
        key: merged(old[key], value)
        if isinstance(value, Mapping) and isinstance(old.get(key), Mapping)
        else value
        for key, value in new.items()
    }
    return {**old, **both}


def merge_text(text: str, profile: str, keys: list[Key]) -> str:
    """`text` with the values of `keys` as they are written in `profile`."""
    theirs, ours = _compose(profile), _compose(text)
    spans = []
    for key in keys:
        node = _node(ours, key)
        if node is None:
            raise UserError(
                f"params.yaml: {'.'.join(key)} is missing, so the profile's value has no place;"
                " add the line, or bring the file back with `git checkout params.yaml`."
            )
        value = _node(theirs, key)
        if value is None:
            raise UserError(
                f"The profile has {'.'.join(key)} by a YAML merge (<<), which cannot be copied into"
                " params.yaml as it is written; write the setting out in the profile."
            )
        spans.append((*_span(node, text), _written(value, node, profile)))
    for start, end, written in sorted(spans, reverse=True):
        text = text[:start] + written + text[end:]
    return text


def _find(name: str, root: Path) -> Path:
    known = sorted(path.stem for path in (root / "profiles").glob("*.yaml"))
    stem = name.removeprefix("profiles/").removesuffix(".yaml")
    if stem not in known:
        found = f"profile {name!r} is not in profiles/" if name else "no profile was named"
        example = f"; type for example: make params PROFILE={known[0]}" if known else ""
        raise UserError(f"{found}; there are {', '.join(known) or 'none'}{example}")
    return root / "profiles" / f"{stem}.yaml"


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()  # line ends as they are
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None


def _write(path: Path, text: str) -> None:
    """Replace the file in one step: whoever reads it meanwhile sees the old or the new one."""
    half = path.with_name(f".{path.name}.new")
    half.write_bytes(text.encode())
    half.chmod(path.stat().st_mode)
    half.replace(path.resolve())


def _leaves(section: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in section.items():
        key = (*above, str(name))
        if isinstance(value, Mapping):
            yield from _leaves(value, key)
        else:
            yield key, value


def _get(raw: Any, key: Key) -> Any:
    for name in key:
        raw = raw.get(name) if isinstance(raw, Mapping) else None
    return raw


def _compose(text: str) -> Node:
    node: Node = YAML(pure=True).compose(text)
    return node


def _node(node: Node | None, key: Key) -> Node | None:
    for name in key:
        if not isinstance(node, MappingNode):
            return None
        node = next((value for at, value in node.value if at.value == name), None)
    return node


def _span(node: Node, text: str) -> tuple[int, int]:
    """Where the value stands; a block list ends with the line of its last value, not later."""
    start: int = node.start_mark.index
    end = _last(node).end_mark.index
    if _is_block(node):
        line_end = text.find("\n", end)
        end = len(text) if line_end < 0 else line_end
    return start, end


def _last(node: Node) -> Node:
    while _is_block(node) and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node


def _is_block(node: Node) -> bool:
    return isinstance(node, CollectionNode) and not node.flow_style


def _written(node: Node, place: Node, profile: str) -> str:
    """The value as the profile writes it, moved to the column of the place it goes to."""
    start, end = _span(node, profile)
    value = profile[start:end]
    if not _is_block(node):
        return value
    lines = value.splitlines()
    if _is_block(place):
        column, lead = place.start_mark.column, ""
    else:
        column, lead = node.start_mark.column, "\n" + " " * node.start_mark.column
    shift = column - node.start_mark.column
    rest = [" " * max(0, len(x) - len(x.lstrip()) + shift) + x.lstrip() for x in lines[1:]]
    return lead + "\n".join([lines[0], *rest])


def _report(label: str, changes: list[Change]) -> str:
    changed = [change for change in changes if change.old != change.new]
    if not changed:
        return f"params.yaml already has every setting of {label}; nothing was changed."
    lines = [f"params.yaml now has the settings of {label}; everything else in it is as it was:"]
    lines += [f"  {'.'.join(c.key)}: {_shown(c.old)} -> {_shown(c.new)}" for c in changed]
    same = [".".join(change.key) for change in changes if change.old == change.new]
    return "\n".join([*lines, *([f"  already so: {', '.join(same)}"] if same else [])])


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(entry) for entry in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
