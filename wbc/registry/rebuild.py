"""A model made anew from what its version records, beside the workspace and without its cache."""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from wbc import processes
from wbc.errors import UserError
from wbc.lineage import dvc as lineage_dvc
from wbc.lineage import git as lineage_git
from wbc.lineage import state as lineage
from wbc.params import flatten_values
from wbc.registry import differences
from wbc.registry.origin import Origin

log = logging.getLogger(__name__)

# What a stage made of data, to be compared with the record before anything is trained on it.
_DATA: Final = {"split": "data/split", "preprocess": "data/pixels"}


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild came to.

    `contradictions` say that the record does not hold together on any machine: other parameters at
    the commit, damaged data. `data` is what split and preprocess made otherwise than recorded.
    `changed_code` explains differences: modules that are not, at the commit, what the version was
    trained with.
    """

    copy: Path  # of the repository, with models/
    contradictions: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    changed_code: tuple[str, ...] = ()


@contextmanager
def work_folder(repository: Path) -> Iterator[Path]:
    """A folder in scratch/ that goes when the work ends, is stopped, or next time.

    Beside the data, where there is room for them; /tmp is often a small disk in memory.
    """
    root = repository / "scratch"
    root.mkdir(exist_ok=True)
    for old in root.glob("verify-*/owner"):
        if processes.is_dead(old.read_text(encoding="utf-8")):  # by SIGKILL, or the power went
            shutil.rmtree(old.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="verify-", dir=root))
    try:
        (folder / "owner").write_text(processes.own_name(), encoding="utf-8")
        with processes.signals_raise():
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_model(repository: Path, origin: Origin, card: dict[str, Any], folder: Path) -> Rebuilt:
    """Train the model again in `folder`, from data/raw and the starting weights on.

    Where parameters or pixels are not as recorded nothing is trained, for that decides.

    Raises:
        UserError: commit, patch or data cannot be had, or a stage failed.
    """
    copy = _copy(repository, origin, folder)
    (copy / "dvc.lock").write_bytes(origin.lock)
    code = tuple(lineage.changed_modules(copy, origin.architecture))
    found = _check_parameters(copy, origin, card)
    if found:
        return Rebuilt(copy, contradictions=tuple(found), changed_code=code)
    lineage_dvc.prepare(copy)
    cache = lineage_dvc.cache_dir(repository)
    try:
        _bring_inputs(cache, origin, copy)
    except lineage_dvc.DamagedError as error:
        return Rebuilt(copy, contradictions=(str(error),))
    data = _run(copy, "split", origin, folder, cache)
    pixels = _run(copy, "preprocess", origin, folder, cache)
    if not pixels:
        _run(copy, f"train@{origin.architecture}", origin, folder)
    return Rebuilt(copy, data=(*data, *pixels), changed_code=code)


def evaluate(copy: Path, origin: Origin, folder: Path) -> None:
    """Evaluate the model that `make_model` trained, into reports/ of the copy."""
    _run(copy, f"evaluate@{origin.architecture}", origin, folder)


def _copy(repository: Path, origin: Origin, folder: Path) -> Path:
    target = folder / "repository"
    try:
        return lineage_git.copy_at(repository, origin.commit, origin.patch, target)
    except lineage_git.GitError as error:
        raise UserError(
            f"The recorded changes of version {origin.version} do not fit its commit"
            f" {origin.commit[:12]} ({' '.join(str(error).split())[:160]}), so it cannot be made"
            " again."
        ) from None


def _check_parameters(copy: Path, origin: Origin, card: dict[str, Any]) -> list[str]:
    """Parameters of the copy that are not the model's; of several seeds only the model's is left.

    The other seeds' trainings do not touch the model (wbc.card.UNRECORDED).
    """
    path, yaml = copy / "params.yaml", YAML()
    document = yaml.load(path.read_text(encoding="utf-8"))
    seeds = document["train"].get("seeds")
    if seeds:
        document["seed"], document["train"]["seeds"] = seeds[0], []
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(document, file)
    where = f"params.yaml of {origin.commit[:12]}"
    return differences.of_parameters(card["parameters"], flatten_values(document), where)


def _bring_inputs(cache: Path, origin: Origin, copy: Path) -> None:
    """data/raw and the starting weights, by their recorded hashes."""
    outs = lineage.outs_of(origin.lock)
    for path in ("data/raw", f"models/{origin.architecture}/start"):
        if path not in outs:
            raise UserError(
                f"The dvc.lock of version {origin.version} names no {path}, from which it would be"
                " made again; train it again with `dvc repro`."
            )
        try:
            lineage_dvc.bring(cache, outs[path], copy / path)
        except lineage_dvc.DamagedError as error:
            raise lineage_dvc.DamagedError(f"{path}: data hash differs: {error}") from None
        except lineage_dvc.LostError as error:
            raise UserError(
                f"{path} of version {origin.version} cannot be had: {error}; if a DVC remote has"
                f" it, `python -m wbc checkout {origin.version}` and `dvc pull` bring it, or"
                " `dvc fetch --all-commits`."
            ) from None


def _run(
    copy: Path, stage: str, origin: Origin, folder: Path, cache: Path | None = None
) -> list[str]:
    """Run one stage; says how long it took, returns what of its data is not as recorded."""
    log_path = folder / "log"
    nowhere = f"sqlite:///{folder / 'owner' / 'mlflow.db'}"  # below a file: stages go on without
    begun = time.monotonic()
    if not lineage_dvc.run_stage(copy, stage, log_path, {"MLFLOW_TRACKING_URI": nowhere}):
        kept = folder.parent / f"verify-{origin.version}.log"
        shutil.copyfile(log_path, kept)
        raise UserError(
            f"Version {origin.version} could not be made again, because {stage} failed"
            f" ({_reason(log_path)}); {kept} has all it printed."
        )
    path = _DATA.get(stage, "")
    found = _compare_data(copy, path, origin, cache) if path and cache else []
    note = f", {path} {'differs' if found else 'as recorded'}" if path else ""
    log.info("%s", f"  {stage}: {time.monotonic() - begun:.0f} s{note}")
    return found


def _compare_data(copy: Path, path: str, origin: Origin, cache: Path) -> list[str]:
    recorded = lineage.outs_of(origin.lock).get(path, "")
    rebuilt = lineage.data_hashes(copy)[path]
    if recorded == rebuilt:
        return []
    files = lineage_dvc.changed_in(cache, recorded, copy / path)
    which = f" (first in {files[0]}, {len(files)} files in all)" if files else ""
    return [f"{path}: md5 {recorded} recorded, {rebuilt} rebuilt{which}"]


def _reason(log_path: Path) -> str:
    """The sentence a stage ended with, else its last words."""
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = [line for line in lines if line.startswith("error: ")]
    others = [line for line in lines if not line.startswith("ERROR: failed to reproduce")]
    return ((said or others or ["it printed nothing"])[-1]).removeprefix("error: ")[:300]
