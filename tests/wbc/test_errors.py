"""wbc.errors: how another one's exception is quoted."""

import pytest

from wbc.errors import one_line, without_password


def test_words_are_cut_between_words_and_an_exception_without_any_says_its_type() -> None:
    assert one_line(ValueError("two\n  words")) == "two words"
    assert one_line(ValueError("too many 500 error responses"), 20) == "too many 500 error …"
    assert one_line(ValueError("x" * 40), 20) == "x" * 20
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_passwords_of_addresses_are_left_out() -> None:
    said = "no answer from http://me:s3cret@host:5000/x or postgresql://me:s3cret@db, a@b.org"
    shown = "no answer from http://host:5000/x or postgresql://db, a@b.org"
    assert without_password(said) == one_line(ConnectionError(said)) == shown


@pytest.mark.parametrize("password", ["pa@half", "pa/half", "a:@/@b", "http://half"])
def test_passwords_with_signs_of_an_address_are_left_out_too(password: str) -> None:
    assert (
        without_password(f"server http://ada:{password}@host:9 fails")
        == "server http://host:9 fails"
    )
