"""wbc.sweep: the grid, its names, the ranking; tests/pipeline/test_sweep.py runs it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wbc import sweep, sweep_table
from wbc.errors import UserError
from wbc.lineage import experiments
from wbc.lineage.experiments import Queue
from wbc.sweep_table import Row

ROOT = Path(__file__).parent.parent.parent


def row(experiment: str, score: float, start: str = "imagenet", version: str = "3") -> Row:
    settings = {"learning_rate": experiment}
    return Row(experiment, settings, "googlenet", start, score, score - 0.1, score + 0.1, version)


def test_a_grid_is_every_combination_in_order() -> None:
    points = sweep.parse("train.learning_rate=0.0005,0.001 train.unfreeze=upper,all")
    assert [point.name for point in points] == [
        "learning_rate=0.0005,unfreeze=upper",
        "learning_rate=0.0005,unfreeze=all",
        "learning_rate=0.001,unfreeze=upper",
        "learning_rate=0.001,unfreeze=all",
    ]
    assert points[1].settings == {"train.learning_rate": "0.0005", "train.unfreeze": "all"}


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("", "grid is empty"),
        ("train.epochs", "holds 'train.epochs'"),
        ("train.epochs=5,", "holds 'train.epochs=5,'"),
        ("seed=1 seed=2", "holds 'seed=2'"),
        (
            " ".join(f"a{i}={','.join('0123456789')}" for i in range(12)),
            "it has 1,000,000,000,000;",
        ),
        ("train.epochs=5 seed=1,1", "epochs=5,seed=1 is in it 2 times"),
        ("train.weight_decay=0.1,.10", "weight_decay=0.1 is in it 2 times"),
        ("train.epoch=5", "train.epoch .* is not a setting"),
        ("train.epochs=5,0", "train.epochs is 0"),
        ("train.epochs=5 train.head_epochs=1,7", "head_epochs=7"),
    ],
)
def test_an_impossible_grid_is_named_before_any_work(grid: str, words: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    with pytest.raises(UserError, match=words):
        sweep.run(tmp_path, grid, jobs=2)


METRICS = "reports/googlenet/metrics.json"
LOCK = f"""schema: '2.0'
stages:
  evaluate:
    cmd: x
    outs:
    - path: {METRICS}
      hash: md5
      md5: {"a" * 32}
      size: 12
"""


def test_results_that_the_cache_has_lost_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `dvc gc` leaves finished experiments: their commits are there, their data are not."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    (tmp_path / "dvc.yaml").write_text(f"stages: {{evaluate: {{cmd: x, outs: [{METRICS}]}}}}")
    (tmp_path / "dvc.lock").write_text(LOCK)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "x"), ("tag", "seed=1")):
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(experiments, "finished", lambda _: {"seed=1"})
    monkeypatch.setattr(sweep.tracking_sweep, "connect", lambda _: None)
    with pytest.raises(UserError, match=r"has lost the results of 1 .*: dvc exp remove seed=1,"):
        sweep.run(tmp_path, "seed=1", jobs=1)


def test_what_a_killed_sweep_left_running_is_waited_for_and_not_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[str] = []
    looks = iter([Queue({"seed=1": "Running"}, 1)])
    after = Queue({"seed=1": "Success", "seed=2": "Success"}, 0)
    monkeypatch.setattr(experiments, "forget", lambda *_: None)
    monkeypatch.setattr(experiments, "queue", lambda _: next(looks, after))
    monkeypatch.setattr(experiments, "enqueue", lambda _, name, settings: queued.append(name))
    monkeypatch.setattr(experiments, "start_workers", lambda *_: None)
    assert sweep._run(tmp_path, sweep.parse("seed=1,2"), jobs=2) == []
    assert queued == ["seed=2"]


def test_ranking_is_by_validation_and_among_equal_starts() -> None:
    rows = [row("a", 0.7), row("b", 0.95, start="random"), row("c", 0.9), row("d", 0.6, "random")]
    assert [r.experiment for r in sweep_table.rank(rows)] == ["b", "d", "c", "a"]
    report = sweep_table.report(rows)
    assert "another start are not ranked together" in report
    assert "start" in sweep_table.table(rows) and "architecture" not in sweep_table.table(rows)


def test_a_lead_within_the_interval_is_called_so() -> None:
    assert "holds the scores of 1 of the 2 below it" in sweep_table.report(
        [row("a", 0.9), row("b", 0.85), row("c", 0.5)]
    )
    assert "luck" not in sweep_table.report([row("a", 0.9), row("b", 0.5)])


def test_equal_scores_are_no_lead() -> None:
    tied = sweep_table.report([row("a", 1.0), row("b", 1.0)])
    assert "2 share the highest score" in tied and "lead" not in tied
    both = sweep_table.report([row("a", 1.0), row("b", 1.0), row("c", 0.95)])
    assert "scores of 1 of the 1 below it" in both


def test_the_next_commands_are_for_the_winner() -> None:
    assert sweep_table.report([row("a", 0.8), row("b", 0.9, version="7")]).endswith(
        "Next, for b:\n  dvc exp apply b\n  python -m wbc promote --version 7"
    )
    assert "--alias challenger" in sweep_table.report([row("a", 0.8, version="")])


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("x\nerror: It is full.\nERROR: failed to run: python", "It is full."),
        ("Traceback\nValueError: 3 cells\nERROR: failed to run", "ValueError: 3 cells."),
        ("Running\nERROR: failed to reproduce 'train'", "failed to reproduce 'train'."),
        ("", "it was stopped, or printed nothing."),
    ],
)
def test_the_reason_of_a_failure_is_the_stages_own(printed: str, reason: str) -> None:
    assert sweep.reason(printed) == reason
