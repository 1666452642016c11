"""torchrun from inside a stage: start the processes, wait for them, and say in one sentence why
they failed.

The processes are this very stage again, with torchrun's environment. One that fails writes its
reason to a folder of the launcher's instead of printing it: its peers fail with it, in words that
say nothing, and only the launcher can tell which came first.
"""

import json
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, ProcessFailure
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from wbc.errors import UserError
from wbc.processes import signals_raise
from wbc.team import PeerLostError

REPORTS: Final = "WBC_REPORTS_DIR"  # where a process that `launch` started leaves its reason
# Seconds in which the processes finish their step and save, after a signal.
PATIENCE: Final = 120


@dataclass(frozen=True)
class Report:
    """Why a process failed: a sentence for the user, or a traceback."""

    time: float
    is_sentence: bool
    text: str


def must_launch(num_processes: int, environment: Mapping[str, str]) -> bool:
    """Whether this process is to start the others, and not one of them itself."""
    return num_processes > 1 and "TORCHELASTIC_RUN_ID" not in environment


def was_launched(environment: Mapping[str, str]) -> bool:
    """Whether `launch` started this process, and will say why it ended."""
    return REPORTS in environment


def launch(module: str, arguments: list[str], num_processes: int) -> None:
    """Run `python -m module arguments` as `num_processes` processes on this machine; wait for them.

    Raises:
        UserError: one of them failed with such a sentence, or was killed.
        SystemExit: one of them failed otherwise (its traceback is printed), or SIGTERM came.
        KeyboardInterrupt: Ctrl-C came; the processes were told and have ended.
    """
    _quiet()
    with tempfile.TemporaryDirectory(prefix="wbc-torchrun-") as folder:
        os.environ[REPORTS] = folder
        os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(PATIENCE))
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP's advice on wbc.team's choices
        _stay_on_this_machine()
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num_processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            signals_to_handle="SIGQUIT",  # `signals_raise` hears the others, and each only once
            logs_specs=DefaultLogsSpecs(log_dir=str(Path(folder) / "torchrun")),
        )
        try:
            with signals_raise(_for_torchrun):
                elastic_launch(config, sys.executable)("-m", module, *arguments)
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + error.sigval) from None
        except ChildFailedError as error:
            _fail(error.failures, _read_reports(Path(folder)), num_processes)
        finally:
            del os.environ[REPORTS]


@contextmanager
def reporting() -> Iterator[None]:
    """Leave the reason of a failure to the launcher; without one, errors pass through."""
    try:
        yield
    except (Exception, PeerLostError) as error:
        folder = os.environ.get(REPORTS)
        if not folder:
            raise
        if not isinstance(error, PeerLostError):
            _write_report(Path(folder), error)
        raise SystemExit(1) from None


def _for_torchrun(number: int) -> SignalException:
    """What torchrun's agent takes as the order to pass this signal on and to wait."""
    return SignalException("", signal.Signals(number))


def _write_report(folder: Path, error: BaseException) -> None:
    sentence = isinstance(error, UserError)
    text = str(error) if sentence else traceback.format_exc()
    report = Report(time.time(), sentence, text)
    try:
        path = folder / f"{os.environ['RANK']}.json"
        part = path.with_suffix(".part")  # torchrun may end this process while it writes
        part.write_text(json.dumps(asdict(report)), encoding="utf-8")
        part.replace(path)
    except OSError:
        print(text, file=sys.stderr)  # noqa: T201


def _read_reports(folder: Path) -> list[Report]:
    """In the order in which the processes failed."""
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.json")]
    return sorted((Report(**json.loads(text)) for text in texts), key=lambda report: report.time)


def _fail(failures: Mapping[int, ProcessFailure], reports: list[Report], num: int) -> None:
    """The most telling reason: a sentence, else a signal, else the first traceback.

    SIGTERM comes last: with it torchrun ends what is left of the processes when one has failed.
    """
    for report in reports:
        if report.is_sentence:
            raise UserError(report.text)
    signals = {rank: _signal(failure.exitcode) for rank, failure in sorted(failures.items())}
    if "SIGINT" in signals.values():
        raise KeyboardInterrupt
    for rank, name in signals.items():
        if name not in ("", "SIGTERM"):
            memory = ", for lack of memory perhaps (then lower train.batch_size)"
            raise UserError(
                f"Process {rank + 1} of {num} was ended by {name}"
                f"{memory if name == 'SIGKILL' else ''}; the same command continues the training"
                " where it was saved last."
            )
    if reports:
        sys.exit(reports[0].text)
    if "SIGTERM" in signals.values():
        sys.exit(128 + signal.SIGTERM)
    statuses = ", ".join(str(failure.exitcode) for failure in failures.values())
    sys.exit(f"a process of the training ended with status {statuses} and gave no reason")


def _signal(status: int) -> str:
    """The signal's name behind an exit status (negative, or 128 and more as in shells), or ""."""
    number = -status if status < 0 else status - 128
    return signal.Signals(number).name if number in signal.valid_signals() else ""


def _stay_on_this_machine() -> None:
    """Have gloo connect over the loopback interface, whatever the host's name resolves to."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == "127.0.0.1" for address in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def _quiet() -> None:
    """torchrun's own account of signals and exit codes; `_fail` says it in words."""
    logger = logging.getLogger("torch.distributed.elastic")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
