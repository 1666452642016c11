"""What a hand-made feature is called, in which unit, and what it says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """`unit` "1" is a pure number; lengths and areas are shares of the square or of the cell."""

    name: str
    unit: str
    meaning: str
