"""What of a picture becomes the square, and in which light: recorded with pixels and with models.

store.json and model.json hold these settings, so that a model sees through serving what it saw in
training. Both may be older than a setting: what they do not name was not done.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

CHOICES: Final = {
    "crop": ("none", "cell", "mask"),
    "light": ("keep", "neutral"),
    "surroundings": ("keep", "fade"),
}


@dataclass(frozen=True)
class Framing:
    """From picture to square; params.yaml says what each choice does.

    Raises:
        ValueError: a choice that there is not.
    """

    size: int  # pixels, side of the square
    crop: str
    context: float  # side of the window in cell diameters
    light: str = "keep"
    surroundings: str = "keep"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                words = f"{', '.join(known[:-1])} or {known[-1]}"
                raise ValueError(f"{name} is {words}, not {getattr(self, name)!r}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Framing":
        """From store.json or the section `input` of model.json; other entries are passed over."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in names})

    def settings(self) -> dict[str, Any]:
        """As `of` reads it."""
        return asdict(self)
