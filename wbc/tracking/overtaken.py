"""Two machines that write the same into one tracking server in the same moment."""

import functools
import random
import re
import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_REFUSED: Final = re.compile("UniqueViolation|IntegrityError")  # PostgreSQL; SQLite and MySQL
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)  # seconds


def repeated(write: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Repeat a write that the database refused because another machine wrote the same rows first.

    MLflow 3.17 looks for what is there, then inserts what is not, and sees to the rows that came
    in between only for tags and metrics. What is repeated here must itself look what is there.
    """

    @functools.wraps(write)
    def repeatedly(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        from mlflow.exceptions import MlflowException

        for pause in _PAUSES:
            try:
                return write(*args, **kwargs)
            except MlflowException as error:
                if not _REFUSED.search(str(error)):
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))
        return write(*args, **kwargs)

    return repeatedly
