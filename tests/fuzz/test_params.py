"""params.yaml, profiles' YAML and reference ranges: any text gives settings or one sentence."""

import contextlib
import re
from pathlib import Path
from typing import Any, Final

import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.bounds import bounded
from tests.fuzz.mutations import mutated
from tests.fuzz.profile import inputs
from wbc import params
from wbc.slides import ranges

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "params.yaml").read_bytes()
RANGES: Final = ranges.DEFAULT.read_bytes()
BARE: Final = [re.sub(rb"(?m)^\s*#.*\n|#.*$", b"", text) for text in (TEXT, RANGES)]  # no comments
LAUGHS: Final = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
# What means something in YAML, or is a value that programs stumble on.
TOKENS: Final = tuple(
    word.encode()
    for word in (
        "&a ", "*a", "<<: *a", "!!python/object/apply:os.system ['true']", "!!binary a", "? ", "- ",
        ": ", "{", "}", "[", "]", "'", '"', "|", ">", "%YAML 9.9\n", "---\n", "...\n", "\t", "\0",
        "\n", "#", "@", "`", ".nan", ".inf", "-.inf", "1e999", "-1", "0x", "0o9", "0b2", "1_0",
        "2024-13-45", "2024-02-30T99:99:99Z", "!!int x", "!!float x", "!!timestamp x", "!!set [a]",
        "!!omap [a]", "!!pairs [a]", "~", "true", "no", "'1'", "\x85", "\u2028", "\ud7ff",
        "[" * 2000, "{a: " * 500, "1" + "0" * 400,
        f"seed: {{{LAUGHS.strip()}}}".replace("\n", ", "), "9" * 5000, "x" * 5000, LAUGHS,
    )
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([]),
    st.just({}), st.lists(st.integers(-1, 3), max_size=3), st.dates(), st.binary(max_size=5),
    st.sampled_from([
        10**400, -(10**400), 2**63, "9" * 5000, "data/incoming/../../etc", "/etc/passwd", "a\0b",
        "data/incoming/" + "x" * 300, "data/weights/" + "y" * 300, "(", "(" * 3000,
        "a{99999999999}", "(?P<n>a)(?P<n>b)", "auto", "folder", 1e308, -0.0, "{architecture}",
        "ä\ud800",
    ]),
)  # fmt: skip


def places(node: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of nested sections and lists, as a path."""
    if not isinstance(node, dict | list):
        return []
    found = []
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        found += [(*above, key), *places(value, (*above, key))]
    return found


PLACES: Final = places(yaml.safe_load(TEXT))


@st.composite
def settings_changed(draw: st.DrawFn) -> Any:
    """The project's own settings with one to three of them replaced, removed, renamed or added."""
    content = yaml.safe_load(TEXT)
    content["data"]["sources"].append(
        {"kind": "folder", "name": "lab", "role": "auto", "path": "data/incoming/lab"}
        | draw(st.sampled_from([{}, {"group_pattern": "^(a)", "table": "t.csv"}]))
    )
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from([*PLACES, ("data", "sources", 1, "group_pattern")]))
        node: Any = content
        with contextlib.suppress(LookupError, TypeError):  # an earlier change has taken it away
            for key in above:
                node = node[key]
        if not isinstance(node, dict) and not (
            isinstance(node, list) and isinstance(last, int) and last < len(node)
        ):
            continue
        what = draw(st.sampled_from(("replace", "replace", "remove", "rename", "add")))
        if what == "replace":
            node[last] = draw(VALUES)
        elif isinstance(node, dict) and what == "add":
            node[draw(VALUES.filter(_hashable))] = draw(VALUES)
        elif isinstance(node, dict) and last in node:
            value = node.pop(last)
            if what == "rename":
                node[str(last)[1:]] = value
    return content


def _hashable(value: Any) -> bool:
    return not isinstance(value, list | dict)


@given(content=settings_changed())
@inputs(70)
def test_any_settings_are_run_or_refused(content: Any, area: Path) -> None:
    with bounded(area):
        settings = params.check(content, "params.yaml")
        for each in params.each_seed(settings):
            assert params.flatten(each, "resnet18")["architecture"] == "resnet18"


@given(data=mutated([TEXT, BARE[0], BARE[0]], TOKENS))
@inputs(50)
def test_any_text_is_settings_or_a_sentence(data: bytes, area: Path) -> None:
    path = area / "params.yaml"
    path.write_bytes(data)
    with bounded(area):
        assert isinstance(params.load(path), params.Params)


@given(data=mutated([RANGES, BARE[1], BARE[1]], TOKENS))
@inputs(20)
def test_any_text_is_reference_ranges_or_a_sentence(data: bytes, area: Path) -> None:
    path = area / "ranges.yaml"
    path.write_bytes(data)
    with bounded(area):
        for low, high in ranges.read(path).percent.values():
            assert 0 <= low <= high <= 100
