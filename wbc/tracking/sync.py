"""`python -m wbc sync`: what the outputs say and MLflow does not know yet.

The server was away, a clone is fresh after `dvc pull`, or another server shall have the models.
Twice is the same as once. `challenger` follows the rule of the stage compare; `champion` and
`previous` do not move: promotion is a person's act on one registry and is repeated on another.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from wbc import params
from wbc.errors import UserError
from wbc.lineage import cache as lineage_cache
from wbc.registry.versions import NAMES_VERSION
from wbc.tracking import adapt as tracking_adapt
from wbc.tracking import log
from wbc.tracking import publish as tracking_publish
from wbc.tracking import store as tracking_store
from wbc.tracking.log import Origin
from wbc.tracking.record import identity
from wbc.tracking.store import Store


def sync(repository: Path) -> list[str]:
    """Publish every finished model that MLflow does not have; a sentence each.

    models/*/, then those of other seeds, models/*/seeds/*/, then adapted/*/*/; last the alias.

    Raises:
        UserError: MLflow failed; unlike in a stage, writing there is the user's very wish.
    """
    models = _complete(repository / "models", "*", "*/seeds/*")
    adapted = _complete(repository / "adapted", "*/*")
    if not models and not adapted:
        return []
    with tracking_store.in_one_sentence(repository, "sync"):
        store = tracking_store.connect(repository)
        origin_of = _origins(repository)
        sentences = [_sync(store, repository, name, origin_of) for name in models]
        sentences += [_sync_adapted(store, repository / "adapted" / name) for name in adapted]
        log.close_dead_runs(store)
        first = [name.name for name in models if len(name.parts) == 1]
        return sentences + _propose(repository, first)


def _complete(folder: Path, *patterns: str) -> list[Path]:
    """Model folders below `folder`, relative; one that train is just writing lacks its weights."""
    cards = [card for each in patterns for card in sorted(folder.glob(f"{each}/model.json"))]
    whole = [card.parent for card in cards if card.with_name("model.safetensors").is_file()]
    return [path.relative_to(folder) for path in whole]


def _sync(store: Store, repository: Path, name: Path, origin_of: Callable[[str], Origin]) -> str:
    model_dir, report_dir = repository / "models" / name, repository / "reports" / name
    run = tracking_publish.find_run(store, identity(model_dir))
    first = len(name.parts) == 1
    registered = first and not (run and _had_version(run))
    if run and _is_published(run, report_dir, registered=first):
        return f"{name}: run {run.info.run_name} is there already."
    origin = origin_of(name.parts[0])
    done = tracking_publish.publish(store, model_dir, report_dir, registered, origin)
    if origin.lock:  # else they may belong to other models
        log.log_shared_files(store, done.run_id)
    unknown = f" ({origin.note})" if origin.note and not run else ""
    return f"{name}: published as run {done.run_name}{unknown}."


def _sync_adapted(store: Store, folder: Path) -> str:
    name = folder.relative_to(folder.parents[2])
    run = tracking_publish.find_run(store, identity(folder))
    if run and _is_published(run, folder, registered=True):
        return f"{name}: run {run.info.run_name} is there already."
    said = tracking_adapt.publish_folder(
        store, folder, tracking_adapt.read_scores(folder), live=False
    )
    return f"{name}: published as {said}"


def _is_published(run: Any, report_dir: Path, registered: bool) -> bool:
    """Whether the run has this very report, and its model a version where it should have one."""
    published = run.data.tags.get("published")
    same_report = bool(published == tracking_publish.report_digest(report_dir))
    return same_report and (_had_version(run) or not registered)


def _had_version(run: Any) -> bool:
    """Also one that a person has deleted since, which sync does not bring back."""
    return any(name in run.data.tags for name in NAMES_VERSION)


def _origins(repository: Path) -> Callable[[str], Origin]:
    """{architecture: what is known of its outputs}; DVC is asked once, and only if need be."""
    changed_stages = cache(lambda: lineage_cache.changed_stages(repository))

    def origin_of(architecture: str) -> Origin:
        if not lineage_cache.describes_model(repository, architecture):
            return Origin(code=False, lock=False)
        changed = changed_stages()
        stages = lineage_cache.stages_of(architecture)
        return Origin(code=changed is not None and not changed & stages, lock=True)

    return origin_of


def _propose(repository: Path, architectures: list[str]) -> list[str]:
    """The alias challenger, as the stage compare moves it, from reports/ alone."""
    from wbc import comparison
    from wbc.pixels import evaluation_set_sha256
    from wbc.registry.challenger import propose_winners
    from wbc.written import read_predictions

    names = [name for name in architectures if _is_evaluated(repository / "reports" / name)]
    names = [name for name in names if name in _wanted(repository, names)]
    if not names:
        return []
    try:
        models = [comparison.read(repository, name) for name in names]
        table = comparison.compare(models)
        cells = read_predictions(repository / "reports" / names[0], models[0].metrics)
    except UserError as error:
        return [f"The alias challenger was not looked at: {error}"]
    if "sha256" not in cells:
        return [
            "The alias challenger was not looked at: reports/ does not name its cells; run"
            " `dvc repro`."
        ]
    digest = evaluation_set_sha256(cells[cells["set"] == "val"])
    return propose_winners(table, repository / "models", digest, "see the warning")


def _wanted(repository: Path, names: list[str]) -> list[str]:
    """The networks that compare would rank: those in params.yaml, where there is one."""
    path = repository / "params.yaml"
    return list(params.load(path).architectures) if path.is_file() else names


def _is_evaluated(report_dir: Path) -> bool:
    return all((report_dir / name).is_file() for name in ("metrics.json", "predictions.csv"))
