"""Preprocess on a real dask cluster of two worker processes, and every way in which it cannot."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from joblib import Parallel, delayed

from tests.wbc.test_preprocessing import raw, settings
from wbc import preprocessing, spreading
from wbc.errors import UserError
from wbc.preprocessing import fill_store

ROOT = Path(__file__).resolve().parents[2]
CHECK = """
from pathlib import Path
from wbc.spreading import workers
with workers("dask", 1):
    pass
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler on loopback; its two workers work in another folder."""
    distributed = pytest.importorskip("distributed")
    with (
        local_cluster(2) as cluster,
        distributed.Client(cluster.scheduler_address, set_as_default=False) as client,
    ):
        client.run(os.chdir, str(tmp_path_factory.mktemp("elsewhere")))
        yield cluster.scheduler_address


def local_cluster(num_workers: int) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=num_workers, threads_per_worker=1, processes=True, host="127.0.0.1",
        dashboard_address="127.0.0.1:0", worker_dashboard_address=None, silence_logs="CRITICAL",
    )  # fmt: skip


@pytest.fixture
def on_cluster(cluster: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """This process's dask configuration names the cluster."""
    import dask

    monkeypatch.setitem(dask.config.config, "scheduler-address", cluster)
    return cluster


def test_a_cluster_fills_the_store_with_the_bytes_of_one_machine(
    tmp_path: Path, on_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells, their index and the reasons of broken files; from relative folders."""
    monkeypatch.setattr(preprocessing, "CHUNK", 2)
    monkeypatch.setattr(spreading, "CELLS_A_WORKER", 6)
    monkeypatch.chdir(tmp_path)
    cells = raw(Path("raw"), num_good=9, broken=("bad.png", "worse.png"))
    Path("raw/3.png").unlink()
    for backend in ("loky", "dask"):
        fill_store(cells, Path("raw"), Path(backend), settings(backend=backend, crop="cell"))
    names = sorted(path.name for path in Path("loky").iterdir())
    assert "shard-00000.npy" in names
    assert names == sorted(path.name for path in Path("dask").iterdir())
    for name in names:
        assert Path("dask", name).read_bytes() == Path("loky", name).read_bytes(), name


def test_the_work_is_done_by_both_workers_and_not_here(on_cluster: str) -> None:
    with spreading.workers("dask", 4) as num_jobs:
        processes = Parallel(n_jobs=num_jobs)(delayed(os.getpid)() for _ in range(60))
    assert len(set(processes)) == 2
    assert os.getpid() not in processes


def test_the_environment_names_the_scheduler(cluster: str) -> None:
    environment = {**os.environ, "DASK_SCHEDULER_ADDRESS": cluster}
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_workers_with_other_software_are_refused_in_a_sentence(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The worker's own exception arrives, from either backend."""
    if backend == "dask":
        request.getfixturevalue("on_cluster")
    monkeypatch.setattr(preprocessing, "CHUNK", 2)
    monkeypatch.setattr(spreading, "CELLS_A_WORKER", 3)
    monkeypatch.setattr(preprocessing, "SOFTWARE", {**spreading.SOFTWARE, "numpy": "1.0"})
    cells = raw(tmp_path / "raw", num_good=9)
    with pytest.raises(UserError, match=r"worker on \S+ runs another version of numpy;"):
        fill_store(cells, tmp_path / "raw", tmp_path / "out", settings(backend=backend))


def test_a_folder_that_a_worker_does_not_see_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not see .*gone; .* file system that all machines"):
        spreading.check_worker(spreading.SOFTWARE, tmp_path, tmp_path / "gone")


def test_processes_that_die_end_the_run_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"killed from outside.*want of memory"):
        die("loky")


def test_cluster_workers_that_die_end_the_run_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """joblib's own backend would wait for ever."""
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        local_cluster(2) as cluster,
    ):
        monkeypatch.setitem(dask.config.config, "scheduler-address", cluster.scheduler_address)
        with pytest.raises(UserError, match=r"workers died.*want of memory"):
            die("dask")


def die(backend: Literal["loky", "dask"]) -> None:
    with spreading.workers(backend, 1):
        killed = (delayed(signal.raise_signal)(signal.SIGKILL) for _ in range(4))
        list(Parallel(n_jobs=2, return_as="generator")(killed))


def without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wbc.dask_backend", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)


def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("dask")
    monkeypatch.delitem(dask.config.config, "scheduler-address", raising=False)


def silent_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("dask")
    monkeypatch.setattr(pytest.importorskip("wbc.dask_backend"), "TIMEOUT", 0.5)
    monkeypatch.setitem(dask.config.config, "scheduler-address", "tcp://127.0.0.1:9")


@pytest.mark.parametrize(
    "prepare, sentence",
    [
        (without_dask, r"not installed; type: pip install -r requirements-dask\.txt, or set"),
        (no_scheduler, r"no scheduler is named; set DASK_SCHEDULER_ADDRESS"),
        (silent_scheduler, r"No dask scheduler answers at tcp://127\.0\.0\.1:9 .*start one"),
    ],
)
def test_without_a_cluster_it_says_what_to_do(
    prepare: Callable[[pytest.MonkeyPatch], None], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch)
    with pytest.raises(UserError, match=sentence), spreading.workers("dask", 1):
        raise AssertionError("work has begun")


def test_no_worker_is_refused_and_one_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("dask")
    monkeypatch.setattr(pytest.importorskip("wbc.dask_backend"), "TIMEOUT", 0.5)
    with local_cluster(0) as cluster:
        monkeypatch.setitem(dask.config.config, "scheduler-address", cluster.scheduler_address)
        with pytest.raises(
            UserError, match="has no workers; start some with `python -m dask worker tcp"
        ):
            spreading.workers("dask", 1).__enter__()
        cluster.scale(1)
        cluster.wait_for_workers(1)
        with spreading.workers("dask", 4) as num_jobs:
            processes = Parallel(n_jobs=num_jobs)(delayed(os.getpid)() for _ in range(4))
        assert os.getpid() not in processes


def test_workers_without_this_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    with local_cluster(1) as cluster:
        address = cluster.scheduler_address
        monkeypatch.setitem(dask.config.config, "scheduler-address", address)
        with distributed.Client(address, set_as_default=False) as client:
            client.run(exec, "import sys; sys.modules['wbc'] = None")
        with pytest.raises(UserError, match=r"cannot import .*wbc.*; start the workers with"):
            spreading.workers("dask", 1).__enter__()
