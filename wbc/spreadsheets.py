"""Texts that no spreadsheet takes for a formula, which it would run.

Names of files come from anywhere. In CSV such a text gets an apostrophe in front. So does what
comes after a `;` in it: many spreadsheets begin a cell there, and quotes hold them back only in the
first column. Where apostrophes stand before such a sign already, one more is put there, so taking
one away always gives the name.
"""

import re
from typing import Final

# Also in full width, which some take too, and after a quote, which CSV doubles: that is an empty
# cell in quotes to whoever begins one there.
_FORMULA: Final = re.compile(r"""(^|;)(?=['"\s]*[=+\-@＝＋－＠])""")


def safe_text(text: str) -> str:
    return _FORMULA.sub(r"\1'", text)
