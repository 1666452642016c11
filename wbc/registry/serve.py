"""`make serve`: the champion over HTTP on this machine, as `mlflow models serve` would."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from joblib import cpu_count

from wbc import model
from wbc.errors import UserError
from wbc.processes import signals_raise
from wbc.registry import packaging
from wbc.tracking.adapt import model_folder

HOST: Final = "127.0.0.1"
STOP_SECONDS: Final = 20.0
HTTP: Final = "wbc.registry.bounded_head:BoundedHead"
REQUEST_SECONDS: Final = 3600  # as many images as the guard lets through, on a slow machine

log = logging.getLogger(__name__)


def serve(reference: str, port: int, workers: int) -> None:
    """Serve until Ctrl-C or SIGTERM.

    reference: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, or a folder such as models/googlenet.

    Raises:
        UserError: there is no such model, the port is taken, or the server ended by itself.
    """
    _check_port(port)
    with signals_raise(), _version(reference) as version:
        log.info("%s: in 10 to 30 s on http://%s:%d/invocations", reference, HOST, port)
        process = subprocess.Popen(command_line(port, workers), env=environment(version, workers))
        try:
            status = process.wait()
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
    raise UserError(
        f"The server ended by itself with status {status}; its own words are above. Choose another"
        " version with --model, or mend that."
    )


def command_line(port: int, workers: int) -> list[str]:
    """As `mlflow models serve --env-manager local` runs it, but for the guard around its app."""
    options = ["--host", HOST, "--port", str(port), "--workers", str(workers), "--http", HTTP]
    return [
        *(sys.executable, "-m", "uvicorn", *options, "--no-access-log", "--log-level", "warning"),
        *("--app-dir", str(Path(__file__).resolve().parents[2]), "wbc.registry.scoring_app:app"),
    ]


def environment(version: Path, workers: int) -> dict[str, str]:
    """The cores are shared out to the workers; two busy pools of threads would slow each other."""
    from mlflow.pyfunc.scoring_server import _SERVER_MODEL_PATH

    threads = str(max(1, cpu_count() // workers))
    # After MLflow's own 60 s a request would be answered with 504 and yet go on computing.
    return os.environ | {
        _SERVER_MODEL_PATH: str(version),
        "OMP_NUM_THREADS": threads,
        "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": str(REQUEST_SECONDS),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


@contextlib.contextmanager
def _version(reference: str) -> Iterator[Path]:
    """The folder of a version, with its own copy of the code; made anew for one of models/."""
    with model_folder(reference, Path.cwd()) as folder:
        if (folder.parent / "MLmodel").is_file():
            yield folder.parent
            return
        model.load(folder)  # a damaged one would be told in the words of three libraries
        with TemporaryDirectory() as scratch:
            version = Path(scratch) / "version"
            try:
                packaging.package(folder, version)
            except OSError as error:
                raise UserError(
                    f"The model could not be copied to {scratch} ({error.strerror}); make room"
                    " there, or set TMPDIR to a folder with some."
                ) from None
            yield version


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            raise UserError(
                f"Port {port} on {HOST} cannot be had, perhaps another server uses it; choose"
                f" another: `make serve PORT={port % 60000 + 1}`."
            ) from None
