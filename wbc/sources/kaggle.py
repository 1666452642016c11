"""One Kaggle data set through kagglehub, with bounds on how long it may wait.

kagglehub keeps what it has downloaded in its own cache (KAGGLEHUB_CACHE, else ~/.cache/kagglehub),
goes on with a broken-off download there, and uses credentials where there are any (KAGGLE_API_TOKEN
or ~/.kaggle); public sets need none. What it lacks is added here: it knows no time-out for the
first request, it asks Kaggle for the newest version even when the set lies in its cache, and two
processes that download the same set at once would write into one archive.
"""

import logging
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock

from wbc import fetching
from wbc.errors import UserError, one_line
from wbc.fetching import ATTEMPTS, NoNetwork, Unavailable, check_network, is_refused_tls

_CONNECT_TIMEOUT = 5.0  # seconds
_DAMAGED = (zipfile.BadZipFile, ValueError, EOFError)  # ValueError: kagglehub knows no such archive

log = logging.getLogger(__name__)


def dataset(handle: str) -> Path:
    """The folder with the newest version of `owner/name`, downloaded where it is not cached.

    Where it cannot be had a complete version in kagglehub's cache is used, and the log says so.
    Several processes may ask at once: one downloads, the others wait for it.

    Raises:
        NoNetwork: Kaggle cannot be reached and nothing is cached.
        Unavailable: it refuses or broke off again and again, and nothing is cached.
        UserError: credentials cannot be read, or what came is damaged or cannot be stored.
    """
    from kagglesdk.kaggle_env import get_endpoint, get_env  # type: ignore[import-untyped]

    _check_credentials()
    try:
        check_network(get_endpoint(get_env()))
        with _alone(handle):
            return _download(handle)
    except Unavailable as error:
        if cached := _newest_cached(handle):
            log.warning("%s The version of %s in kagglehub's cache is used.", error, handle)
            return cached
        raise


def _check_credentials() -> None:
    from kagglehub.config import get_kaggle_credentials

    try:
        get_kaggle_credentials()
    except ValueError as error:
        raise UserError(f"{one_line(error)}; mend or remove it, none is needed.") from None


def _download(handle: str) -> Path:
    """kagglehub's download, tried again where the connection breaks: it resumes by itself."""
    import kagglehub
    from kagglehub.exceptions import DataCorruptionError

    kind: type[UserError]
    for attempt in range(ATTEMPTS):
        try:
            with _bounded_waits():
                return Path(kagglehub.dataset_download(handle))
        except requests.exceptions.ProxyError as error:
            raise NoNetwork(f"Kaggle cannot be reached: {one_line(error)}.") from None
        except requests.HTTPError as error:
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise Unavailable(f"Kaggle refuses {handle}: {one_line(error)}") from None
            kind, problem = Unavailable, one_line(error)
        except requests.RequestException as error:
            kind, problem = Unavailable, one_line(error)
            if is_refused_tls(error):
                raise Unavailable(f"Kaggle cannot be trusted: {problem}.") from None
        except (DataCorruptionError, *_DAMAGED) as error:
            kind, problem = UserError, one_line(error)
            _forget_archives(handle)
        except OSError as error:
            raise UserError(f"{handle} cannot be stored: {one_line(error)}.") from None
        log.warning("download of %s broke off (%s)", handle, problem)
        if attempt < ATTEMPTS - 1:
            time.sleep(fetching.PAUSES[attempt])
    raise kind(
        f"{handle} could not be downloaded in {ATTEMPTS} attempts ({problem}); run the same command"
        " again to go on."
    )


@contextmanager
def _alone(handle: str) -> Iterator[None]:
    """While this lasts no other process that asks for `handle` writes into the same cache."""
    folder = _cache_folder(handle)
    with ExitStack() as stack:
        with suppress(OSError):  # nobody can write: what is not cached is refused by the download
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder.with_name(f".{folder.name}.lock")))
        yield


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
