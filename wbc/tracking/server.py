"""`make ui`: MLflow's own server over the repository's database."""

import logging
import os
import socket
import sys
from pathlib import Path

from wbc.errors import UserError, without_password
from wbc.tracking import store as tracking_store
from wbc.tracking import views as tracking_views
from wbc.tracking.store import Store

_log = logging.getLogger(__name__)


def ui(port: int) -> None:
    """Become the MLflow server on 127.0.0.1; does not return.

    Raises:
        UserError: the port is taken, or MLFLOW_TRACKING_URI names a server that has its own UI.
    """
    repository = tracking_store.root()
    command = command_line(repository, port)
    warn_of_stray(repository)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OverflowError:
            raise UserError(f"A port from 1 to 65535 was expected, not {port}.") from None
        except OSError:
            raise UserError(
                f"Port {port} on 127.0.0.1 is taken, perhaps by another MLflow: open"
                f" http://127.0.0.1:{port}, or choose another port with"
                f" `python -m wbc ui --port {port + 1}`."
            ) from None
    page = _page(tracking_store.connect(repository))
    _log.info("MLflow starts, 10 to 20 s; then open http://127.0.0.1:%d%s", port, page)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # 10 of 15 processes, none needed
    os.execv(command[0], command)


def _page(store: Store) -> str:
    """The run list as this repository wants it seen; its views are brought up to date."""
    runs = store.client.search_runs([store.experiment_id], max_results=200)
    tags = tracking_views.view_tags([run.data.metrics for run in runs])
    known = store.client.get_experiment(store.experiment_id).tags
    for key, value in tags.items():
        if known.get(key) != value:
            store.client.set_experiment_tag(store.experiment_id, key, value)
    return f"/#/experiments/{store.experiment_id}/runs?{tracking_views.QUERY}"


def warn_of_stray(repository: Path) -> None:
    """`mlflow ui` without arguments makes an empty mlflow.db where it is started, silently."""
    stray = repository / "mlflow.db"
    if stray.is_file():
        _log.warning(
            "The runs are in mlruns/mlflow.db, which is shown now; %s is not read and was perhaps"
            " made by `mlflow ui` without arguments, so remove it if you have put nothing there.",
            stray,
        )


def command_line(repository: Path, port: int) -> list[str]:
    """The server's command: one worker, the database of `repository`, loopback only."""
    address = tracking_store.uri(repository)
    if address.startswith(("http://", "https://")):
        raise UserError(
            f"MLFLOW_TRACKING_URI is {without_password(address)}, a server with its own UI: open it"
            " in a browser, or unset the variable to see this repository's mlruns/."
        )
    artifacts = tracking_store.artifact_root(address)
    return [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", address),
        *(("--default-artifact-root", artifacts) if artifacts else ()),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]
