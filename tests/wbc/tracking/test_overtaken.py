"""wbc.tracking.overtaken: what is repeated, and what is not."""

import pytest
from mlflow.exceptions import MlflowException

from wbc.tracking import overtaken

REFUSED = 'BAD_REQUEST: (psycopg2.errors.UniqueViolation) duplicate key value violates "param_pk"'


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overtaken, "_PAUSES", (0.0, 0.0, 0.0))


def writer(*problems: str) -> tuple[list[int], object]:
    """A write that fails with one problem after the other, and the attempts that it saw."""
    attempts: list[int] = []

    @overtaken.repeated
    def write(row: int) -> str:
        attempts.append(row)
        if len(attempts) <= len(problems):
            raise MlflowException(problems[len(attempts) - 1])
        return "written"

    return attempts, write


def test_what_others_wrote_first_is_looked_at_again() -> None:
    attempts, write = writer(REFUSED, "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets")
    assert callable(write) and write(7) == "written"
    assert attempts == [7, 7, 7]


def test_another_problem_is_not_repeated() -> None:
    attempts, write = writer("Permission denied")
    with pytest.raises(MlflowException, match="Permission denied"):
        assert callable(write) and write(7)
    assert attempts == [7]


def test_a_database_that_goes_on_refusing_is_named() -> None:
    attempts, write = writer(*[REFUSED] * 9)
    with pytest.raises(MlflowException, match="UniqueViolation"):
        assert callable(write) and write(7)
    assert len(attempts) == 4
