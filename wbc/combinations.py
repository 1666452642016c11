"""Settings that are possible alone but not together: a sentence for each, before any work."""

import re
from typing import TYPE_CHECKING, Final

from wbc.errors import UserError, shown

if TYPE_CHECKING:
    from wbc.params import Params

RESERVED_NAMES: Final = ("train", "val", "test", "test_a", "test_b", "all")


def check_combinations(params: "Params", file: str) -> None:
    """Refuse what could not be run, or could not mean what was meant.

    Raises:
        UserError: with the keys, their values and the remedy.
    """
    for problem in (
        *_sources(params),
        *_networks(params),
        *_processes(params),
        *_shares(params),
    ):
        raise UserError(f"{file}: {problem}")


def _sources(params: "Params") -> list[str]:
    sources = params.data.sources
    names = [source.name for source in sources]
    problems = [
        f"data.sources has two entries with name {name!r}; rename one."
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    problems += [
        f"data.sources name {name!r} is the name of a built-in evaluation set; choose another."
        for name in names
        if name in RESERVED_NAMES
    ]
    if all(source.role == "external" for source in sources):
        problems.append(
            "every entry of data.sources has role external, so there is nothing to train on; give"
            " at least one the role auto or train."
        )
    external = [source.name for source in sources if source.role == "external"]
    if params.preprocess.crop == "mask" and external:
        problems.append(
            f"preprocess.crop is mask, but source {external[0]!r} has role external, and a result"
            " on another laboratory must not rest on masks that nobody has there; set it to cell."
        )
    for source in sources:
        pattern = getattr(source, "group_pattern", "")
        if pattern and (reason := _bad_pattern(pattern)):
            problems.append(
                f"data.sources group_pattern {shown(pattern)} of {source.name!r} {reason}."
            )
    without = [source.kind for source in sources if source.kind in ("sample", "raabin")]
    if params.preprocess.crop == "mask" and without:
        problems.append(
            f"preprocess.crop is mask, but a source of kind {without[0]} has no masks; set it to"
            " cell."
        )
    return problems


def _bad_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression ({error}); correct it, for example '^([^_]+)_'"
    return "" if groups else "has no parentheses around the smear; write, for example, '^([^_]+)_'"


def _networks(params: "Params") -> list[str]:
    train, weights = params.train, params.model.weights
    problems = []
    if len(set(params.architectures)) < len(params.architectures):
        problems.append("architectures names a network twice; keep one of them.")
    if len(set(train.seeds)) < len(train.seeds):
        problems.append(
            f"train.seeds is {list(train.seeds)}, which trains the same twice; keep one of each."
        )
    if weights != "none" and train.head_epochs >= train.epochs and train.unfreeze != "head":
        problems.append(
            f"train.head_epochs is {train.head_epochs} of train.epochs {train.epochs}, so"
            f" unfreeze: {train.unfreeze} would never begin; lower it or set unfreeze: head."
        )
    if weights == "none" and train.unfreeze == "head":
        problems.append(
            "model.weights is none and train.unfreeze is head, so the network would stay random"
            " below its head; set train.unfreeze: all or model.weights: imagenet."
        )
    if train.cache_views and (weights == "none" or train.unfreeze == "all"):
        problems.append(
            f"train.cache_views is {train.cache_views}, but with train.unfreeze: {train.unfreeze}"
            f" and model.weights: {weights} no layer is frozen; set cache_views: 0, or unfreeze:"
            " upper and model.weights: auto."
        )
    if weights == "none" and train.batch_norm == "frozen":
        problems.append(
            "train.batch_norm is frozen but model.weights is none, so there are no statistics to"
            " keep; set train.batch_norm: auto."
        )
    return problems


def _processes(params: "Params") -> list[str]:
    train, problems = params.train, []
    if train.launcher == "none" and train.processes > 1:
        problems.append(
            f"train.processes is {train.processes} but train.launcher is none, which starts one;"
            " set train.launcher: torchrun or train.processes: 1."
        )
    if train.batch_size % train.processes or train.batch_size < 2 * train.processes:
        near = max(2, round(train.batch_size / train.processes)) * train.processes
        problems.append(
            f"train.batch_size is {train.batch_size}, which cannot be shared evenly by"
            f" train.processes {train.processes}, two cells or more each; set it to {near}."
        )
    return problems


def _shares(params: "Params") -> list[str]:
    split = params.split
    if split.val_share + split.test_share <= 0.8:
        return []
    return [
        f"split.val_share {split.val_share} and split.test_share {split.test_share} leave less than"
        " a fifth to train on; lower one."
    ]
