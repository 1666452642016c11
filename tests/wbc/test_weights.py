"""Where a network starts from: published weights from a server, files, nothing, no network."""

import hashlib
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import torch
import torchvision.models as tv
from safetensors.torch import load_file, save_file

from tests.loopback import LoopbackServer, RangedFile, send
from wbc import weights
from wbc.backbones import Network
from wbc.errors import UserError
from wbc.start import read_start
from wbc.weight_files import load_into

SQUEEZENET = "squeezenet1_1"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def published(folder: Path) -> tuple[str, bytes]:
    """A file in torchvision's format under the name it would be published by."""
    torch.manual_seed(5)
    torch.save(tv.squeezenet1_1(weights=None).state_dict(), folder / "file.pth")
    content = (folder / "file.pth").read_bytes()
    return f"{SQUEEZENET}-{hashlib.sha256(content).hexdigest()[:8]}.pth", content


def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "HUB", "http://127.0.0.1:9/models")  # nothing listens there


def test_the_table_is_torchvisions_own() -> None:
    for name, file in weights.IMAGENET_FILES.items():
        assert tv.get_model_weights(name)["IMAGENET1K_V1"].url == f"{weights.HUB}/{file}"


def test_published_weights_are_fetched_checked_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content = published(tmp_path)
    monkeypatch.setitem(weights.IMAGENET_FILES, SQUEEZENET, name)
    with LoopbackServer({f"/models/{name}": RangedFile(content)}) as server:
        monkeypatch.setattr(weights, "HUB", f"{server.url}/models")
        weights.resolve(SQUEEZENET, "auto", tmp_path, tmp_path / "first")
    start = read_start(tmp_path / "first")
    assert (start.start, start.note) == ("imagenet", "")
    network = Network(SQUEEZENET, 0.0, True)
    load_into(network, tmp_path / "first")
    given = torch.load(tmp_path / "file.pth", weights_only=True)["features.0.weight"]
    assert torch.equal(network.net.features[0].weight, given)
    unreachable(monkeypatch)  # the second time it comes from torch's cache
    assert weights.resolve(SQUEEZENET, "imagenet", tmp_path, tmp_path / "second") == start


def test_weights_that_are_not_what_was_published_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content = published(tmp_path)
    monkeypatch.setitem(weights.IMAGENET_FILES, SQUEEZENET, name)
    with LoopbackServer({f"/models/{name}": RangedFile(content[:-9] + b"123456789")}) as server:
        monkeypatch.setattr(weights, "HUB", f"{server.url}/models")
        with pytest.raises(UserError, match="SHA-256"):
            weights.resolve(SQUEEZENET, "auto", tmp_path, tmp_path / "out")


def test_without_a_network_auto_goes_on_loudly_and_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unreachable(monkeypatch)
    began = time.monotonic()
    start = weights.resolve(SQUEEZENET, "auto", tmp_path, tmp_path / "out")
    assert time.monotonic() - began < 10
    assert start.start == "random"
    again = "dvc repro --force --single-item weights@squeezenet1_1 && dvc repro"
    assert again in start.note and again in caplog.text


def test_a_server_that_refuses_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"no", status=403)

    with LoopbackServer({f"/models/{weights.IMAGENET_FILES[SQUEEZENET]}": refuse}) as server:
        monkeypatch.setattr(weights, "HUB", f"{server.url}/models")
        start = weights.resolve(SQUEEZENET, "auto", tmp_path, tmp_path / "out")
    assert start.start == "random" and "403" in caplog.text


def test_without_a_network_imagenet_fails_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable(monkeypatch)
    with pytest.raises(UserError, match=r"model\.weights is imagenet.*data/weights/"):
        weights.resolve(SQUEEZENET, "imagenet", tmp_path, tmp_path / "out")


def test_a_file_is_taken_by_the_networks_name(tmp_path: Path) -> None:
    torch.save(
        tv.googlenet(weights=None, aux_logits=True, init_weights=False).state_dict(),
        tmp_path / "googlenet.pth",
    )
    start = weights.resolve("googlenet", "{architecture}.pth", tmp_path, tmp_path / "out")
    written = load_file(tmp_path / "out" / "start.safetensors")
    assert start.start == "file" and start.sha256
    assert not any(key.startswith("aux") for key in written)


def test_auto_takes_what_lies_in_data_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable(monkeypatch)
    name, content = published(tmp_path)
    folder = tmp_path / "data" / "weights"
    folder.mkdir(parents=True)
    (folder / f"{SQUEEZENET}.pth").write_bytes(content)
    assert weights.resolve(SQUEEZENET, "auto", tmp_path, tmp_path / "a").start == "file"
    with pytest.raises(UserError, match=r"model\.weights is imagenet"):
        weights.resolve(SQUEEZENET, "imagenet", tmp_path, tmp_path / "b")
    monkeypatch.setitem(weights.IMAGENET_FILES, SQUEEZENET, name)  # now it is what was published
    for choice in ("auto", "imagenet"):
        assert weights.resolve(SQUEEZENET, choice, tmp_path, tmp_path / "c").start == "imagenet"


def test_none_writes_no_weights(tmp_path: Path) -> None:
    assert weights.resolve(SQUEEZENET, "none", tmp_path, tmp_path / "out").start == "random"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["start.json"]


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("pickle-was-loaded"),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"x": Harmful()}, "cannot be read as weights"),
        ([1, 2], "holds no state dict"),
        ({"features.0.weight": torch.zeros(1)}, "does not fit the network"),
    ],
)
def test_what_is_no_weights_of_this_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(UserError, match=words):
        weights.resolve(SQUEEZENET, "bad.pth", tmp_path, tmp_path / "out")
    assert not (tmp_path / "pickle-was-loaded").exists()


def test_safetensors_are_taken_and_a_missing_file_is_named(tmp_path: Path) -> None:
    save_file(dict(tv.squeezenet1_1(weights=None).state_dict()), tmp_path / "w.safetensors")
    assert weights.resolve(SQUEEZENET, "w.safetensors", tmp_path, tmp_path / "out").sha256
    with pytest.raises(UserError, match=r"dvc import-url .* data/weights/gone\.pth"):
        weights.resolve(SQUEEZENET, "gone.pth", tmp_path, tmp_path / "out")
