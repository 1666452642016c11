"""wbc.registry.verification: what is refused, what is not comparable, what differs first."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from wbc.errors import UserError
from wbc.lineage import git as lineage_git
from wbc.registry import verification
from wbc.registry.origin import Origin
from wbc.registry.verification import Verdict
from wbc.tracking import record as tracking_record

HERE = {"processor": "A CPU", "version.torch": "2.0", "version.cuda": "13.0"}
PARAMETERS = {
    "train.device": "cpu",
    "train.precision": 32,
    "train.threads": 1,
    "train.processes": 1,
}
CARD = {"parameters": PARAMETERS}
RECORDED = {**HERE, "device": "CPU, 1 threads, 32 bit"}


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_record, "environment_tags", lambda: HERE)


def test_the_same_machine_is_comparable() -> None:
    assert verification.incomparable(RECORDED, CARD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"processor": "B CPU"}, "processor: B CPU recorded, A CPU here."),
        ({"version.torch": "1.9"}, "torch: 1.9 recorded, 2.0 here."),
        ({"version.torchvision": "0.1"}, "torchvision: 0.1 recorded, none here."),
        ({"version.scikit-learn": "1.0"}, "scikit-learn: 1.0 recorded, none here."),
        ({"version.rocm": "7.2"}, "ROCm: 7.2 recorded, none here."),
        ({"device": "CPU, 2 threads, 32 bit"}, "device: CPU, 2 threads, 32 bit recorded, CPU, 1"),
        ({"device": "2 x CPU, 1 threads, 32 bit"}, "device: 2 x CPU"),
    ],
)
def test_another_machine_is_not(change: dict[str, str], words: str) -> None:
    [reason] = verification.incomparable({**RECORDED, **change}, CARD)
    assert reason.startswith(words)


def test_several_processes_are_one_kind_of_device() -> None:
    tags = {**RECORDED, "device": "2 x CPU, 1 threads, 32 bit"}
    card = {"parameters": {**PARAMETERS, "train.processes": 2}}
    assert verification.incomparable(tags, card) == []


def test_a_gpu_that_is_not_here_is_said() -> None:
    tags = {**RECORDED, "device": "A GPU, CUDA 13.0, bf16"}
    card = {"parameters": {**PARAMETERS, "train.device": "gpu"}}
    [reason] = verification.incomparable(tags, card)
    assert reason.startswith("device: A GPU, CUDA 13.0, bf16 recorded; train.device is gpu")


def test_a_run_written_afterwards_knows_no_processor() -> None:
    reasons = verification.incomparable({}, CARD)
    assert reasons == ["the run does not say which processor trained it."]


def test_the_classical_baseline_asks_for_no_device() -> None:
    tags = {**HERE, "device": "CPU, 8 processes"}
    assert verification.incomparable(tags, {"parameters": {"seed": 1}}) == []


def _origin(**changes: Any) -> Origin:
    known: dict[str, Any] = {
        "version": "3",
        "name": "googlenet-abc",
        "architecture": "googlenet",
        "model_sha256": "",
        "commit": "ab" * 20,
        "patch": b"",
        "patch_note": "",
        "lock": b"",
        "tags": {},
        "run_id": "",
    }
    return Origin(**{**known, **changes})


def test_a_commit_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_git, "has_commit", lambda *_: False)
    with pytest.raises(UserError, match=r"of version 3 is not in this repository; `git fetch`"):
        verification._refuse(Path(), _origin(), anyway=True)


@pytest.mark.parametrize(
    ("note", "anyway", "refused"),
    [
        ("too large for the patch: x.bin", False, True),
        ("too large for the patch: x.bin", True, False),
        ("cut at 5 of 9 bytes", True, True),
    ],
)
def test_an_incomplete_patch_is_refused(
    note: str, anyway: bool, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_git, "has_commit", lambda *_: True)
    if not refused:
        verification._refuse(Path(), _origin(patch_note=note), anyway)
        return
    with pytest.raises(UserError, match="recorded in part only"):
        verification._refuse(Path(), _origin(patch_note=note), anyway)


def _model(folder: Path, weight: float, **card: Any) -> Path:
    folder.mkdir()
    save_file({"a": np.array([weight], np.float32)}, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps({"temperature": 1.0, **card}))
    return folder


def test_models_differ_in_a_tensor_and_a_line_of_the_card(tmp_path: Path) -> None:
    recorded = _model(tmp_path / "recorded", 1.0)
    assert verification._compare_models(recorded, recorded) == []
    rebuilt = _model(tmp_path / "rebuilt", 1.5, temperature=1.25)
    assert verification._compare_models(recorded, rebuilt) == [
        "tensor a: largest difference 0.5; 1 of 1 tensors differ",
        "model.json: temperature: 1.0 recorded, 1.25 rebuilt",
    ]
    again = _model(tmp_path / "again", 1.0)
    (again / "reference.safetensors").write_bytes(b"one")
    assert verification._compare_models(recorded, again) == []  # older than references
    (recorded / "reference.safetensors").write_bytes(b"two")
    (words,) = verification._compare_models(recorded, again)
    assert words.startswith("reference.safetensors: other bytes")
    padded = _model(tmp_path / "padded", 1.0)
    (padded / "model.json").write_text((recorded / "model.json").read_text() + " ")
    assert verification._compare_models(recorded, padded) == [
        "the files of equal tensors and an equal card have other bytes."
    ]


def test_scores_differ_by_name_with_both_values() -> None:
    assert verification._compare_scores(
        {"val": {"f1": 0.5, "n": 1}}, {"val": {"f1": 0.25, "n": 1}}
    ) == ["metrics.json: val.f1: 0.5 recorded, 0.25 rebuilt; 1 of 2 values differ"]


def test_a_verdict_is_a_word_and_the_first_reason() -> None:
    assert str(Verdict("differs", ("tensor a", "metrics"))) == "differs: tensor a\n  metrics"
