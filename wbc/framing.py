"""What of a picture becomes the square: recorded with pixels and with models.

store.json and model.json hold these settings, so that a model sees through serving what it saw in
training. Both may be older than this code, and name settings that have been removed since.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from wbc.errors import UserError, shown

CROPS: Final = ("none", "cell", "mask")
MAX_SIZE, MAX_CONTEXT = 1024, 4  # as in params.yaml
# Settings that did not pay (docs/generalisation.md), with the value that left pictures as they are.
REMOVED: Final = {"light": "keep", "surroundings": "keep"}


@dataclass(frozen=True)
class Framing:
    """From picture to square; params.yaml says what each choice does.

    Raises:
        ValueError: a crop that there is not, or lengths that no square has.
    """

    size: int  # pixels, side of the square
    crop: str
    context: float  # side of the window in cell diameters

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            words = f"{', '.join(CROPS[:-1])} or {CROPS[-1]}"
            raise ValueError(f"crop is {words}, not {self.crop!r}")
        if not isinstance(self.size, int) or not 1 <= self.size <= MAX_SIZE:
            raise ValueError(f"size is a whole number up to {MAX_SIZE}, not {shown(self.size)}")
        if not isinstance(self.context, int | float) or not 0 < self.context <= MAX_CONTEXT:
            raise ValueError(f"context is up to {MAX_CONTEXT}, not {shown(self.context)}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Framing":
        """From store.json or the section `input` of model.json; other entries are passed over.

        Raises:
            UserError: see `check_removed`.
        """
        check_removed(settings, "The model or the pixel store")
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in settings.items() if name in names})

    def settings(self) -> dict[str, Any]:
        """As `of` reads it."""
        return asdict(self)


def check_removed(settings: Mapping[str, Any], owner: str) -> None:
    """Refuse squares that can no longer be made; `owner` begins the sentence.

    Raises:
        UserError: a removed setting has changed the pictures.
    """
    for name, kept in REMOVED.items():
        if (found := settings.get(name, kept)) != kept:
            raise UserError(
                f"{owner} was expected to have preprocess.{name} {kept}, but has {found}, which"
                " this code no longer knows; use the code of the commit that made it or of its"
                " registered version, or train anew."
            )
