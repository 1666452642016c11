"""One Kaggle data set through kagglehub, with bounds on how long it may wait.

kagglehub keeps what it has downloaded in its own cache (KAGGLEHUB_CACHE, else ~/.cache/kagglehub),
goes on with a broken-off download there, and uses credentials where there are any (KAGGLE_API_TOKEN
or ~/.kaggle); public sets need none. What it lacks is added here: it knows no time-out for the
first request, and it asks Kaggle for the newest version even when the set lies in its cache.
"""

import logging
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from wbc import fetching
from wbc.errors import UserError
from wbc.fetching import ATTEMPTS, NoNetwork, check_network

_CONNECT_TIMEOUT = 5.0  # seconds
_DAMAGED = (zipfile.BadZipFile, ValueError, EOFError)  # ValueError: kagglehub knows no such archive

log = logging.getLogger(__name__)


def dataset(handle: str) -> Path:
    """The folder with the newest version of `owner/name`, downloaded where it is not cached.

    Without network a complete version in kagglehub's cache is used, and the log says so.

    Raises:
        NoNetwork: Kaggle cannot be reached and nothing is cached.
        UserError: Kaggle refuses, or the download broke off again and again.
    """
    from kagglesdk.kaggle_env import get_endpoint, get_env  # type: ignore[import-untyped]

    _check_credentials()
    try:
        check_network(get_endpoint(get_env()))
        return _download(handle)
    except NoNetwork as error:
        if cached := _newest_cached(handle):
            log.warning("%s The version of %s in kagglehub's cache is used.", error, handle)
            return cached
        raise


def _check_credentials() -> None:
    from kagglehub.config import get_kaggle_credentials

    try:
        get_kaggle_credentials()
    except ValueError as error:
        raise UserError(f"{_one_line(error)}; mend or remove it, none is needed.") from None


def _download(handle: str) -> Path:
    """kagglehub's download, tried again where the connection breaks: it resumes by itself."""
    import kagglehub
    from kagglehub.exceptions import DataCorruptionError

    for attempt in range(ATTEMPTS):
        try:
            with _bounded_waits():
                return Path(kagglehub.dataset_download(handle))
        except requests.exceptions.ProxyError as error:
            raise NoNetwork(f"Kaggle cannot be reached: {_one_line(error)}.") from None
        except requests.HTTPError as error:
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise UserError(f"Kaggle refuses {handle}: {_one_line(error)}") from None
            problem = _one_line(error)
        except (requests.RequestException, DataCorruptionError) as error:
            problem = _one_line(error)
        except _DAMAGED as error:
            problem = _one_line(error)
            _forget_archives(handle)
        except OSError as error:
            raise UserError(f"{handle} cannot be stored: {_one_line(error)}.") from None
        log.warning("download of %s broke off (%s)", handle, problem)
        if attempt < ATTEMPTS - 1:
            time.sleep(fetching.PAUSES[attempt])
    raise UserError(
        f"{handle} could not be downloaded in {ATTEMPTS} attempts ({problem}); run the same command"
        " again to go on."
    )


@contextmanager
def _bounded_waits() -> Iterator[None]:
    """Give requests without a time-out one: a stalled server would hold the pipeline for ever."""
    send = requests.Session.send

    def bounded(session: requests.Session, request: Any, **options: Any) -> requests.Response:
        if options.get("timeout") is None:
            options["timeout"] = (_CONNECT_TIMEOUT, fetching.READ_TIMEOUT)
        return send(session, request, **options)

    requests.Session.send = bounded  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        requests.Session.send = send  # type: ignore[method-assign]


def _cache_folder(handle: str) -> Path:
    from kagglehub.config import get_cache_folder

    return Path(get_cache_folder()) / "datasets" / handle


def _newest_cached(handle: str) -> Path | None:
    """The complete version with the highest number in kagglehub's cache."""
    numbers = [
        int(marker.stem)
        for marker in _cache_folder(handle).glob("*.complete")
        if marker.stem.isdigit()
    ]
    folder = _cache_folder(handle) / "versions" / str(max(numbers, default=0))
    return folder if folder.is_dir() else None


def _forget_archives(handle: str) -> None:
    """Remove a damaged archive, or kagglehub would take it for complete the next time."""
    for archive in _cache_folder(handle).glob("*.archive"):
        archive.unlink(missing_ok=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
