"""`python -m wbc relocate`: MLflow's database after the repository was moved or copied."""

from pathlib import Path

from filelock import FileLock, Timeout

from wbc.errors import UserError, without_password
from wbc.tracking import move as tracking_move
from wbc.tracking.database import check_writable, file_of
from wbc.tracking.store import lock_file, uri

_SECONDS = 5  # to wait for whoever holds the lock


def relocate(repository: Path) -> list[str]:
    """Let the database name the folder that it lies in; sentences that say what was done.

    Raises:
        UserError: MLflow is a server, the database is not there, in use or read-only.
    """
    address = uri(repository)
    database = file_of(address)
    if database is None:
        raise UserError(
            "relocate mends the database in mlruns/ after a move, but MLFLOW_TRACKING_URI is"
            f" {without_password(address)}, a server that keeps its own files; unset it"
            " and type the same again."
        )
    if not database.is_file():
        return [f"Nothing to mend: there is no {database} yet."]
    check_writable(database)
    try:
        with FileLock(lock_file(address, repository), timeout=_SECONDS):
            done = tracking_move.relocate(database)
    except Timeout:
        raise UserError(
            f"{database} is in use by another process of this project; wait for it and type the"
            " same again."
        ) from None
    if done is None:
        return [f"Nothing to mend: {database} names the folder that it lies in."]
    return _words(database, done)


def _words(database: Path, done: tracking_move.Brought) -> list[str]:
    old = " and ".join(str(home) for home in done.old_homes)
    sentences = [
        f"The database as it was is kept in {done.kept}.",
        f"{done.num_rows} paths named {old} and now name {database.parent}.",
    ]
    if done.num_folders:
        sentences.append(
            f"{done.num_folders} folders of runs or models had been written to {old} after the move"
            " and were copied from there; what is left there is not needed here."
        )
    if done.missing:
        lost = ", ".join(path.parent.name for path in done.missing)
        sentences.append(f"The files of these models are in neither place: {lost}.")
    return sentences
