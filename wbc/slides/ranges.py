"""Reference ranges: what of a differential is called low or high."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from wbc.cells import CLASSES
from wbc.errors import UserError, one_line

DEFAULT: Final = Path(__file__).with_name("ranges.yaml")
_EXPECTED: Final = (
    f"percent: with {', '.join(CLASSES)} as [low, high], both from 0 to 100, and the texts about:"
    " and source:"
)


@dataclass(frozen=True)
class Ranges:
    """{type: (low, high)} in percent of the leukocytes; types may be missing."""

    percent: Mapping[str, tuple[float, float]]
    about: str
    source: str

    def of(self, name: str) -> tuple[float, float] | None:
        return self.percent.get(name)


def read(path: Path = DEFAULT) -> Ranges:
    """Raises UserError where the file is not there or is none of ranges."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"The reference ranges in {path} cannot be read ({one_line(error, 120)}); expected is a"
            f" YAML file: {_EXPECTED}."
        ) from None
    try:
        percent = {str(name): _pair(ends) for name, ends in content["percent"].items()}
        about, source = str(content["about"]), str(content["source"])
        if not about.strip():
            raise ValueError
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
        raise UserError(f"{path} should have {_EXPECTED}; mend it.") from None
    unknown = sorted(set(percent) - set(CLASSES))
    if unknown:
        raise UserError(f"{path} names {unknown[0]}, which is no type; it should have {_EXPECTED}.")
    return Ranges(percent, " ".join(about.split()), source)


def mark(intervals: Sequence[tuple[float, float]], ends: tuple[float, float] | None) -> str:
    """low or high where every interval (in percent) lies outside the range on that side; or ""."""
    if ends is None:
        return ""
    if all(high < ends[0] for _, high in intervals):
        return "low"
    return "high" if all(low > ends[1] for low, _ in intervals) else ""


def _pair(ends: Any) -> tuple[float, float]:
    low, high = (float(end) for end in ends)
    if not 0 <= low <= high <= 100:
        raise ValueError
    return low, high
