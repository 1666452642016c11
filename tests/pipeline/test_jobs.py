"""The profiles, run whole and shrunk in size only, against servers on this machine.

Kaggle is served as `tests/kaggle_server.py` does, with drawn cells under Raabin's file names;
Mendeley's zip of KRD-WBC with drawn fields and the published defects of its table. Weights have
torchvision's format: 1000 classes, GoogLeNet's auxiliary heads, statistics of their own.
"""

import hashlib
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision.models as tv
from safetensors.torch import load_file

from tests.kaggle_server import KaggleServer, zipped
from tests.loopback import LoopbackServer, RangedFile
from tests.pipeline.conftest import Repository, commit, make_repository
from wbc.backbones import Network
from wbc.params import SampleSource
from wbc.sources import raabin, sample

pytestmark = pytest.mark.pipeline
SHRUNK = {
    "preprocess__input_size": 64,
    "train__epochs": 2,
    # On weights that are no real ImageNet's a head epoch is the best one; none, and the epoch that
    # is kept has trained the upper layers.
    "train__head_epochs": 0,
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


def publish_at(repository: Repository, module: str, **constants: str) -> None:
    """Let the clone believe that what it downloads is published elsewhere."""
    path = repository.path / module
    text = path.read_text(encoding="utf-8")
    for name, value in constants.items():
        text, count = re.subn(rf'(\b{name}"?[ =:]+)"[^"]+"', rf'\1"{value}"', text, count=1)
        assert count == 1, f"{module} has no {name}"
    path.write_text(text, encoding="utf-8")


def run_profile(
    folder: Path,
    profile: str,
    data: dict[str, str],
    module: str,
    environment: dict[str, str],
    stages: tuple[str, ...] = (),
) -> Repository:
    """Merge the profile into a new clone, shrink it, and run it; weights come from loopback."""
    name, content = imagenet_file(folder)
    (folder / "clone").mkdir()
    repository = make_repository(folder / "clone")
    repository.run("python", "-m", "wbc", "params", profile)
    repository.set(**SHRUNK)
    with LoopbackServer({f"/models/{name}": RangedFile(content)}) as hub:
        publish_at(repository, "wbc/weights.py", HUB=f"{hub.url}/models", googlenet=name)
        publish_at(repository, module, **data)
        commit(repository, f"the job {profile}, shrunk")
        repository.environment.update(environment, TORCH_HOME=str(folder / "torch"))
        repository.run("dvc", "repro", *stages)
    return repository


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Raabin-WBC."""
    folder = tmp_path_factory.mktemp("raabin")
    source = SampleSource(kind="sample", name="raabin", role="auto", num_cells=300, image_size=160)
    sample.fetch(source, folder / "tree", folder)
    with KaggleServer(folder / "tree", raabin.HANDLE) as kaggle:
        environment = kaggle.environment(folder)
        return run_profile(folder, "raabin", {}, "wbc/sources/raabin.py", environment)


def krd_zip(folder: Path) -> bytes:
    """Drawn cells as KRD-WBC: fields, masks, and a table with the published defects."""
    source = SampleSource(kind="sample", name="krd", role="auto", num_cells=300, image_size=160)
    drawn = sample.fetch(source, folder / "drawn", folder)
    rows = ["\ufeffImage ID,Categoriy"]
    for number, (path, label) in enumerate(zip(drawn["path"], drawn["label"], strict=True), 1):
        for kind in ("image", "mask"):
            target = folder / "krd" / "Dataset" / kind / f"{kind}{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((folder / "drawn" / path).read_bytes())
        rows.append(f"{'Imaeg' if number == 40 else 'Image'}{number},{label.capitalize()}")
    table = "\n".join(rows) + "\n"
    (folder / "krd" / "class labels.csv").write_text(table, encoding="utf-8")
    return zipped(folder / "krd")


def test_the_krd_wbc_profile_runs_to_a_registered_model(tmp_path: Path) -> None:
    with LoopbackServer({"/krd": RangedFile(krd_zip(tmp_path))}) as mendeley:
        url = {"URL": f"{mendeley.url}/krd"}
        module, last = "wbc/sources/krd_wbc.py", ("evaluate@googlenet",)
        job = run_profile(tmp_path, "krd-wbc", url, module, {}, last)
    [version] = job.versions()
    assert version.tags["start"] == "imagenet"
    assert list(job.metrics("googlenet")) == ["val", "test"]
    metadata = pd.read_csv(job.path / "data/raw/metadata.csv", keep_default_na=False)
    assert len(metadata) > 290 and metadata["mask"].str.endswith(".jpg").all()


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
