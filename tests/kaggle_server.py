"""Serves a folder as a Kaggle data set, so that the real kagglehub client downloads it.

    with KaggleServer(tree, "masoudnickparvar/white-blood-cells-dataset") as server:
        subprocess.run([...], env={**os.environ, **server.environment(tmp_path)})

kagglehub has no setting for an address of its own. Its environment LOCALHOST speaks to
http://localhost, and `requests` sends that through HTTP_PROXY, which this server plays.
"""

import base64
import hashlib
import io
import json
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.loopback import LoopbackServer, RangedFile, redirect, send

SERVICE = "/api/v1/datasets.DatasetApiService"
GET_DATASET = f"{SERVICE}/GetDataset"
ARCHIVE = "/storage/archive.zip"


class KaggleServer(LoopbackServer):
    """`tree`'s content is version `version` of the data set `handle` (owner/name)."""

    def __init__(self, tree: Path, handle: str, version: int = 1, num_cuts: int = 0) -> None:
        archive = zipped(tree)
        md5 = base64.b64encode(hashlib.md5(archive).digest()).decode()
        self.file = RangedFile(archive, num_cuts=num_cuts, headers={"x-goog-hash": f"md5={md5}"})
        self._handle, self._version = handle, version
        super().__init__(
            {
                GET_DATASET: self._get_dataset,
                f"{SERVICE}/DownloadDataset": redirect(f"http://localhost{ARCHIVE}"),
                ARCHIVE: self.file,
            }
        )

    def environment(self, folder: Path) -> dict[str, str]:
        """Variables that lead kagglehub here; its cache goes below `folder`."""
        empty = folder / "no-credentials"
        empty.mkdir(parents=True, exist_ok=True)
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "KAGGLEHUB_CACHE": str(folder / "kagglehub"),
            "KAGGLE_CONFIG_DIR": str(empty),
            "HTTP_PROXY": self.url,
            "http_proxy": self.url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def _get_dataset(self, handler: BaseHTTPRequestHandler) -> None:
        asked = json.loads(getattr(handler, "body", b"") or b"{}")
        if f"{asked.get('ownerSlug')}/{asked.get('datasetSlug')}" != self._handle:
            error = json.dumps({"code": 404, "message": f"no data set {asked}"}).encode()
            send(handler, error, 404, {"Content-Type": "application/json"})
            return
        answer = json.dumps({"currentVersionNumber": self._version}).encode()
        send(handler, answer, headers={"Content-Type": "application/json"})


def serve(server: KaggleServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead this process's kagglehub to `server` for the length of a test."""
    for name, value in server.environment(folder).items():
        monkeypatch.setenv(name, value)


def zipped(tree: Path) -> bytes:
    """All files below `tree` as a zip, as Kaggle packs a data set."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(tree))
    return buffer.getvalue()
