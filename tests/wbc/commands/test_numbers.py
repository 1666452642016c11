"""wbc.commands.numbers: whole numbers of the command line, within what the code can hold."""

import argparse

import pytest

from wbc.commands.numbers import natural, positive


def test_numbers_have_two_ends() -> None:
    assert [natural("0"), natural("2147483647"), positive("1")] == [0, 2**31 - 1, 1]


@pytest.mark.parametrize("text", ["-1", "x", "²", "", "1.5", "2147483648", "9" * 40, "9" * 9999])
def test_what_is_no_such_number_is_shown_shortened(text: str) -> None:
    for kind, least in ((natural, 0), (positive, 1)):
        with pytest.raises(
            argparse.ArgumentTypeError, match=rf"whole number from {least} to 2147483647, not '"
        ) as error:
            kind(text)
        assert len(str(error.value)) < 200
    with pytest.raises(argparse.ArgumentTypeError):
        positive("0")
