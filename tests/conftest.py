"""For all tests: few threads, no network variables, no telemetry, ears for signals."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run beside each other (pytest -n)
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_ROOT"):
    os.environ.pop(name, None)  # a developer's own server is no place for tests
if threading.current_thread() is threading.main_thread():  # nohup and `&` make deaf to these
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    if "MUTANT_UNDER_TEST" in os.environ:  # mutmut forks a large process for each mutant
        gc.freeze()


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """A training in this process sets torch's threads, and sums differ in the last bit by them."""
    torch = sys.modules.get("torch")  # not imported here: most tests do without
    before = torch.get_num_threads() if torch else int(os.environ["OMP_NUM_THREADS"])
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(before)
