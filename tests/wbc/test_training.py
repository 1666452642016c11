"""Training: exact, in two phases, with frozen layers untouched, and in agreement with evaluate."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.wbc.stores import make_store
from wbc import device, model, params, training, training_module
from wbc.backbones import Network
from wbc.card import make_card, with_temperature
from wbc.checkpoints import BestWeights
from wbc.errors import UserError
from wbc.evaluation import evaluate
from wbc.plan import Plan, make_plan
from wbc.start import Start

ROOT = Path(__file__).parent.parent.parent
START = Start("squeezenet1_1", "random", "", "")


def settings(**changes: Any) -> params.Params:
    loaded = params.load(ROOT / "params.yaml")
    quick = {"epochs": 3, "head_epochs": 1, "batch_size": 8, "threads": 1, "device": "cpu"}
    return dataclasses.replace(loaded, train=dataclasses.replace(loaded.train, **quick | changes))


def fit(
    tmp_path: Path, chosen: params.Params, pretrained: bool, seen: list[int] | None = None
) -> tuple[training.Outcome, Plan, Network]:
    """Train SqueezeNet on blobs; also the network as it was before."""
    store = make_store(tmp_path / "pixels")
    plan = make_plan(chosen.train, chosen.seed, pretrained, store.part("train").labels)
    networks = []
    for _ in range(2):
        training.seed_everything(chosen.seed)
        networks.append(Network("squeezenet1_1", 0.2, frozen_batch_norm=pretrained))
    on_cpu = device.pick("cpu", "auto", 1)
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    collect = seen if seen is not None else []
    outcome = training.fit(
        networks[0], store, plan, on_cpu, scratch, lambda epoch, _: collect.append(epoch)
    )
    return outcome, plan, networks[1]


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    states = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        chosen = dataclasses.replace(settings(epochs=2), seed=seed)
        outcome, plan, _ = fit(tmp_path / name, chosen, pretrained=True)
        card = make_card("squeezenet1_1", chosen, make_store(tmp_path / "s"), START, plan, outcome)
        model.save(tmp_path / name / "model", outcome.network, card)
        states.append(model.model_sha256(tmp_path / name / "model"))
    assert states[0] == states[1] != states[2]


def test_head_first_then_the_upper_blocks_and_the_trunk_never(tmp_path: Path) -> None:
    seen: list[int] = []
    outcome, _, before = fit(tmp_path, settings(), pretrained=True, seen=seen)
    assert [row["phase"] for row in outcome.history] == ["head", "upper", "upper"]
    assert seen == [1, 2, 3]
    after = outcome.network.net.state_dict()
    changed = {k for k, v in before.net.state_dict().items() if not torch.equal(v, after[k])}
    first_upper = int(outcome.network.architecture.upper.split(".")[1])
    numbers = {int(key.split(".")[1]) for key in changed if key.startswith("features")}
    assert numbers and min(numbers) >= first_upper
    assert "classifier.1.weight" in changed


def test_a_random_start_trains_everything_at_once(tmp_path: Path) -> None:
    outcome, plan, before = fit(tmp_path, settings(epochs=1, head_epochs=0), pretrained=False)
    assert plan.unfreeze == "all" and plan.head_epochs == 0
    after = outcome.network.net.state_dict()
    assert not any(torch.equal(v, after[k]) for k, v in before.net.state_dict().items())


def test_it_learns_and_evaluate_agrees_with_the_best_epoch(tmp_path: Path) -> None:
    chosen = settings(epochs=8, head_epochs=0, learning_rate=0.002, imbalance="logit_adjustment")
    outcome, plan, _ = fit(tmp_path, chosen, pretrained=False)
    assert float(outcome.history[-1]["train/loss"]) < float(outcome.history[0]["train/loss"])
    store = make_store(tmp_path / "again")
    card = make_card("squeezenet1_1", chosen, store, START, plan, outcome)
    model.save(tmp_path / "model", outcome.network, card)
    val = evaluate(model.load(tmp_path / "model"), store, 7).metrics["val"]
    assert val["macro_f1"]["value"] == pytest.approx(outcome.best["val/macro_f1"], abs=1e-6)
    assert val["log_loss"]["value"] == pytest.approx(outcome.best["val/loss"], abs=1e-4)


def test_the_temperature_is_that_of_the_saved_model_on_validation(tmp_path: Path) -> None:
    chosen = settings(epochs=2)
    outcome, plan, _ = fit(tmp_path, chosen, pretrained=True)
    store = make_store(tmp_path / "again")
    card = make_card("squeezenet1_1", chosen, store, START, plan, outcome)
    assert card["temperature"] == 1.0
    first = with_temperature(card, outcome.network, store, "cpu", 8)
    model.save(tmp_path / "model", outcome.network, first)
    loaded = model.load(tmp_path / "model")
    again = with_temperature(loaded.card, loaded.network, store, "cpu", 8)
    assert 0 < first["temperature"] == again["temperature"] != 1.0
    val = store.part("val")
    outputs = loaded.all_outputs(val.batches(8))
    losses = {
        calibrated: -np.log(
            loaded.probabilities_of(outputs.logits, calibrated)[np.arange(len(val)), val.labels]
        ).mean()
        for calibrated in (True, False)
    }
    assert losses[True] < losses[False]


def test_the_best_epoch_is_kept_and_patience_ends_the_run(tmp_path: Path) -> None:
    chosen = settings(epochs=30, head_epochs=0, patience=2, learning_rate=1e-9)
    outcome, _, _ = fit(tmp_path, chosen, pretrained=False)
    assert len(outcome.history) < 30
    scores = [float(row["val/macro_f1"]) for row in outcome.history]
    assert float(outcome.best["val/macro_f1"]) == max(scores)


def test_patience_counts_from_the_end_of_the_head_phase(tmp_path: Path) -> None:
    still = {"learning_rate": 1e-9, "head_learning_rate": 1e-9, "ema_decay": 0.0}
    chosen = settings(epochs=12, head_epochs=6, patience=2, **still)
    outcome, _, _ = fit(tmp_path, chosen, pretrained=True)
    phases = [row["phase"] for row in outcome.history]
    assert phases == ["head"] * 6 + ["upper"] * 3


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal_and_plain_lines_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    plan = make_plan(settings().train, 1, True, np.arange(5))
    callbacks = training._callbacks(plan, BestWeights(), lambda *_: None)
    kinds = {type(callback).__name__ for callback in callbacks}
    assert ("TQDMProgressBar" in kinds) is terminal
    assert ("PlainLines" in kinds) is not terminal


def test_augmentation_is_not_done_in_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(images: torch.Tensor, draws: torch.Tensor, chosen: params.Augment) -> torch.Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return images

    monkeypatch.setattr(training_module, "augment", spy)
    plan = make_plan(settings().train, 1, False, np.arange(5))
    network = Network("squeezenet1_1", 0.0, frozen_batch_norm=True)
    module = training_module.TrainingModule(network, plan, np.arange(5))
    monkeypatch.setattr(type(module), "current_epoch", 0)
    monkeypatch.setattr(type(module), "global_step", 0)
    monkeypatch.setattr(type(module), "global_rank", 0)
    batch = (torch.zeros(2, 64, 64, 3, dtype=torch.uint8), torch.zeros(2).long(), np.arange(2))
    with torch.autocast("cpu", torch.bfloat16):
        module.training_step(batch, 0)
    assert seen == [False]


class Interruption(BaseException):
    """As sudden as Ctrl-C."""


def sha256(tmp_path: Path, name: str, chosen: params.Params, *interruptions: int) -> str:
    """Train, interrupted at the end of the epochs named, and started again each time."""
    store = make_store(tmp_path / name / "pixels")
    plan = make_plan(chosen.train, chosen.seed, True, store.part("train").labels)
    scratch = tmp_path / name / "scratch"
    scratch.mkdir()
    for stop in (*interruptions, None):
        training.seed_everything(chosen.seed)
        network = Network("squeezenet1_1", 0.2, frozen_batch_norm=True)

        def interrupt(epoch: int, _row: training.Row, stop: int | None = stop) -> None:
            if epoch == stop:
                raise Interruption

        on_cpu = device.pick("cpu", "auto", 1)
        try:
            outcome = training.fit(network, store, plan, on_cpu, scratch, interrupt)
        except Interruption:
            continue
    card = make_card("squeezenet1_1", chosen, store, START, plan, outcome)
    model.save(tmp_path / name / "model", outcome.network, card)
    return model.model_sha256(tmp_path / name / "model")


def test_an_interrupted_training_ends_in_the_same_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = settings(epochs=5, head_epochs=2)
    undisturbed = sha256(tmp_path, "undisturbed", chosen)
    caplog.set_level("INFO")
    for stops in ((1,), (3,), (2, 4), (5,)):
        caplog.clear()
        assert sha256(tmp_path, f"stopped-{stops}", chosen, *stops) == undisturbed, stops
        told = [f"after epoch {stop - 1}" for stop in stops if stop > 1]
        assert all(words in caplog.text for words in told)


def test_a_training_that_had_decided_to_stop_does_not_go_on(tmp_path: Path) -> None:
    still = {"learning_rate": 1e-9, "head_learning_rate": 1e-9, "ema_decay": 0.0}
    chosen = settings(epochs=9, head_epochs=1, patience=2, **still)
    undisturbed = sha256(tmp_path, "undisturbed", chosen)
    store = make_store(tmp_path / "again")
    plan = make_plan(chosen.train, chosen.seed, True, store.part("train").labels)
    network = Network("squeezenet1_1", 0.2, frozen_batch_norm=True)
    scratch = tmp_path / "undisturbed" / "scratch"  # as if killed before its outputs were written
    outcome = training.fit(network, store, plan, device.pick("cpu", "auto", 1), scratch, print)
    card = make_card("squeezenet1_1", chosen, store, START, plan, outcome)
    model.save(tmp_path / "model", outcome.network, card)
    assert model.model_sha256(tmp_path / "model") == undisturbed


def test_a_loss_that_is_no_number_says_where_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    chosen = settings(epochs=6, head_epochs=1, learning_rate=1.0, weight_decay=10.0)
    broken = dataclasses.replace(chosen, train=dataclasses.replace(chosen.train, warmup_share=0.0))
    object.__setattr__(broken.train, "learning_rate", 1e30)
    with pytest.raises(UserError, match=r"The loss was expected .* in epoch \d; lower"):
        fit(tmp_path, broken, pretrained=True)
    assert (tmp_path / "scratch" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    ("where", "cache_views"),
    [("training_module.TrainingModule.training_step", 0), ("features._of_all_views", 1)],
)
def test_a_lack_of_memory_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, cache_views: int
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(f"wbc.{where}", full)
    with pytest.raises(UserError, match=r"memory of the GPU is not enough; lower train.batch_size"):
        fit(tmp_path, settings(cache_views=cache_views), pretrained=True)


def test_a_job_of_slurm_is_left_to_the_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would refuse its numbers of tasks, or answer its signals with a checkpoint."""
    for name, value in {"NTASKS": "4", "JOB_NAME": "train", "JOB_ID": "7", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    fit(tmp_path, settings(epochs=1, head_epochs=0), pretrained=True)


def test_bf16_on_a_cpu_that_has_it_changes_the_losses_little(tmp_path: Path) -> None:
    try:
        half = device.pick("cpu", "bf16", 1)
    except UserError:
        pytest.skip("this CPU has no bf16")
    store = make_store(tmp_path / "pixels")
    chosen = settings(epochs=2, head_epochs=0)
    plan = make_plan(chosen.train, chosen.seed, True, store.part("train").labels)
    losses = []
    for name, on in (("plain", device.pick("cpu", "auto", 1)), ("half", half)):
        training.seed_everything(chosen.seed)
        network = Network("squeezenet1_1", 0.0, frozen_batch_norm=True)
        (tmp_path / name).mkdir()
        outcome = training.fit(network, store, plan, on, tmp_path / name, lambda *_: None)
        losses.append([float(row["val/loss"]) for row in outcome.history])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_the_optimiser_in_one_pass_is_adamw() -> None:
    chosen = settings(epochs=2, head_epochs=0)
    labels = np.arange(10, dtype=np.int64) % 5
    ends = []
    for fused in (True, False):
        torch.manual_seed(1)
        network = Network("squeezenet1_1", 0.0, frozen_batch_norm=True)
        plan = make_plan(chosen.train, chosen.seed, True, labels)
        module = training_module.TrainingModule(network, plan, labels)
        optimizer = module.configure_optimizers()["optimizer"]
        assert optimizer.param_groups[0]["fused"]
        for group in optimizer.param_groups:
            group.update(lr=1e-3, fused=fused)
        for step in range(3):
            torch.manual_seed(step)
            for parameter in network.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-7)
