"""`verify`: is a version what its record says? Rebuilds it and compares every byte."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from wbc.errors import UserError, one_line
from wbc.lineage import git as lineage_git
from wbc.reference import REFERENCE_FILE
from wbc.registry import access, differences, origin, rebuild
from wbc.registry.origin import Origin
from wbc.registry.rebuild import Rebuilt
from wbc.tracking import record as tracking_record
from wbc.tracking.store import MODEL, Store

log = logging.getLogger(__name__)

IDENTICAL, DIFFERS, NOT_COMPARABLE = "identical", "differs", "not comparable"
EXIT_STATUS: Final = {IDENTICAL: 0, DIFFERS: 1, NOT_COMPARABLE: 3}
TAG: Final = "verified"  # of the version: JSON of when, commit and verdict
_ENVIRONMENT: Final = {  # a run's tag -> what a person calls it
    "processor": "processor",
    "version.torch": "torch",
    "version.cuda": "CUDA",
    "version.rocm": "ROCm",
}
_LIBRARIES: Final = {  # they count where a run names them
    f"version.{name}": name for name in ("torchvision", "numpy", "scikit-learn", "scikit-image")
}


@dataclass(frozen=True)
class Verdict:
    """One of identical, differs, not comparable; why, the first reason first."""

    word: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        first, *others = self.reasons
        return "\n".join([f"{self.word}: {first}", *(f"  {reason}" for reason in others)])


def verify(repository: Path, reference: str, anyway: bool = False) -> Verdict:
    """Make the version again and compare; records the verdict as a tag of the version.

    anyway: also where another processor or an incomplete patch make equal bytes unlikely. Equal
    ones are a proof there too, others prove nothing.

    Raises:
        UserError: there is no such version, or it cannot be made again.
    """
    with access.opened(repository) as store:
        found = origin.read(store, reference)
    _refuse(repository, found, anyway)
    log.info("%s", found.words)
    with rebuild.work_folder(repository) as folder:
        verdict = _verify(store, repository, found, folder, anyway)
    _record(store, found, verdict)
    return verdict


def _refuse(repository: Path, found: Origin, anyway: bool) -> None:
    if not lineage_git.has_commit(repository, found.commit):
        raise UserError(
            f"Commit {found.commit} of version {found.version} is not in this repository; `git"
            " fetch` may bring it, else run the command where it was trained."
        )
    if found.patch_note and not (anyway and found.patch_note.startswith("too large")):
        raise UserError(
            f"Version {found.version} was trained with changes that were recorded in part only"
            f" ({found.patch_note}), so it cannot be made again for certain; --anyway tries"
            " without files that were too large. Commit before you train."
        )


def _verify(store: Store, repository: Path, found: Origin, folder: Path, anyway: bool) -> Verdict:
    recorded, scores = origin.download(store, found, folder / "recorded")
    stored = tracking_record.identity(recorded)
    if stored != found.model_sha256:
        words = f"the registry holds other weights (SHA-256 {stored[:12]}) than were registered"
        return Verdict(DIFFERS, (f"{words} ({found.model_sha256[:12]}); nothing was rebuilt.",))
    card = json.loads((recorded / "model.json").read_text(encoding="utf-8"))
    reasons = incomparable(found.tags, card)
    if reasons and not anyway:
        offer = "--anyway rebuilds all the same: equal bytes would be a proof, others none."
        return Verdict(NOT_COMPARABLE, (*reasons, offer))
    if found.patch_note:
        reasons.append(f"the changes are incomplete: {found.patch_note}.")
    begun = time.monotonic()
    made = rebuild.make_model(repository, found, card, folder)
    unequal = _unequal(made, found, recorded, scores, folder, even_scores=bool(reasons))
    if made.contradictions or (unequal and not reasons):
        return Verdict(DIFFERS, tuple(unequal))
    if unequal:
        return Verdict(NOT_COMPARABLE, (*reasons, *unequal))
    took = f"rebuilt in {time.monotonic() - begun:.0f} s"
    numbers = f"all {differences.num_leaves(scores)} values of metrics.json"
    files = f"every byte of model.safetensors and model.json ({stored[:12]})"
    return Verdict(IDENTICAL, (f"{files} and {numbers}, {took}.",))


def _unequal(
    made: Rebuilt,
    found: Origin,
    recorded: Path,
    scores: dict[str, Any],
    folder: Path,
    even_scores: bool,
) -> list[str]:
    """What is not as recorded, what came first in the pipeline first; evaluates where that counts.

    even_scores: also of other weights, to see how far they are off.
    """
    unequal = [*made.contradictions, *made.data]
    model_dir = made.copy / "models" / found.architecture
    trained = (model_dir / "model.json").is_file()
    if trained:
        unequal += _compare_models(recorded, model_dir)
    if trained and (even_scores or not unequal):
        rebuild.evaluate(made.copy, found, folder)
        report = made.copy / "reports" / found.architecture / "metrics.json"
        unequal += _compare_scores(scores, json.loads(report.read_text(encoding="utf-8")))
    if unequal and made.changed_code:
        which = ", ".join(made.changed_code[:3])
        unequal.insert(0, f"{which}: not the code, at this commit, that the version ran with.")
    return unequal


def incomparable(tags: Mapping[str, str], card: Mapping[str, Any]) -> list[str]:
    """Why this machine cannot be expected to compute the same bytes as the one of the run."""
    here = tracking_record.environment_tags()
    reasons = [
        f"{words}: {tags.get(name, 'none')} recorded, {here.get(name, 'none')} here."
        for name, words in {**_ENVIRONMENT, **_LIBRARIES}.items()
        if name in tags or ("processor" in tags and name in _ENVIRONMENT)
        if tags.get(name) != here.get(name)
    ]
    if "processor" not in tags:
        reasons.append("the run does not say which processor trained it.")
    return reasons + _other_device(tags.get("device", ""), card["parameters"])


def _other_device(recorded: str, parameters: Mapping[str, Any]) -> list[str]:
    """Whether train would take another kind of device here, or another number of threads."""
    from wbc import device

    if "train.device" not in parameters or not recorded:  # the classical baseline: any CPU
        return []
    size = int(parameters["train.processes"])
    try:
        chosen = device.pick(
            parameters["train.device"],
            parameters["train.precision"],
            parameters["train.threads"],
            local_size=size,
        )
    except UserError as error:
        return [f"device: {recorded} recorded; {error}"]
    here = chosen.name if size == 1 else f"{size} x {chosen.name}"
    return [] if here == recorded else [f"device: {recorded} recorded, {here} here."]


def _compare_models(recorded: Path, rebuilt: Path) -> list[str]:
    """What differs: the tensor that does most, and the first line of the card."""
    weights = differences.of_weights(*(of / "model.safetensors" for of in (recorded, rebuilt)))
    cards = [json.loads((of / "model.json").read_text("utf-8")) for of in (recorded, rebuilt)]
    unequal = [weights] if weights else []
    unequal += [f"model.json: {words}" for words in differences.of_cards(*cards)[:1]]
    if not unequal and tracking_record.identity(recorded) != tracking_record.identity(rebuilt):
        unequal = ["the files of equal tensors and an equal card have other bytes."]
    return unequal or _compare_references(recorded, rebuilt)


def _compare_references(recorded: Path, rebuilt: Path) -> list[str]:
    """reference.safetensors is not in the model's SHA-256; older versions have none."""
    files = [folder / REFERENCE_FILE for folder in (recorded, rebuilt)]
    if not files[0].is_file() or (
        files[1].is_file() and files[0].read_bytes() == files[1].read_bytes()
    ):
        return []
    return [f"{REFERENCE_FILE}: other bytes in the registry than rebuilt."]


def _compare_scores(recorded: dict[str, Any], rebuilt: dict[str, Any]) -> list[str]:
    metrics = differences.of_values(recorded, rebuilt)
    more = f"; {len(metrics)} of {differences.num_leaves(recorded)} values differ"
    return [f"metrics.json: {words}{more}" for words in metrics[:1]]


def _record(store: Store, found: Origin, verdict: Verdict) -> None:
    """Set the tag; where that fails the verdict stands all the same."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    note = {"when": now, "commit": found.commit, "verdict": verdict.word}
    try:
        store.client.set_model_version_tag(MODEL, found.version, TAG, json.dumps(note))
    except Exception as error:
        log.warning("The verdict could not be written to the registry (%s).", one_line(error))
