"""wbc.registry.verification: what is refused, what is not comparable, what differs first."""

import contextlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from wbc.errors import UserError
from wbc.lineage import git as lineage_git
from wbc.registry import access, origin, rebuild, verification
from wbc.registry.origin import Origin
from wbc.registry.rebuild import Rebuilt
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
    with pytest.raises(UserError) as error:
        verification._refuse(Path(), _origin(patch_note=note), anyway)
    assert str(error.value) == (
        f"Version 3 was trained with changes that were recorded in part only ({note}), so it cannot"
        " be made again for certain; --anyway tries without files that were too large. Commit"
        " before you train."
    )


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


def test_of_several_lines_of_a_card_and_scores_only_the_first_is_said(tmp_path: Path) -> None:
    recorded = _model(tmp_path / "recorded", 1.0, start="random")
    rebuilt = _model(tmp_path / "rebuilt", 1.0, temperature=1.5, start="file")
    assert len(verification._compare_models(recorded, rebuilt)) == 1
    (said,) = verification._compare_scores({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 1})
    assert said == "metrics.json: a: 1 recorded, 2 rebuilt; 2 of 3 values differ"


def test_the_device_is_picked_as_train_would(monkeypatch: pytest.MonkeyPatch) -> None:
    from wbc import device

    asked = []

    def pick(*words: Any, local_size: int) -> Any:
        asked.append((*words, local_size))
        return SimpleNamespace(name="CPU")

    monkeypatch.setattr(device, "pick", pick)
    parameters = {**PARAMETERS, "train.precision": 16, "train.threads": 4, "train.processes": 2}
    assert verification._other_device("2 x CPU", parameters) == []
    assert asked == [("cpu", 16, 4, 2)]


def test_scores_differ_by_name_with_both_values() -> None:
    assert verification._compare_scores(
        {"val": {"f1": 0.5, "n": 1}}, {"val": {"f1": 0.25, "n": 1}}
    ) == ["metrics.json: val.f1: 0.5 recorded, 0.25 rebuilt; 1 of 2 values differ"]


def test_a_verdict_is_a_word_and_the_first_reason() -> None:
    assert str(Verdict("differs", ("tensor a", "metrics"))) == "differs: tensor a\n  metrics"


def test_words_of_an_environment_that_was_not_recorded_or_is_not_here() -> None:
    tags = {"processor": "A CPU", "version.torch": "2.0", "device": ""}
    assert verification.incomparable(tags, CARD) == ["CUDA: none recorded, 13.0 here."]
    others = {**RECORDED, "version.numpy": "1", "version.scikit-image": "2", "version.rocm": "7"}
    assert verification.incomparable(others, CARD) == [
        "ROCm: 7 recorded, none here.", "numpy: 1 recorded, none here.",
        "scikit-image: 2 recorded, none here.",
    ]  # fmt: skip


SCORES = {"val": {"macro_f1": 0.5, "n": 3}}
NOTE = {"format": 1, "parameters": PARAMETERS}


