"""The alias challenger: the best version on validation, which a person may promote."""

import time
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wbc.errors import UserError, one_line
from wbc.registry.versions import NAMES_VERSION, find_version
from wbc.tracking import reach as tracking_reach
from wbc.tracking import store as tracking_store
from wbc.tracking.store import MODEL, Store

CHALLENGER: Final = "challenger"
_SYNC: Final = "`python -m wbc sync` does that"
_STARTS: Final = {  # how a version began, by its tag `start`
    "none": "has no starting weights (classical)",
    "random": "started from random weights",
    "imagenet": "started from ImageNet weights",
    "file": "started from the weights in a file",
}
_SETTLED: Final = 1.0  # seconds, in which two requests to a server are surely done


def propose_winners(
    table: pd.DataFrame, models_dir: Path, evaluation_set_sha256: str, unregistered: str = _SYNC
) -> list[str]:
    """Let the best of each start in `compare`'s table become challenger; a sentence each.

    Nothing but the validation score decides. Best effort, as `propose_challenger`.

    Args:
        table: as `wbc.comparison.compare` makes it.
        models_dir: holds ARCHITECTURE/ of each row.
        evaluation_set_sha256: names the validation cells (`pixels.evaluation_set_sha256`).
        unregistered: what to do about a model that has no version yet.
    """
    from wbc.comparison import winners  # brings torch, which promotion does not wait for
    from wbc.tracking.record import identity

    sentences = []
    for architecture in winners(table).values():
        row = table[table["architecture"] == architecture].iloc[0]
        sha256, score = identity(models_dir / architecture), float(row["val/macro_f1"])
        said = propose_challenger(
            sha256, "val/macro_f1", score, evaluation_set_sha256, unregistered
        )
        sentences.append(said)
    return list(dict.fromkeys(sentences))


def propose_challenger(
    sha256: str, metric: str, value: float, evaluation_set_sha256: str, unregistered: str = _SYNC
) -> str:
    """Move the alias challenger to the model if its validation score is better; best effort.

    Only scores on the same evaluation set and models with the same kind of start (ImageNet, a
    file, random) are compared. Returns a sentence that says what was done and why.
    """
    try:
        store = tracking_store.connect()
        with store.lock():
            said, moved = _propose(store, sha256, metric, value, evaluation_set_sha256)
            while moved and _overtaken(store, moved):
                said, moved = _propose(store, sha256, metric, value, evaluation_set_sha256)
            return said or _without_version(store, sha256, unregistered)
    except UserError:  # the stage or command says this sentence itself, once
        return f"The alias {CHALLENGER} was not looked at, because MLflow could not be used."
    except Exception as error:
        reason = one_line(error)
        return f"The alias {CHALLENGER} was not looked at, because MLflow failed ({reason})."


def _overtaken(store: Store, number: str) -> bool:
    """Whether another machine, which looked before version `number` got the alias, took it away.

    The lock is this machine's, and MLflow has no `set unless changed`: where a server is shared,
    everybody looks again when those who looked in the same moment are done.
    """
    if not tracking_reach.is_server(tracking_store.uri(tracking_store.root())):
        return False
    time.sleep(_SETTLED)
    holder = store.client.get_registered_model(MODEL).aliases.get(CHALLENGER)
    return holder is not None and str(holder) != number


def _propose(store: Store, sha256: str, metric: str, value: float, cells: str) -> tuple[str, str]:
    """What was done ("": the model has no version), and the version that the alias moved to."""
    candidate = find_version(store, sha256)
    if candidate is None:
        return "", ""
    number = str(candidate.version)
    for name, text in ((metric, repr(value)), ("evaluation_set_sha256", cells)):
        store.client.set_model_version_tag(MODEL, number, name, text)
    aliases = store.client.get_registered_model(MODEL).aliases
    if CHALLENGER not in aliases:
        _take_first(store, number)
        return f"Version {number} is the first {CHALLENGER}, {metric} {value:.4f}.", number
    holder = store.client.get_model_version(MODEL, aliases[CHALLENGER])
    if str(holder.version) == number:
        return f"Version {number} is {CHALLENGER} already, {metric} {value:.4f}.", ""
    refusal = _refusal(candidate, holder, metric, value, cells)
    if refusal:
        return f"Version {number} does not become {CHALLENGER}: {refusal}", ""
    store.client.set_registered_model_alias(MODEL, CHALLENGER, number)
    return (
        f"Version {number} is the new {CHALLENGER}: {metric} {value:.4f} instead of"
        f" {float(holder.tags[metric]):.4f} of version {holder.version}.",
        number,
    )


def _without_version(store: Store, sha256: str, unregistered: str) -> str:
    """What to do about a model without a version; one that a person deleted does not come back."""
    from wbc.tracking.publish import find_run

    stays = f"The alias {CHALLENGER} stays: the model {sha256[:8]}"
    run = find_run(store, sha256)
    tag = next((name for name in NAMES_VERSION if run and name in run.data.tags), None)
    if run is None or tag is None:
        return f"{stays} is not registered; {unregistered}."
    return (
        f"{stays} was version {run.data.tags[tag]}, which was deleted in MLflow; to register it"
        f" again, remove the tag {tag} of its run {run.info.run_name} in the MLflow UI and run"
        " `python -m wbc sync`."
    )


def _take_first(store: Store, number: str) -> None:
    """Make the alias for the version, or let whoever made it in the same moment have it.

    A server's database refuses the second of two that make an alias at once; `_overtaken` then
    sees whose it is.
    """
    from mlflow.exceptions import MlflowException

    try:
        store.client.set_registered_model_alias(MODEL, CHALLENGER, number)
    except MlflowException:
        if CHALLENGER not in store.client.get_registered_model(MODEL).aliases:
            raise


def _refusal(candidate: Any, holder: Any, metric: str, value: float, cells: str) -> str:
    """Why the candidate must not take the alias from its holder; "" if it may."""
    remedy = (
        f"to choose anew, remove the alias {CHALLENGER} in the MLflow UI and run"
        " `python -m wbc sync`."
    )
    if holder.tags.get("start") != candidate.tags.get("start"):
        return (
            f"it {_start(candidate)}, version {holder.version} {_start(holder)}, and these are not"
            f" ranked together; {remedy}"
        )
    if holder.tags.get("evaluation_set_sha256") != cells or metric not in holder.tags:
        return f"version {holder.version} was not scored on the same validation cells; {remedy}"
    if value <= float(holder.tags[metric]):
        return (
            f"its {metric} {value:.4f} is not above {float(holder.tags[metric]):.4f}"
            f" of version {holder.version}."
        )
    return ""


def _start(version: Any) -> str:
    named = str(version.tags.get("start", "unknown"))
    return _STARTS.get(named, f"started from {named}")
