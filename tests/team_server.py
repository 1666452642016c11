"""A team's server on the loopback: MLflow over HTTP, with PostgreSQL and S3 where installed."""

import contextlib
import getpass
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

ADMIN, PASSWORD = "admin", "only-for-this-test"
BUCKET_KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(name) for name in modules)


def until(ready: Callable[[], bool], seconds: float, process: "subprocess.Popen[Any]") -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, f"{process.args} ended with status {process.returncode}"
        assert time.monotonic() < end, f"{process.args} is not ready after {seconds} s"
        time.sleep(0.2)


@contextlib.contextmanager
def running(command: list[str], log: Path, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A server in a process group of its own, which is killed whole."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def postgres_bin() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps it out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def postgres() -> Iterator[str | None]:
    """A PostgreSQL with an empty database `mlflow`; its address, or None where there is none."""
    programs = postgres_bin()
    if not programs or not installed("psycopg2"):
        yield None
        return
    owner = "postgres" if os.getuid() == 0 else getpass.getuser()  # initdb refuses root
    folder = Path(tempfile.mkdtemp(prefix="wbc-postgres-"))
    shutil.chown(folder, owner)
    options: dict[str, Any] = {"user": owner} if os.getuid() == 0 else {}
    data, port = folder / "data", free_port()
    initdb = [programs / "initdb", "-D", data, "-A", "trust", "-U", "mlflow", "--no-sync"]
    subprocess.run(initdb, check=True, cwd=folder, stdout=subprocess.DEVNULL, **options)
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    try:
        with running(
            command, folder.parent / f"{folder.name}.log", cwd=folder, **options
        ) as server:
            address = ["-h", "127.0.0.1", "-p", str(port), "-U", "mlflow"]
            ready = [str(programs / "pg_isready"), "-q", *address]
            until(lambda: subprocess.run(ready, check=False).returncode == 0, 30, server)
            subprocess.run([programs / "createdb", *address, "mlflow"], check=True)
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[str | None]:
    """An S3 server with the buckets `mlflow` and `dvc`; its address, or None without moto."""
    if not installed("moto", "boto3"):
        yield None
        return
    import boto3

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, folder / "s3.log") as server:
        until(lambda: _answers(url), 60, server)
        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test",
            region_name="us-east-1",
        )  # fmt: skip
        for bucket in ("mlflow", "dvc"):
            client.create_bucket(Bucket=bucket)
        yield url


@dataclass
class Server:
    """An `mlflow server` and what stands behind it."""

    url: str
    process: "subprocess.Popen[bytes]"
    database: str
    s3: str | None
    environment: dict[str, str] = field(default_factory=dict)  # what its users set

    def freeze(self) -> None:
        """Connections are taken, and nobody answers: the worst that a server can do."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """As docs/team.md sets it up, with what is installed of PostgreSQL, S3 and basic-auth."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        bucket = stack.enter_context(s3(folder))
        database = stack.enter_context(postgres()) or f"sqlite:///{folder}/team.db"
        destination = "s3://mlflow/artifacts" if bucket else str(folder / "artifacts")
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        if bucket:
            environment |= {"MLFLOW_S3_ENDPOINT_URL": bucket, **BUCKET_KEY}
        users = {"MLFLOW_TRACKING_URI": url}
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", "2", "--backend-store-uri", database]
        command += ["--artifacts-destination", destination]
        if installed("flask_wtf"):
            command += ["--app-name", "basic-auth"]
            environment |= _basic_auth(folder, database)
            users |= {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        log = folder / "mlflow.log"
        options = {"env": environment, "cwd": folder}
        process = stack.enter_context(running(command, log, **options))
        try:
            until(lambda: _answers(f"{url}/health"), 120, process)
        except AssertionError as error:
            raise AssertionError(log.read_text(errors="replace")) from error
        yield Server(url, process, database, bucket, users)


def _basic_auth(folder: Path, database: str) -> dict[str, str]:
    settings = folder / "basic_auth.ini"
    users = database if database.startswith("postgresql") else f"sqlite:///{folder}/users.db"
    settings.write_text(
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = {users}\n"
        f"admin_username = {ADMIN}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for this test",
    }


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code < 500
    except requests.RequestException:
        return False
