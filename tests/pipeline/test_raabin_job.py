"""The owner's job, whole: the raabin profile, shrunk in size only, against local servers.

Kaggle is served as `tests/kaggle_server.py` does, with drawn cells under Raabin's file names.
GoogLeNet's file has torchvision's format: 1000 classes, auxiliary heads, statistics of its own.
"""

import hashlib
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision.models as tv
from safetensors.torch import load_file

from tests.kaggle_server import KaggleServer
from tests.loopback import LoopbackServer, RangedFile
from tests.pipeline.conftest import Repository, commit, make_repository
from wbc.backbones import Network
from wbc.params import SampleSource
from wbc.sources import raabin, sample

pytestmark = pytest.mark.pipeline
SHRUNK = {
    "preprocess__size": 64,
    "train__epochs": 2,
    "train__head_epochs": 1,
    "train__batch_size": 16,
    "train__threads": 1,
}


def imagenet_file(folder: Path) -> tuple[str, bytes]:
    """GoogLeNet as torchvision publishes it, and the name that its hash gives it."""
    torch.manual_seed(3)
    net = tv.googlenet(weights=None, aux_logits=True, transform_input=True, init_weights=False)
    net.train()
    net(torch.rand(8, 3, 224, 224))  # batch-norm statistics that are not the initial ones
    torch.save(net.state_dict(), folder / "googlenet.pth")
    content = (folder / "googlenet.pth").read_bytes()
    return f"googlenet-{hashlib.sha256(content).hexdigest()[:8]}.pth", content


def publish_at(repository: Repository, url: str, name: str) -> None:
    """Let the clone believe that torchvision publishes its weights at `url`."""
    module = repository.path / "wbc" / "weights.py"
    text = module.read_text(encoding="utf-8")
    text = re.sub(r'HUB = "[^"]+"', f'HUB = "{url}"', text)
    text = re.sub(r'"googlenet": "[^"]+"', f'"googlenet": "{name}"', text)
    module.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("raabin")
    source = SampleSource(kind="sample", name="raabin", role="auto", num_cells=300, image_size=160)
    sample.fetch(source, folder / "tree", folder)
    name, content = imagenet_file(folder)
    (folder / "clone").mkdir()
    repository = make_repository(folder / "clone")
    repository.run("python", "-m", "wbc", "params", "raabin")
    repository.set(**SHRUNK)
    with (
        KaggleServer(folder / "tree", raabin.HANDLE) as kaggle,
        LoopbackServer({f"/models/{name}": RangedFile(content)}) as hub,
    ):
        publish_at(repository, f"{hub.url}/models", name)
        commit(repository, "the raabin job, shrunk")
        repository.environment.update(kaggle.environment(folder))
        repository.environment["TORCH_HOME"] = str(folder / "torch")
        repository.run("dvc", "repro")
    return repository


def test_it_ends_in_a_registered_model_that_started_from_imagenet(job: Repository) -> None:
    [version] = job.versions()
    [run] = job.runs()
    assert version.tags["architecture"] == "googlenet" and version.tags["start"] == "imagenet"
    assert run.data.tags["start"] == "imagenet" and "start_note" not in run.data.tags
    assert run.data.params["data.sources.raabin.kind"] == "raabin"


def test_upper_layers_are_trained_and_frozen_ones_equal_the_file(job: Repository) -> None:
    trained = load_file(job.path / "models/googlenet/model.safetensors")
    file = torch.load(job.path.parent / "googlenet.pth", weights_only=True)
    network = Network("googlenet", 0.0, frozen_batch_norm=True)
    network.unfreeze("upper")
    learns = {name for name, value in network.net.named_parameters() if value.requires_grad}
    for name, value in trained.items():
        if name in learns:
            assert name.startswith("fc.") or not torch.equal(value, file[name]), name
        else:
            assert value.numpy().tobytes() == file[name].numpy().tobytes(), name
    assert any(name.startswith("inception5b") for name in learns)


def test_test_a_and_test_b_are_evaluated_apart(job: Repository) -> None:
    scores = job.metrics("googlenet")
    assert list(scores) == ["val", "test_a", "test_b"]
    assert (
        set(scores["test_a"]["recall"]) == set(scores["val"]["recall"])
        and len(scores["test_a"]["recall"]) == 5
    )
    assert set(scores["test_b"]["recall"]) == {"neutrophil", "lymphocyte"}
    assert "share_impossible" in scores["test_b"]


def test_validation_shares_no_smear_with_training(job: Repository) -> None:
    cells = pd.read_csv(job.path / "data/split/split.csv", keep_default_na=False)
    smears = {name: set(rows["group"]) for name, rows in cells.groupby("split")}
    assert not smears["train"] & smears["val"]
    assert set(cells[cells["official_split"] == "test_a"]["split"]) <= {"test_a", ""}