class Record:
    """A version as the registry has it, and what making it again comes to."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = tmp_path
        self.scores, self.rebuilt_scores = dict(SCORES), dict(SCORES)
        self.recorded = _model(tmp_path / "recorded", 1.0, **NOTE)
        self.weight, self.trains = 1.0, True
        self.found: dict[str, tuple[str, ...]] = {}
        self.done: list[str] = []
        self.origin = _origin(
            model_sha256=tracking_record.identity(self.recorded), tags=dict(RECORDED)
        )
        monkeypatch.setattr(origin, "download", self.download)
        monkeypatch.setattr(rebuild, "make_model", self.make_model)
        monkeypatch.setattr(rebuild, "evaluate", self.evaluate)

    def download(self, store: Any, found: Origin, target: Path) -> Any:
        assert (store, found, target) == ("store", self.origin, self.path / "recorded")
        return self.recorded, self.scores

    def make_model(self, repository: Path, found: Origin, card: Any, folder: Path) -> Rebuilt:
        assert (repository, found, folder) == (Path("here"), self.origin, self.path)
        assert card == {"temperature": 1.0, **NOTE}
        self.done.append("train")
        copy = self.path / "copy"
        (copy / "models").mkdir(parents=True)
        if self.trains:
            _model(copy / "models" / "googlenet", self.weight, **NOTE)
        return Rebuilt(copy, **self.found)

    def evaluate(self, copy: Path, found: Origin, folder: Path) -> None:
        assert (copy, found, folder) == (self.path / "copy", self.origin, self.path)
        self.done.append("evaluate")
        report = copy / "reports" / "googlenet"
        report.mkdir(parents=True)
        (report / "metrics.json").write_text(json.dumps(self.rebuilt_scores))

    def verdict(self, anyway: bool = False) -> Verdict:
        store: Any = "store"
        return verification._verify(store, Path("here"), self.origin, self.path, anyway)

    def change(self, **changes: Any) -> None:
        self.origin = replace(self.origin, **changes)


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    return Record(tmp_path, monkeypatch)


def test_equal_bytes_and_scores_are_identical(record: Record) -> None:
    found = record.verdict()
    assert found.word == "identical" and record.done == ["train", "evaluate"]
    assert found.reasons == (
        f"every byte of model.safetensors and model.json ({record.origin.model_sha256[:12]}) and"
        " all 2 values of metrics.json, rebuilt in 0 s.",
    )


def test_other_weights_differ_and_are_not_evaluated(record: Record) -> None:
    record.weight = 1.5
    found = record.verdict()
    assert found == Verdict("differs", ("tensor a: largest difference 0.5; 1 of 1 tensors differ",))
    assert record.done == ["train"]


def test_other_scores_differ(record: Record) -> None:
    record.rebuilt_scores = {"val": {"macro_f1": 0.25, "n": 3}}
    words = "metrics.json: val.macro_f1: 0.5 recorded, 0.25 rebuilt; 1 of 2 values differ"
    assert record.verdict() == Verdict("differs", (words,))


def test_files_that_were_changed_in_the_registry_are_not_rebuilt(record: Record) -> None:
    stored = record.origin.model_sha256
    record.change(model_sha256="ab" * 32)
    assert record.verdict() == Verdict("differs", (
        f"the registry holds other weights (SHA-256 {stored[:12]}) than were registered"
        " (abababababab); nothing was rebuilt.",
    ))  # fmt: skip
    assert record.done == []


def test_on_another_machine_nothing_is_rebuilt_unless_asked_for(record: Record) -> None:
    record.change(tags={**RECORDED, "processor": "B CPU"})
    reason = "processor: B CPU recorded, A CPU here."
    offer = "--anyway rebuilds all the same: equal bytes would be a proof, others none."
    assert record.verdict() == Verdict("not comparable", (reason, offer))
    assert record.done == []
    record.weight, record.rebuilt_scores = 1.5, {"val": {"macro_f1": 0.25, "n": 3}}
    assert record.verdict(anyway=True) == Verdict("not comparable", (
        reason, "tensor a: largest difference 0.5; 1 of 1 tensors differ",
        "metrics.json: val.macro_f1: 0.5 recorded, 0.25 rebuilt; 1 of 2 values differ",
    ))  # fmt: skip
    assert record.done == ["train", "evaluate"]


def test_equal_bytes_on_another_machine_are_a_proof(record: Record) -> None:
    record.change(tags={**RECORDED, "processor": "B CPU"})
    assert record.verdict(anyway=True).word == "identical"


def test_with_incomplete_changes_a_difference_proves_nothing(record: Record) -> None:
    record.change(patch_note="too large for the patch: x")
    record.weight = 1.5
    found = record.verdict(anyway=True)
    assert found.word == "not comparable"
    assert found.reasons[0] == "the changes are incomplete: too large for the patch: x."


def test_a_contradiction_differs_on_any_machine(record: Record) -> None:
    record.change(tags={**RECORDED, "processor": "B CPU"})
    record.trains = False
    record.found = {"contradictions": ("seed: 1 recorded, 2 in params.yaml",)}
    assert record.verdict(anyway=True) == Verdict("differs", record.found["contradictions"])
    assert record.done == ["train"]


def test_what_came_first_in_the_pipeline_is_said_first(record: Record) -> None:
    record.weight = 1.5
    record.found = {"data": ("data/split: other",), "changed_code": ("a.py", "b.py", "c.py", "d")}
    assert record.verdict().reasons == (
        "a.py, b.py, c.py: not the code, at this commit, that the version ran with.",
        "data/split: other", "tensor a: largest difference 0.5; 1 of 1 tensors differ",
    )  # fmt: skip


def test_other_code_that_made_the_same_is_not_mentioned(record: Record) -> None:
    record.found = {"changed_code": ("a.py",)}
    assert record.verdict().word == "identical"


def test_verify_refuses_records_and_hands_on(
    record: Record, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked, tags = [], []

    class Client:
        def set_model_version_tag(self, *words: str) -> None:
            tags.append(words)

    store = SimpleNamespace(client=Client())
    monkeypatch.setattr(
        access, "opened", lambda path: contextlib.nullcontext(store if path == here else None)
    )
    monkeypatch.setattr(origin, "read", lambda *words: asked.append(words) or record.origin)
    monkeypatch.setattr(lineage_git, "has_commit", lambda *words: words == (here, "ab" * 20))
    monkeypatch.setattr(rebuild, "work_folder", lambda path: contextlib.nullcontext(path / "work"))
    given = []

    def judged(*words: Any) -> Verdict:
        given.append(words)
        return Verdict("differs", ("x",))

    monkeypatch.setattr(verification, "_verify", judged)
    here = Path("here")
    assert verification.verify(here, "champion") == Verdict("differs", ("x",))
    assert asked == [(store, "champion")]
    assert given == [(store, here, record.origin, here / "work", False)]
    assert record.origin.words in caplog.text
    *named, text = tags[0]
    note = json.loads(text)
    assert named == ["wbc-classifier", "3", "verified"]
    assert note == {"when": note["when"], "commit": "ab" * 20, "verdict": "differs"}
    assert note["when"].endswith("+00:00") and len(note["when"]) == 25
    record.change(patch_note="too large for the patch: x")
    with pytest.raises(UserError, match="recorded in part only"):
        verification.verify(here, "3")
    verification.verify(here, "3", anyway=True)
    assert given[-1][-1] is True


def test_a_verdict_stands_where_it_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    store: Any = SimpleNamespace(client=None)
    verification._record(store, _origin(), Verdict("identical", ("x",)))
    assert "verdict could not be written to the registry ('NoneType'" in caplog.text


def test_only_a_missing_commit_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_git, "has_commit", lambda path, commit: commit == "ab" * 20)
    verification._refuse(Path(), _origin(), anyway=False)
    with pytest.raises(UserError, match=f"^Commit {'cd' * 20} of version 3 is not"):
        verification._refuse(Path(), _origin(commit="cd" * 20), anyway=False)
