"""MLflow's registry as dictionaries: rules that need thousands of tries are tried on it in
milliseconds (`make mutants`). The same tests run on MLflow itself."""

import shutil
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities import PagedList

from wbc.tracking.store import MODEL, Store


class MemoryClient:
    """What of MlflowClient the registry asks for; like it, every answer is a copy."""

    def __init__(self, home: Path) -> None:
        self.home, self.tracking_uri = home, "memory"
        self.tags: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self.versions: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.made = 0

    def get_registered_model(self, name: str) -> Any:
        assert name == MODEL
        return SimpleNamespace(tags=dict(self.tags), aliases=dict(self.aliases))

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        assert name == MODEL and isinstance(key, str) and isinstance(value, str)
        assert len(value) <= 5000
        self.tags[key] = value

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        assert name == MODEL
        self.tags.pop(key, None)

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        assert alias
        self.get_model_version(name, version)
        self.aliases[alias] = str(version)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        assert name == MODEL
        self.aliases.pop(alias, None)

    def create_model_version(
        self, name: str, source: str, run_id: str, tags: dict[str, str]
    ) -> Any:
        assert name == MODEL
        self.made += 1
        number = str(self.made)
        self.versions[number] = SimpleNamespace(
            version=number, source=source, run_id=run_id, tags=dict(tags)
        )
        return self.get_model_version(name, number)

    def get_model_version(self, name: str, version: str) -> Any:
        assert name == MODEL
        if str(version) not in self.versions:
            raise _missing(f"version {version}")
        found = self.versions[str(version)]
        return SimpleNamespace(**(vars(found) | {"tags": dict(found.tags)}))

    def delete_model_version(self, name: str, version: str) -> None:
        self.get_model_version(name, version)
        del self.versions[str(version)]
        self.aliases = {alias: n for alias, n in self.aliases.items() if n != str(version)}

    def search_model_versions(self, words: str, page_token: str | None = None) -> Any:
        """All in pages of two, the newest first; or those of one model."""
        named, _, sha256 = words.partition(" and tags.model_sha256 = ")
        assert named == f"name = '{MODEL}'"
        numbers = list(reversed(self.versions))
        found = [self.get_model_version(MODEL, number) for number in numbers]
        if sha256:
            return [one for one in found if f"'{one.tags['model_sha256']}'" == sha256]
        start = int(page_token or 0)
        return PagedList(found[start:][:2], str(start + 2) if start + 2 < len(found) else None)

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.get_model_version(name, version)
        assert isinstance(value, str)
        self.versions[str(version)].tags[key] = value

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        self.get_model_version(name, version)
        self.versions[str(version)].tags.pop(key, None)

    def create_run(self, experiment_id: str, run_name: str) -> Any:
        run_id = uuid.uuid4().hex
        info = SimpleNamespace(run_id=run_id, run_name=run_name, artifact_uri=f"memory:{run_id}")
        data = SimpleNamespace(metrics={}, tags={})
        self.runs[run_id] = SimpleNamespace(info=info, data=data)
        return self.runs[run_id]

    def get_run(self, run_id: str) -> Any:
        if run_id not in self.runs:
            raise _missing(f"run {run_id}")
        return self.runs[run_id]

    def log_metric(self, run_id: str, key: str, value: float) -> None:
        self.get_run(run_id).data.metrics[key] = value

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str) -> None:
        folder = self.home / "runs" / run_id / artifact_path
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(local_path, folder)

    def list_artifacts(self, run_id: str, path: str) -> list[Any]:
        self.get_run(run_id)
        root = self.home / "runs" / run_id
        return [
            SimpleNamespace(path=one.relative_to(root).as_posix()) for one in root.glob(f"{path}/*")
        ]

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        self.get_run(run_id)
        found, target = self.home / "runs" / run_id / path, Path(dst_path) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            return str(shutil.copytree(found, target))
        return str(shutil.copy(found, target))


def memory_store(home: Path) -> Store:
    """An empty registry, connected."""
    return Store(MemoryClient(home), "0", home / "mlruns" / ".lock", home)


def _missing(what: str) -> MlflowException:
    return MlflowException(f"{what} not found", error_code=RESOURCE_DOES_NOT_EXIST)
