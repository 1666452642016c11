"""Whether MLFLOW_TRACKING_URI names a server that can be used, known before anything is written.

One small request says it, in a time that is bounded in all: MLflow's own timeout begins anew with
every byte and leaves out the search for the host's name.
"""

import os
import re
import socket
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from wbc.errors import UserError, one_line, without_password

NEEDED: Final = 3  # MLflow's version on the server; older ones have no logged models
_MEANING: Final = "%?"  # to SQLAlchemy: another file would be made, or none
_DATABASES: Final = ("sqlite", "postgresql", "mysql", "mssql")
_REMEDY: Final = "check MLFLOW_TRACKING_URI, or start the server"


def is_server(address: str) -> bool:
    """Whether MLflow is asked over HTTP, where no lock of this machine counts."""
    return address.startswith(("http://", "https://"))


def check(address: str) -> None:
    """Ask a server for its version; a database's address is only looked at.

    Takes at most MLFLOW_HTTP_REQUEST_TIMEOUT seconds.

    Raises:
        UserError: nobody answers, no MLflow does, or one that refuses us or is too old.
    """
    if not is_server(address):
        _check_database(address)
        return
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT

    seconds = float(MLFLOW_HTTP_REQUEST_TIMEOUT.get())
    name = f"The MLflow server {without_password(address)}"
    try:
        response = _within(seconds, lambda: _ask_version(address))
    except Exception as error:
        raise UserError(f"{name} {_why(error, seconds)}; {_REMEDY}.") from None
    complaint = _complaint(response.status_code, response.reason, response.text)
    if complaint:
        raise UserError(f"{name} {complaint}.")


def _check_database(address: str) -> None:
    scheme = urlsplit(address).scheme.partition("+")[0]
    if scheme not in _DATABASES:
        raise UserError(
            f"MLFLOW_TRACKING_URI is {without_password(address)}, but should begin with https://,"
            " http:// or sqlite:///; mend it, or unset it: without it, mlruns/mlflow.db is used."
        )
    check_path(address)


def check_path(address: str) -> None:
    """Raises UserError where a SQLite file would be made under another name than its path's."""
    if address.startswith("sqlite") and set(address) & set(_MEANING):
        raise UserError(
            f"{address.partition(':///')[2]} was expected to be a path without % and ?, which mean"
            " something else in a database's address; rename the folder, or set"
            " MLFLOW_TRACKING_URI to sqlite:/// and a file elsewhere."
        )


def _ask_version(address: str) -> Any:
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    credentials = get_default_host_creds(address)
    return http_request(
        credentials, "/version", "GET", max_retries=0, retry_codes=(), raise_on_status=False
    )


def _within(seconds: float, question: Callable[[], Any]) -> Any:
    """The answer to `question`, or TimeoutError; whoever is still asking then is left alone."""
    answers: list[Any] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(question())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]


def _why(error: BaseException, seconds: float) -> str:
    """The cause that MLflow, requests and urllib3 have wrapped, in plain words."""
    import requests

    causes = _chain(error)
    text = one_line(error, 1000)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            "has a certificate that this machine does not trust: name your own CA's in"
            " MLFLOW_TRACKING_SERVER_CERT_PATH"
        )
    if any(isinstance(cause, requests.exceptions.SSLError) for cause in causes):
        return "does not speak TLS with this machine, which https:// asks for"
    if "Failed to resolve" in text or any(isinstance(each, socket.gaierror) for each in causes):
        return "has a name that cannot be resolved"
    if any(isinstance(cause, TimeoutError | requests.exceptions.Timeout) for cause in causes):
        return f"did not answer within {seconds:g} s"
    if "Connection refused" in text:
        return "does not answer: connection refused"
    return f"cannot be used: {text[:200]}"


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and what it was raised from or wraps, outermost first."""
    found: list[BaseException] = []
    left: list[Any] = [error]
    while left:
        one = left.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            left += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _complaint(status: int, reason: str, text: str) -> str:
    """What is wrong with the answer to GET /version; "" where nothing is."""
    version = re.fullmatch(r"(\d+)\.\d+\.\w+", text.strip())
    if status == 401:
        who = os.environ.get("MLFLOW_TRACKING_USERNAME")
        found = f"refuses {who} with this password" if who else "wants to know who you are"
        return f"{found}: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if status == 403:
        return f"refuses this client ({' '.join(text.split())[:120]}): ask its administrator"
    if status >= 500 or status == 429:
        return f"answers {status} {reason}: wait for it, or look into its log"
    if status != 200 or not version:
        return f"is no MLflow {NEEDED} (it answers {status} to /version): check MLFLOW_TRACKING_URI"
    if int(version[1]) < NEEDED:
        return f"is MLflow {version[0]}, but {NEEDED} or newer is needed: upgrade it"
    return ""
