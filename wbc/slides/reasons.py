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
SHORT_OF_FIELDS: Final = {"unlocated": "empty fields", "unreadable": "unreadable fields"}
