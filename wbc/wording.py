"""How numbers are written in sentences and tables that people read."""

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def percent(share: float, digits: int = 1) -> str:
    """56.0 % of a share 0.56."""
    return f"{100 * share:.{digits}f}{NBSP}%"


def signed(number: float, digits: int) -> str:
    """+0.123, and a true minus sign before what is negative; 0 has a plus."""
    text = f"{number:+.{digits}f}"
    if float(text) == 0:
        text = f"+{text[1:]}"
    return text.replace("-", MINUS)


def p_value(p: float) -> str:
    """p 0.012, or what is left of it: below 0.001."""
    return f"p{NBSP}{p:.3f}" if p >= 0.001 else f"p{NBSP}below{NBSP}0.001"


def cells(number: int) -> str:
    """1 cell, 1,200 cells."""
    return f"{number:,}{NBSP}cell{'s' if number != 1 else ''}"
