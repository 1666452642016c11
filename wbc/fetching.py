"""Downloads that resume, are checked, and give up soon where there is no network.

A download goes to `NAME.part` beside its target, with what the server said about the file in
`NAME.part.json`; a later call goes on from there if the server still has the same file (HTTP
If-Range, RFC 9110 section 13.1.5) and starts afresh otherwise. The target appears only when
complete and checked.
"""

import hashlib
import json
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from filelock import FileLock
from tqdm import tqdm

from wbc.errors import UserError, one_line

CONNECT_DEADLINE = 8.0  # seconds for name look-up and connection together
READ_TIMEOUT = 30.0  # seconds without a byte until a connection counts as stalled
ATTEMPTS = 4
_CHUNK = 1 << 20
PAUSES = (1.0, 2.0, 4.0)  # seconds before the second, third and fourth attempt
_BROKEN_OFF = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

log = logging.getLogger(__name__)


class Unavailable(UserError):  # noqa: N818
    """The file cannot be had from its server now; nothing is said about what the file is."""


class NoNetwork(Unavailable):
    """The server cannot be reached at all from this machine."""


class _TryAgain(Exception):  # noqa: N818
    """The attempt failed in a way that another may not."""


def downloads_dir(root: Path) -> Path:
    """Where downloads wait: outside the outputs of a stage, which DVC empties at every start.

    An experiment under `dvc exp run --temp` runs in a folder that is deleted afterwards; DVC_ROOT
    names the repository that stays.
    """
    return Path(os.environ.get("DVC_ROOT") or root) / "scratch" / "downloads"


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    sha256_prefix: str | None = None,
    size: int | None = None,
    connect_timeout: float = 5,
) -> Path:
    """Download `url` to `target`, unless the complete file lies there already.

    Args:
        sha256: expected hash, hexadecimal; sha256_prefix: its first digits, as torchvision names
            its files; size: expected length in bytes.
        connect_timeout: seconds for one connection.

    Raises:
        NoNetwork: the server cannot be reached (known within CONNECT_DEADLINE).
        Unavailable: it refuses, cannot be trusted (TLS), or breaks off again and again.
        UserError: it sends another file than expected, which is removed, or the disk is full.
    """
    prefix = (sha256 or sha256_prefix or "").lower()
    _check_scheme(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.is_file() and _mismatch(target, prefix, size) is None:
            return target
        check_network(url, connect_timeout)
        part = target.with_name(f"{target.name}.part")
        _download_part(url, part, connect_timeout, size)
        _state_path(part).unlink(missing_ok=True)
        if problem := _mismatch(part, prefix, size):
            part.unlink()
            raise UserError(
                f"{url} sent another file than expected ({problem}), which was removed; try"
                " again, or fetch the file elsewhere."
            )
        part.replace(target)
    return target


def check_network(url: str, connect_timeout: float = 5) -> None:
    """Raise NoNetwork within CONNECT_DEADLINE seconds where the server of `url` is out of reach.

    Looks up the name and connects (to the proxy where one is set), with TLS for https, in a thread:
    neither a slow name server nor a network that swallows packets can make it longer. Certificates
    are left to the request that follows.
    """
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    goal = urlsplit(proxy if proxy and "://" in proxy else f"http://{proxy}" if proxy else url)
    host, port = goal.hostname or "", goal.port or (443 if goal.scheme == "https" else 80)
    outcome: list[str] = []

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout=connect_timeout) as tcp:
                if goal.scheme == "https":
                    ssl._create_unverified_context().wrap_socket(tcp, server_hostname=host).close()
            outcome.append("")
        except (OSError, ValueError) as error:  # ValueError: no name of a host
            outcome.append(one_line(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_DEADLINE)
    reason = outcome[0] if outcome else f"no answer within {CONNECT_DEADLINE:.0f} seconds"
    if reason:
        raise NoNetwork(f"{host} cannot be reached ({reason}); is this machine online?")


def is_refused_tls(error: BaseException) -> bool:
    """Whether the connection was never trusted, in contrast to one that broke off later."""
    return isinstance(error, requests.exceptions.SSLError) and error.request is not None


def _download_part(url: str, part: Path, connect_timeout: float, size: int | None) -> None:
    """Fill `part` to the end, in a few attempts that each go on where the last one ended."""
    for attempt in range(ATTEMPTS):
        try:
            _attempt(url, part, connect_timeout, size)
            return
        except requests.exceptions.ProxyError as error:
            raise NoNetwork(f"{url} cannot be reached: {one_line(error)}.") from None
        except (_TryAgain, *_BROKEN_OFF) as error:
            problem = one_line(error)
            if is_refused_tls(error):
                raise Unavailable(f"{url} cannot be trusted: {problem}.") from None
        except requests.RequestException as error:  # such as a redirect to no http address
            raise Unavailable(f"{url} cannot be downloaded: {one_line(error)}.") from None
        except OSError as error:
            raise UserError(f"{part} cannot be written: {one_line(error)}.") from None
        if attempt < ATTEMPTS - 1:
            log.warning("download of %s broke off (%s); trying again", part.stem, problem)
            time.sleep(PAUSES[attempt])
    failed = f"{url} could not be downloaded in {ATTEMPTS} attempts ({problem})"
    raise Unavailable(f"{failed}; run the same command again to go on.")


def _attempt(url: str, part: Path, connect_timeout: float, size: int | None) -> None:
    state = _read_state(part, url)
    offset = part.stat().st_size if state and part.is_file() else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "wbc"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": state["validator"]}
    patience = (connect_timeout, READ_TIMEOUT)
    with requests.get(url, headers=headers, stream=True, timeout=patience) as response:
        for hop in (*response.history, response):
            _check_scheme(hop.url, start=url)
        if response.status_code == 416:  # what lies there is not a beginning of the file
            part.unlink(missing_ok=True)
            raise _TryAgain("the server's file is another one")
        if response.status_code == 429 or response.status_code >= 500:
            raise _TryAgain(f"the server answers {response.status_code}")
        if not response.ok:
            status = f"{response.status_code} {response.reason}"
            raise Unavailable(f"{url} cannot be downloaded: the server answers {status}.")
        _receive(response, url, part, offset, size)


def _receive(
    response: requests.Response, url: str, part: Path, offset: int, size: int | None
) -> None:
    """Append (206) or write (200) the body to `part`; the whole length must come.

    What is longer than `size` is left there as far as it came: its length gives it away.
    """
    resumed = response.status_code == 206
    content_range = response.headers.get("Content-Range", "")
    if resumed and not content_range.startswith(f"bytes {offset}-"):
        part.unlink(missing_ok=True)
        raise _TryAgain(f"the server sent another range ({content_range})")
    offset = offset if resumed else 0
    length = _length(response.headers)
    total = None if length is None else offset + length
    if not resumed:
        part.unlink(missing_ok=True)
        _write_state(part, url, response.headers)
    bar = tqdm(total=total, initial=offset, unit="B", unit_scale=True, desc=part.stem, disable=None)
    with part.open("ab") as file, bar:
        for chunk in response.iter_content(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
            if size is not None and file.tell() > size:
                return
    received = part.stat().st_size
    if total is not None and received < total:
        raise _TryAgain(f"only {received} of {total} bytes came")
    if total is not None and received > total:
        part.unlink()
        raise _TryAgain(f"{received} bytes came instead of {total}")


def _length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body; None where the server does not say or compresses on the way."""
    value = headers.get("Content-Length", "")
    return int(value) if value.isdigit() and "Content-Encoding" not in headers else None


def _state_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_state(part: Path, url: str) -> dict[str, str]:
    """What the server said when `part` was begun; empty where it cannot be gone on with."""
    try:
        state: Any = json.loads(_state_path(part).read_text(encoding="utf-8"))
        usable = state["url"] == url and bool(state["validator"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return dict(state) if usable else {}


def _write_state(part: Path, url: str, headers: Mapping[str, str]) -> None:
    etag = headers.get("ETag", "")  # a weak one (W/...) does not promise equal bytes
    validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    if "Content-Encoding" in headers:
        validator = ""
    _state_path(part).write_text(json.dumps({"url": url, "validator": validator}), "utf-8")


def _mismatch(path: Path, sha256_prefix: str, size: int | None) -> str | None:
    """How the file differs from what is expected; None where it does not."""
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        return f"{found_size} bytes instead of {size}"
    if sha256_prefix:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(sha256_prefix):
            return f"SHA-256 {found[: len(sha256_prefix)]} instead of {sha256_prefix}"
    return None


def _check_scheme(url: str, start: str = "") -> None:
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise UserError(f"{url} was expected to be an http or https address.")
    if start.startswith("https:") and scheme == "http":
        raise Unavailable(f"{start} leads to {url}, which is not encrypted; give another address.")
