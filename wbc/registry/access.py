"""Opening the registry for a command of a person: what fails there is said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from wbc.errors import UserError, one_line, without_password
from wbc.registry import aliases, champion
from wbc.registry.versions import all_versions
from wbc.tracking import store as tracking_store
from wbc.tracking.store import MODEL, Store

_RECORD: Final = ("model_sha256", "architecture")  # tags of every version


@contextmanager
def opened(repository: Path) -> Iterator[Store]:
    """The registry of the repository.

    Raises:
        UserError: whatever MLflow, the database, the network or the lock raise inside; or
            `repository` is none, and a database would be made there.
    """
    if not (repository / "mlruns").is_dir():
        raise UserError(f"{repository} has no mlruns/; run the command from the repository's root.")
    try:
        store = tracking_store.connect(repository)
        aliases.recover(store)
        yield store
    except UserError:
        raise
    except Exception as error:
        address = without_password(tracking_store.uri(repository))
        raise UserError(
            f"The registry at {address} failed ({one_line(error)}), so nothing was changed; check"
            " that the database can be written, or MLFLOW_TRACKING_URI and its server, and type it"
            " again."
        ) from error


def find(store: Store, version: int | None, alias: str) -> Any:
    """The version with this number, or else with this alias.

    Raises:
        UserError: there is none; the message names those that there are, or the champion that went
            away.
    """
    if version is None and alias == champion.CHAMPION:
        champion.check_there(store)
    versions = {str(each.version): each for each in all_versions(store)}
    if not versions:
        raise UserError(
            f"{MODEL} has no version yet; `dvc repro` trains and registers one, and"
            " `python -m wbc sync` registers what was trained while MLflow was away."
        )
    named = store.client.get_registered_model(MODEL).aliases
    number = str(version if version is not None else named.get(alias, ""))
    if number in versions:
        return versions[number]
    what = f"no version {version}" if version is not None else f"no alias {alias}"
    known = ", ".join(named) or "none"
    raise UserError(
        f"{MODEL} has {what}; there are versions {_ranges(list(versions))} (aliases: {known}),"
        " which `python -m wbc list` shows."
    )


def refuse_foreign(version: Any) -> None:
    """Raises UserError for a version without the record that this pipeline gives each of its own.

    MLflow's client and its page register such ones.
    """
    if lacking := [name for name in _RECORD if not version.tags.get(name)]:
        raise UserError(
            f"Version {version.version} was not registered by this pipeline (it has no tag"
            f" {lacking[0]}), so nothing says what its files should be or how they were made; name"
            " another, which `python -m wbc list` shows, or train one with `dvc repro`."
        )


def _ranges(numbers: list[str]) -> str:
    shown = numbers if len(numbers) <= 10 else [*numbers[:2], "...", *numbers[-3:]]
    return ", ".join(shown)
