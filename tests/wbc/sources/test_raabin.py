"""Raabin-WBC: the published layout in its variants, the smear, and the real kagglehub client."""

import shutil
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path, PurePosixPath

import pytest

from tests.kaggle_server import ARCHIVE, GET_DATASET, KaggleServer, serve, zipped
from tests.loopback import send, stalled
from wbc import fetching
from wbc.errors import UserError
from wbc.fetching import NoNetwork
from wbc.params import RaabinSource
from wbc.sources import raabin

FILES = (
    "Train/Neutrophil/95-8-10-1_430_1.jpg",
    "Train/Neutrophil/95-8-10-2_12_2.jpg",
    "Train/Basophil/20190526_162951_0.jpg",
    "Test-A/Neutrophil/95-8-10-3_1_1.jpg",
    "Test-B/Lymphocyte/95-9-1-1_1_1.jpg",
)


def source(path: str = "kaggle") -> RaabinSource:
    return RaabinSource("raabin", "raabin", "auto", path)


def make_tree(folder: Path, files: tuple[str, ...] = FILES) -> Path:
    for number, name in enumerate(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (40_000 + number))
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0, 0, 0))
    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("95-8-10-1_430_1.jpg", "95-8-10-1"),
        ("20190526_162951_0.jpg", "20190526"),
        ("cell7.jpg", ""),
        ("Basophil_3.jpg", ""),
    ],
)
def test_smear_is_read_from_the_file_name(name: str, expected: str) -> None:
    assert raabin.smear(name) == expected


@pytest.mark.parametrize("layout", ["{}", "raabin-wbc/{}", "a/b/{}"])
def test_layout_is_found_below_other_folders_and_in_any_case(layout: str) -> None:
    images = [PurePosixPath(layout.format(name)) for name in FILES]
    changed = [
        PurePosixPath(
            str(path)
            .replace("Test-A", "TestA")
            .replace("Train/", "TRAIN/Train/")
            .replace("Neutrophil", "NEUTROPHILS")
        )
        for path in images
    ]
    for paths in (images, changed):
        cells = raabin.cells_of_layout(paths, "raabin", "x")
        assert [cell.official_split for cell in cells] == ["train"] * 3 + ["test_a", "test_b"]
        assert [cell.label for cell in cells] == [
            "neutrophil",
            "neutrophil",
            "basophil",
            "neutrophil",
            "lymphocyte",
        ]


def test_test_b_may_be_absent_and_strangers_are_named(caplog: pytest.LogCaptureFixture) -> None:
    images = [PurePosixPath(name) for name in (*FILES[:-1], "logo.png", "Train/cover.png")]
    cells = raabin.cells_of_layout(images, "raabin", "x")
    assert len(cells) == 4
    assert "no Test-B" in caplog.text
    assert "2 images outside" in caplog.text
    assert "logo.png" in caplog.text


def test_images_whose_folders_contradict_each_other_or_are_masks_are_strangers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strangers = ("Train/Neutrophil/Monocyte/1.jpg", "Test-A/Neutrophil/nuclei_mask/2.png")
    images = [PurePosixPath("Band1", name) for name in (*FILES, *strangers)]
    cells = raabin.cells_of_layout(images, "raabin", "x")
    assert [cell.label for cell in cells][2:] == ["basophil", "neutrophil", "lymphocyte"]
    assert "skipped 2 images outside" in caplog.text


def test_missing_test_a_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"Train and Test-A.*found train and 0 images"):
        raabin.cells_of_layout([PurePosixPath(FILES[0])], "raabin", "x")


@pytest.mark.parametrize("packed", [False, True])
def test_material_at_hand(tmp_path: Path, packed: bool) -> None:
    tree = make_tree(tmp_path / "data/incoming/raabin")
    if packed:
        (tmp_path / "data/incoming/raabin.zip").write_bytes(zipped(tree))
    path = "data/incoming/raabin.zip" if packed else "data/incoming/raabin"
    table = raabin.fetch(source(path), tmp_path / "raw", tmp_path)
    assert sorted(table["path"]) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "raw" / name).read_bytes() == (tree / name).read_bytes()
    assert sorted(entry.name for entry in (tmp_path / "raw").iterdir()) == [
        "Test-A",
        "Test-B",
        "Train",
    ]


