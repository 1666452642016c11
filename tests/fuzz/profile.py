"""How many inputs: 500 in all in `make test`, ten times as many in `make fuzz`.

WBC_FUZZ=nightly chooses the second. Without it inputs are the same every time, so that `make test`
cannot fail by chance; a nightly run draws new ones.
"""

import os
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings

NIGHTLY: Final = os.environ.get("WBC_FUZZ") == "nightly"
TIMES: Final = 12  # as many inputs in a nightly run


def inputs(number: int) -> Callable[[Any], Any]:
    """`number` inputs for the test below it in `make test`; all tests' numbers add up to 500."""

    def decorate(test: Any) -> Any:
        return settings(
            max_examples=number * TIMES if NIGHTLY else number,
            derandomize=not NIGHTLY,
            database=None,
            deadline=None,  # tests/fuzz/bounds.py ends a hang, which hypothesis would wait for
            # What `make test` finds is shown as it is, at once; a night has time to make it small.
            phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if NIGHTLY else [])],
            print_blob=NIGHTLY,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )(test)

    return decorate
