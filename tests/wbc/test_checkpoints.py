"""Checkpoints: within an epoch too, and what goes on from them ends in the same bytes."""

import hashlib
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.wbc.stores import make_store
from tests.wbc.test_training import settings
from wbc import checkpoints, device, params, training
from wbc.backbones import Network
from wbc.checkpoints import WholeFiles
from wbc.errors import UserError
from wbc.plan import make_plan
from wbc.processes import signals_raise, waiting
from wbc.team import ALONE

STEPS = 5  # in an epoch


def fit(folder: Path, chosen: params.Params) -> str:
    """Train in `folder`, going on with what lies there; the hash of weights and history."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    store = make_store(folder / "pixels")
    plan = make_plan(chosen.train, chosen.seed, True, store.part("train").labels)
    assert plan.steps_per_epoch == STEPS
    training.seed_everything(chosen.seed)
    network = Network("squeezenet1_1", 0.2, frozen_batch_norm=True)
    cpu = device.pick("cpu", "auto", 1)
    with signals_raise():
        outcome = training.fit(network, store, plan, cpu, scratch, lambda *_: None)
    state = outcome.network.net.state_dict().values()
    digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state))
    digest.update(repr(outcome.history).encode())
    return digest.hexdigest()


def at_call(patch: pytest.MonkeyPatch, method: str, number: int, act: Callable[[], None]) -> None:
    """Have something happen in the middle of a method's n-th call, from 1."""
    real = getattr(training.TrainingModule, method)
    calls = []

    def called(*arguments: object) -> object:
        calls.append(method)
        if len(calls) == number:
            act()
        return real(*arguments)

    patch.setattr(training.TrainingModule, method, called)


def send(*numbers: int) -> Callable[[], None]:
    return lambda: [os.kill(os.getpid(), number) for number in numbers] and None


CHOSEN = settings(epochs=4, head_epochs=2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fit(tmp_path_factory.mktemp("undisturbed"), CHOSEN)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (1, "epoch 0 and 1 steps"),
        (2 * STEPS - 1, "epoch 1 and 4 steps"),  # of the head phase
        (2 * STEPS, "epoch 1"),  # after the last step comes validation, where nothing is saved
        (2 * STEPS + 1, "epoch 2 and 1 steps"),
        (3 * STEPS + 3, "epoch 3 and 3 steps"),
    ],
)
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_saves_the_epoch_under_way_first(
    tmp_path: Path,
    undisturbed: str,
    caplog: pytest.LogCaptureFixture,
    number: int,
    raised: type[BaseException],
    step: int,
    told: str,
) -> None:
    caplog.set_level("INFO")
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, "training_step", step, send(number))
        with pytest.raises(raised):
            fit(tmp_path, CHOSEN)
    assert fit(tmp_path, CHOSEN) == undisturbed
    assert f"continuing an interrupted training after {told}" in caplog.messages


@pytest.mark.parametrize("number", [0, signal.SIGTERM])
def test_no_save_within_an_epoch_puts_what_is_no_number_over_the_last_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def spoil(module: training.TrainingModule, _: object) -> None:
        if module.global_step >= STEPS + 1:
            for parameter in module.network.head_parameters():
                parameter.data.fill_(float("nan"))
            os.kill(os.getpid(), number)

    monkeypatch.setattr(training.TrainingModule, "on_before_zero_grad", spoil)
    monkeypatch.setattr(checkpoints.SaveLast.__init__, "__defaults__", (ALONE, 0.0))  # every step
    with pytest.raises((UserError, SystemExit)):
        fit(tmp_path, CHOSEN)
    kept = WholeFiles().load_checkpoint(tmp_path / "scratch" / "last.ckpt")
    assert len(kept["history"]) == 1
    assert all(bool(tensor.isfinite().all()) for tensor in kept["state_dict"].values())


@pytest.mark.parametrize(
    ("method", "call", "numbers", "told"),
    [
        ("validation_step", 2 * 3 - 1, [signal.SIGTERM], "epoch 1"),
        ("training_step", STEPS + 3, [signal.SIGINT, signal.SIGINT], "epoch 1"),
    ],
    ids=["in validation", "a second one"],
)
def test_where_nothing_can_be_saved_the_end_comes_at_once(
    tmp_path: Path,
    undisturbed: str,
    caplog: pytest.LogCaptureFixture,
    method: str,
    call: int,
    numbers: list[int],
    told: str,
) -> None:
    caplog.set_level("INFO")
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, method, call, send(*numbers))
        with pytest.raises((SystemExit, KeyboardInterrupt)):
            fit(tmp_path, CHOSEN)
    assert fit(tmp_path, CHOSEN) == undisturbed
    assert f"continuing an interrupted training after {told}" in caplog.messages


class Killed(BaseException):
    """As sudden as a SIGKILL."""


@pytest.mark.parametrize(
    ("ema_decay", "tick", "method", "call", "steps"),
    [
        (0.98, 601, "training_step", STEPS + 4, 3),
        (0.0, 601, "training_step", STEPS + 4, 3),
        (0.98, 100, "validation_step", 2 * 3 - 1, 4),  # once before validation, although not due
    ],
)
def test_a_long_epoch_is_saved_every_ten_minutes(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    ema_decay: float,
    tick: float,
    method: str,
    call: int,
    steps: int,
) -> None:
    """`tick`: seconds that seem to pass between two looks at the clock, about one a step."""

    def die() -> None:
        raise Killed

    caplog.set_level("INFO")
    chosen = settings(epochs=3, head_epochs=1, ema_decay=ema_decay)
    undisturbed = fit(tmp_path / "undisturbed", chosen)
    with pytest.MonkeyPatch.context() as patch:
        at_call(patch, method, call, die)
        clock = itertools.count(0, tick)
        patch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        with pytest.raises(Killed):
            fit(tmp_path / "killed", chosen)
    assert fit(tmp_path / "killed", chosen) == undisturbed
    told = f"continuing an interrupted training after epoch 1 and {steps} steps"
    assert told in caplog.messages


def test_no_signal_waits_where_nobody_looks_for_it(tmp_path: Path) -> None:
    fit(tmp_path, settings(epochs=1, head_epochs=0))
    assert not waiting.allowed and not waiting.number
    with pytest.raises(KeyboardInterrupt), signals_raise():
        os.kill(os.getpid(), signal.SIGINT)


def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path: Path) -> None:
    path, files = tmp_path / "last.ckpt", WholeFiles()
    weights = torch.arange(1000.0)
    files.save_checkpoint({"weights": weights}, path)
    assert torch.equal(files.load_checkpoint(path, weights_only=True)["weights"], weights)
    whole = path.read_bytes()
    middle = whole.index(weights.numpy().tobytes()) + 2000
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (whole[: len(whole) // 2], bytes(len(whole)), flipped):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"last\.ckpt, .* is damaged .*; remove it \(rm "):
            files.load_checkpoint(path, weights_only=True)


def test_no_training_goes_on_from_a_damaged_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    path = tmp_path / "scratch" / "last.ckpt"
    path.write_bytes(b"")
    with pytest.raises(UserError, match="the training begins anew"):
        fit(tmp_path, CHOSEN)
    assert path.is_file()  # whoever has a copy may put it back