def test_kagglehub_downloads_resumes_and_needs_no_second_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree")
    with KaggleServer(tree, raabin.HANDLE, num_cuts=2) as server:
        serve(server, tmp_path, monkeypatch)
        table = raabin.fetch(source(), tmp_path / "raw", tmp_path)
        gets = [headers for method, path, headers in server.requests if path == ARCHIVE]
        assert any("range" in headers for headers in gets), "a broken-off download was not resumed"
        num_requests = len(gets)
        shutil.rmtree(tmp_path / "raw")
        raabin.fetch(source(), tmp_path / "raw", tmp_path)
        assert sum(path == ARCHIVE for _, path, _ in server.requests) == num_requests
    assert sorted(table["path"]) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "raw" / name).read_bytes() == (tree / name).read_bytes()


def test_cached_version_serves_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with KaggleServer(make_tree(tmp_path / "tree"), raabin.HANDLE, version=12) as server:
        serve(server, tmp_path, monkeypatch)
        raabin.fetch(source(), tmp_path / "raw", tmp_path)
    shutil.rmtree(tmp_path / "raw")
    table = raabin.fetch(source(), tmp_path / "raw", tmp_path)
    assert len(table) == len(FILES)
    assert "cache is used" in caplog.text


def swallowed(*address: object, **options: object) -> None:
    """A connection into a network that drops every packet."""
    time.sleep(4)
    raise TimeoutError


def test_without_network_the_alternatives_are_named_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetching.socket, "create_connection", swallowed)
    monkeypatch.setattr(fetching, "CONNECT_DEADLINE", 0.2)
    begin = time.monotonic()
    with pytest.raises(
        NoNetwork, match=r"no answer.*dvc import-url /your/raabin\.zip data/incoming"
    ):
        raabin.fetch(source(), tmp_path / "raw", tmp_path)
    assert time.monotonic() - begin < 3


def test_refusal_of_kaggle_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KaggleServer(make_tree(tmp_path / "tree"), "someone/else") as server:
        serve(server, tmp_path, monkeypatch)
        with pytest.raises(UserError, match=r"Kaggle refuses .* 404.*dvc import-url"):
            raabin.fetch(source(), tmp_path / "raw", tmp_path)


def test_overloaded_kaggle_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KaggleServer(make_tree(tmp_path / "tree"), raabin.HANDLE) as server:
        answer, busy = server.routes[GET_DATASET], [503, 429]

        def sometimes(handler: BaseHTTPRequestHandler) -> None:
            send(handler, b"", busy.pop()) if busy else answer(handler)

        server.routes[GET_DATASET] = sometimes
        serve(server, tmp_path, monkeypatch)
        assert len(raabin.fetch(source(), tmp_path / "raw", tmp_path)) == len(FILES)


def test_credentials_are_sent_where_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KaggleServer(make_tree(tmp_path / "tree"), raabin.HANDLE) as server:
        serve(server, tmp_path, monkeypatch)
        (tmp_path / "no-credentials/kaggle.json").write_text("{}")
        with pytest.raises(UserError, match=r"kaggle\.json.*mend or remove it"):
            raabin.fetch(source(), tmp_path / "raw", tmp_path)
        monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
        raabin.fetch(source(), tmp_path / "raw", tmp_path)
        assert server.requests[0][2]["authorization"] == "Bearer secret"


def test_damaged_archive_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KaggleServer(make_tree(tmp_path / "tree"), raabin.HANDLE) as server:
        server.file.data, server.file.headers = b"no archive" * 100, {}
        serve(server, tmp_path, monkeypatch)
        with pytest.raises(UserError, match="could not be downloaded in 4 attempts"):
            raabin.fetch(source(), tmp_path / "raw", tmp_path)
        assert not list(tmp_path.rglob("*.archive"))


def test_stalled_server_does_not_hold_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KaggleServer(make_tree(tmp_path / "tree"), raabin.HANDLE) as server:
        server.routes[ARCHIVE] = stalled
        serve(server, tmp_path, monkeypatch)
        monkeypatch.setattr(fetching, "READ_TIMEOUT", 0.2)
        begin = time.monotonic()
        with pytest.raises(UserError, match="4 attempts"):
            raabin.fetch(source(), tmp_path / "raw", tmp_path)
        assert time.monotonic() - begin < 20  # and not 4 times 30 s
