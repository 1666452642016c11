"""Why a cell is not counted, in the words of tables and files."""

from typing import Final

OTHER: Final = "other"  # a person's answer: no cell of the five types
REASONS: Final = ("unreadable", "unlocated", "uncertain")  # the first that holds is the reason
ABOUT: Final = {
    "uncertain": "the model gives its own answer less probability than --uncertain-below",
    "unlocated": "no leukocyte was found in the picture",
    "unreadable": "the file could not be read",
    OTHER: "a person says: no cell of the five types",
}
OF_FIELDS: Final = {  # where cells are those of whole fields
    "unlocated": "fields in which no leukocyte was found",
    "unreadable": "fields that could not be read",
}


def of_fields_in_short(number: int, reason: str) -> str:
    """2 fields without a cell, 1 unreadable field, 3 uncertain."""
    fields = f"field{'s' if number != 1 else ''}"
    words = {"unlocated": f"{fields} without a cell", "unreadable": f"unreadable {fields}"}
    return f"{number:,} {words.get(reason, reason)}"
