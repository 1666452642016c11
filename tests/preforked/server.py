"""The process that has imported the libraries and forks; nothing of the repository is loaded."""

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import random
import runpy
import selectors
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBRARIES = (
    "torch", "torchvision", "torch.utils.data", "lightning.pytorch", "torchmetrics",
    "mlflow", "mlflow.pyfunc", "mlflow.tracking", "mlflow.artifacts", "mlflow.entities",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
    "sklearn.metrics", "sklearn.pipeline", "sklearn.linear_model", "sklearn.svm",
    "sklearn.model_selection", "scipy.stats", "scipy.ndimage", "scipy.optimize", "pandas",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "skimage.measure",
    "skimage.segmentation", "skimage.morphology", "skimage.filters", "skimage.feature",
    "cleanlab.filter", "joblib", "PIL.ImageDraw", "ruamel.yaml", "safetensors.torch", "psutil",
    "filelock", "tqdm", "jinja2", "dvc.cli", "dvc.cli.parser", "dvc.repo", "dvc.repo.experiments",
    "dvc_data.index", "dvc.fs", "dvc.repo.datasets", "dvc.repo.plots", "networkx", "omegaconf",
    "pygit2", "dvc.repo.experiments.queue.celery", "mlflow.tracing.processor.base_mlflow",
    "mlflow.utils.requirements_utils", "sqlalchemy.dialects.sqlite",
)  # fmt: skip
# What libraries and the interpreter read when they start: a fork can only be asked for where they
# are the same.
READ_AT_START = (
    "OMP_NUM_THREADS", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONWARNINGS", "TORCH_CPP_LOG_LEVEL",
)  # fmt: skip


def main() -> None:
    """Serve until the test run (process OWNER) has ended; each fork goes on as MODULE."""
    folder, owner = Path(sys.argv[1]), int(sys.argv[2])
    sys.path[:] = [place for place in sys.path if Path(place) != Path(__file__).parent and place]
    for name in ("PYTHONPATH", "PYTHONHASHSEED"):
        os.environ.pop(name, None)
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # of an extra
            importlib.import_module(name)
    with contextlib.suppress(KeyError, AttributeError):  # which package has which module: a second
        sys.modules["mlflow.utils.requirements_utils"]._init_packages_to_modules_map()
    gc.collect()
    gc.freeze()
    main_of = serve(folder, owner)
    if main_of:
        _end(_run(main_of))


def _run(main_of: Callable[[], object]) -> int:
    """What the interpreter does with it; the exit status."""
    try:
        main_of()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def _end(status: int) -> None:
    """As the interpreter ends, without taking a thousand modules apart, which takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status & 0xFF)


def serve(folder: Path, owner: int) -> Callable[[], object] | None:
    """In a fork, what it shall run; in the server itself None, at the end."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "socket"))
    listening.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    waiting = selectors.DefaultSelector()
    waiting.register(listening, selectors.EVENT_READ, None)
    ended = os.pidfd_open(owner)
    waiting.register(ended, selectors.EVENT_READ, "owner")
    forks: dict[socket.socket, int] = {}
    while True:
        for key, _ in waiting.select():
            if key.data == "owner":
                for pid in forks.values():
                    os.kill(pid, signal.SIGKILL)
                shutil.rmtree(folder, ignore_errors=True)
                Path(f"{folder}.lock").unlink(missing_ok=True)
                return None
            if key.fileobj is listening:
                asker, _ = listening.accept()
                request = _read(asker)
                if request is None:  # it starts the real interpreter
                    asker.close()
                    continue
                pid = os.fork()
                if not pid:
                    listening.close()
                    waiting.close()
                    os.close(ended)
                    for other in (asker, *forks):
                        other.close()
                    return _become(*request)
                for descriptor in request[1]:
                    os.close(descriptor)
                asker.sendall(f"{pid}\n".encode())
                forks[asker] = pid
                waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, asker)
                waiting.register(asker, selectors.EVENT_READ, "asker")
            elif key.data == "asker":  # it says nothing more, so it was killed
                waiting.unregister(key.fileobj)
                if key.fileobj in forks:
                    os.kill(forks[key.fileobj], signal.SIGKILL)
            else:
                asker = key.data
                _, status = os.waitpid(forks.pop(asker), 0)
                waiting.unregister(key.fileobj)
                os.close(key.fd)
                with contextlib.suppress(KeyError):
                    waiting.unregister(asker)
                with contextlib.suppress(OSError):
                    asker.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                asker.close()


def _read(asker: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    asker.sendall(json.dumps({n: os.environ.get(n) for n in READ_AT_START}).encode() + b"\n")
    _, descriptors, _, _ = socket.recv_fds(asker, 1, 3)
    if not descriptors:
        return None
    with asker.makefile("rb") as lines:
        return json.loads(lines.readline()), descriptors


def _become(wanted: dict[str, Any], descriptors: list[int]) -> Callable[[], object]:
    """Make this fork what the asker would have been; what it shall run: -m MODULE or -P SCRIPT."""
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.stdin = sys.__stdin__ = io.open(0, closefd=False)  # noqa: SIM115, UP020
    sys.stdout = sys.__stdout__ = io.open(1, "w", closefd=False)  # noqa: SIM115, UP020
    sys.stderr = sys.__stderr__ = io.open(  # noqa: SIM115, UP020
        2, "w", closefd=False, errors="backslashreplace", buffering=1
    )
    sys.executable = wanted["python"]  # what this one starts is a fork too
    kind, name, *arguments = wanted["arguments"]
    sys.orig_argv = [sys.executable, kind, name, *arguments]
    numpy = sys.modules["numpy"]
    numpy.random.seed()  # as each process has its own; random does so by itself
    random.seed()
    if kind == "-P":
        sys.argv = [name, *arguments]
        return lambda: runpy.run_path(name, run_name="__main__")
    sys.argv = ["-m", *arguments]
    sys.path.insert(0, wanted["cwd"])
    return lambda: runpy._run_module_as_main(name)  # type: ignore[attr-defined]
