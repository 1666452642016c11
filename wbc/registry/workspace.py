"""`checkout`: git and DVC back in the state that made a version."""

from pathlib import Path
from typing import Final

from wbc.errors import UserError
from wbc.lineage import cache as lineage_cache
from wbc.lineage import dvc as lineage_dvc
from wbc.lineage import git as lineage_git
from wbc.lineage import state as lineage
from wbc.registry import access, origin
from wbc.registry.origin import Origin

_EMPTY: Final = "d751713988987e9331980363e24189ce.dir"  # a folder without files; DVC makes none


def checkout(repository: Path, reference: str) -> list[str]:
    """Bring the workspace to the state that made a version; sentences that say what was done.

    Raises:
        UserError: there is no such version, its commit is not here, or work would be lost. Nothing
            was changed then.
    """
    with access.opened(repository) as store:
        found = origin.read(store, reference)
    if not lineage_git.has_commit(repository, found.commit):
        raise UserError(
            f"Commit {found.commit} of version {found.version} is not in this repository; `git"
            " fetch` may bring it, else run the command where it was trained."
        )
    _refuse_uncommitted(repository)
    lock = lineage_dvc.without_contradictions(found.lock)
    try:
        state = lineage_git.record_state(repository, found.commit, found.patch, {"dvc.lock": lock})
    except lineage_git.GitError as error:
        raise UserError(
            f"The recorded changes of version {found.version} do not fit its commit"
            f" {found.commit[:12]} ({' '.join(str(error).split())[:160]}); nothing was changed."
        ) from None
    _, back = lineage_git.position(repository)
    _switch(repository, state, back)
    return _sentences(repository, found, state, back, lock)


def _refuse_uncommitted(repository: Path) -> None:
    changed = lineage_git.changed_files(repository)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"Uncommitted changes would be lost ({', '.join(changed[:3])}{more}); commit them, or"
            " put them aside with `git stash`, and run the same command again."
        )


def _switch(repository: Path, state: str, back: str) -> None:
    """Files of git, then data of DVC; where the second refuses, the first is undone."""
    try:
        lineage_git.switch_to(repository, f"--detach {state}")
    except lineage_git.GitError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.startswith("\t")]
        what = ", ".join(lines[:3]) or " ".join(str(error).split())[:200]
        raise UserError(
            f"Files that git does not follow are in the way ({what}); move them away and run the"
            " same command again. Nothing was changed."
        ) from None
    try:
        unsaved = lineage_dvc.checkout(repository)
    except BaseException:
        lineage_git.switch_to(repository, back)
        raise
    if unsaved:
        lineage_git.switch_to(repository, back)
        more = f" and {len(unsaved) - 3} more" if len(unsaved) > 3 else ""
        raise UserError(
            f"Data would be lost that DVC's cache does not have ({', '.join(unsaved[:3])}{more});"
            " save them with `dvc commit` or `dvc add`, or remove them, and run the same command"
            " again. Nothing was changed."
        )


def _sentences(repository: Path, found: Origin, state: str, back: str, lock: bytes) -> list[str]:
    said = [f"The workspace is at {found.words}, on no branch."]
    if state != found.commit:
        what = "its uncommitted changes and " if found.patch else ""
        said.append(
            f"On top of it lies a commit ({state[:12]}) with {what}the dvc.lock of its run."
        )
    if found.patch_note:
        said.append(f"Not restored, since it was not recorded: {found.patch_note}.")
    missing = _missing(repository, lock)
    if missing:
        said.append(
            f"Not in DVC's cache: {', '.join(missing)}; `dvc pull` brings them from the remote."
        )
    if f"evaluate@{found.architecture}" not in lineage.stages_of(lock):
        said.append("`dvc repro` brings reports and comparison, which its dvc.lock does not name.")
    said.append(f"Back: `git switch {back}` and `dvc checkout`. To work on from here, first"
                " `git switch -c NAME`.")  # fmt: skip
    return said


def _missing(repository: Path, lock: bytes) -> list[str]:
    """Data of the checked-out state that neither the workspace has nor DVC's cache.

    A dvc.lock keeps the stages of networks that params.yaml no longer names; DVC brings none of
    their outputs, and nobody needs them.
    """
    defined = lineage_dvc.stage_names(repository)
    locked = {name: stage for name, stage in lineage.stages_of(lock).items() if name in defined}
    outs = {
        out["path"]: [out["md5"]]
        for stage in locked.values()
        for out in stage.get("outs", [])
        if out.get("md5", _EMPTY) != _EMPTY
    }
    for pointer in repository.glob("data/*/*.dvc"):
        path = pointer.with_suffix("").relative_to(repository).as_posix()
        outs[path] = sorted(lineage_cache.hashes_in(pointer.read_bytes()))
    gone = {path: names for path, names in outs.items() if not (repository / path).exists()}
    if not gone:
        return []
    cache = lineage_cache.Cache(lineage_dvc.cache_dir(repository), {})
    return [path for path, names in gone.items() if not all(map(cache.holds, names))]
