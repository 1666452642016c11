"""Plain YAML values become frozen dataclasses, or a sentence says why not."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from wbc.errors import UserError
from wbc.schema import Pattern, Range, build


@dataclass(frozen=True)
class Circle:
    kind: Literal["circle"]
    radius: Annotated[float, Range(0, 10, open_low=True)]


@dataclass(frozen=True)
class Square:
    kind: Literal["square"]
    side: int
    note: str = ""


@dataclass(frozen=True)
class Drawing:
    shapes: tuple[Circle | Square, ...]
    title: Annotated[str, Pattern(r"[a-z]+", "lower-case letters")]
    mode: Literal["a", 1, True]


GOOD: dict[str, Any] = {
    "shapes": [{"kind": "circle", "radius": 2}, {"kind": "square", "side": 3}],
    "title": "abc",
    "mode": 1,
}


def test_nested_values_are_built() -> None:
    built = build(Drawing, GOOD, "", "x.yaml")
    assert built == Drawing((Circle("circle", 2.0), Square("square", 3)), "abc", 1)
    assert isinstance(built.shapes[0].radius, float)
    assert hash(built)


@pytest.mark.parametrize("value", [1, True, "a"])
def test_a_choice_keeps_numbers_and_truth_apart(value: object) -> None:
    mode = build(Drawing, {**GOOD, "mode": value}, "", "x.yaml").mode
    assert (mode, type(mode)) == (value, type(value))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"titel": "a"}, "x.yaml: titel (value 'a') is not a setting; did you mean 'title'?"),
        ({"title": None}, "x.yaml: title is None, but must be a text."),
        ({"title": "abc1"}, "x.yaml: title is 'abc1', but must be lower-case letters."),
        ({"title": "abc\n"}, "but must be lower-case letters."),
        ({"mode": 1.0}, "x.yaml: mode is 1.0, but must be one of a, 1, True."),
        ({"shapes": []}, "x.yaml: shapes must be a list with at least one entry, but is []."),
        ({"shapes": "circle"}, "shapes must be a list with at least one entry, but is 'circle'."),
        ({"shapes": [{"kind": "line"}]}, "shapes[0].kind is 'line', but must be one of circle, sq"),
        ({"shapes": [{"kind": "circle", "radius": 0}]}, "shapes[0].radius is 0.0, but must be ab"),
        ({"shapes": [{"kind": "circle", "radius": True}]}, "radius is True, but must be a number."),
        ({"shapes": [{"kind": "square", "side": 1.0}]}, "side is 1.0, but must be a whole number."),
        ({"shapes": [{"kind": "square", "radius": 1}]}, "[0].radius (value 1) is not a set"),
        ({"shapes": [{"kind": "square"}]}, "[0].side is missing; add a line for it, a whole"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(UserError) as error:
        build(Drawing, {**GOOD, **change}, "", "x.yaml")
    assert words in str(error.value)
    assert str(error.value).startswith("x.yaml: ")


def test_a_missing_setting_names_its_bounds_and_choices() -> None:
    for name, words in [("title", "a text, lower-case letters"), ("mode", "one of a, 1, True")]:
        with pytest.raises(UserError, match=f"{name} is missing; add a line for it, {words}"):
            build(Drawing, {k: v for k, v in GOOD.items() if k != name}, "", "x.yaml")


@pytest.mark.parametrize("value", [None, 3, "text", [1]])
def test_a_file_that_is_no_section_is_named(value: object) -> None:
    with pytest.raises(UserError, match=r"^x\.yaml must be a section"):
        build(Drawing, value, "", "x.yaml")


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (Range(0, 1), [0, 0.5, 1], [-0.1, 1.1, float("nan"), float("inf")]),
        (Range(0, 1, open_low=True), [0.1, 1], [0, float("nan")]),
    ],
)
def test_ranges(bound: Range, inside: list[float], outside: list[float]) -> None:
    assert all(number in bound for number in inside)
    assert not any(number in bound for number in outside)
