"""Texts that no spreadsheet takes for a formula, which it would run.

Names of files come from anywhere. In CSV such a text gets an apostrophe in front. A text that
begins with apostrophes before such a sign gets one more, so taking one away always gives the name.
"""

import re
from typing import Final

_FORMULA: Final = re.compile(r"['\s]*[=+\-@＝＋－＠]")  # also in full width, which some take too


def safe_text(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text
