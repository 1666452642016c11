"""The number of inputs of each surface, and a home for hypothesis outside of the repository."""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from tests.fuzz import bounds

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "wbc-hypothesis")


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest) -> Iterator[None]:
    bounds.num_inputs = 0
    logging.disable()  # thousands of names, also such as pytest-xdist cannot carry
    yield
    logging.disable(logging.NOTSET)
    request.node.user_properties.append(("inputs", bounds.num_inputs))


@pytest.fixture(scope="module")
def area(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all inputs of a module; a test makes folders of its own in it."""
    return tmp_path_factory.mktemp("fuzz")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "teardown":
                module = Path(report.location[0]).stem.removeprefix("test_")
                counts[module] += dict(report.user_properties).get("inputs", 0)
    counts = +counts
    if counts:
        words = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
        terminalreporter.write_line(f"{counts.total():,} inputs: {words}")
