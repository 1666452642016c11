"""Grad-CAM lies where the evidence lies, is CAM where there is one, and shows the right cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from tests.wbc.decisions import predictions
from tests.wbc.stores import SIZE, make_store
from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.explain import (
    KINDS,
    captions,
    choose,
    class_maps,
    explain,
    grad_cam,
    has_gradcam,
    margins,
    preferred_sets,
    split,
)
from wbc.metrics import predictions_table
from wbc.model import Classifier

EVEN = [float(np.log(0.2))] * 5
POOLED_AND_LINEAR = ("googlenet", "resnet18", "mobilenet_v2", "shufflenet_v2_x1_0")


def classifier(name: str) -> Classifier:
    torch.manual_seed(0)
    network = Network(name, 0.0, True).eval()
    network.freeze()
    return Classifier(network, {"log_prior": EVEN, "decision": "argmax"}, "cpu")


def test_the_map_peaks_where_the_evidence_lies() -> None:
    """A network that knows class 1 by red and class 0 by its absence."""
    images = torch.zeros(2, 3, 64, 64)
    images[0, 0, 40:48, 8:16] = 1
    images[1, 0, 0:8, 56:64] = 1
    weights = torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]])

    def body(x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, 8)

    def head(x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)) @ weights.T

    maps = class_maps(body, head, images, torch.tensor([1, 1]))
    assert [divmod(int(one.argmax()), 8) for one in maps] == [(5, 1), (0, 7)]
    assert class_maps(body, head, images, torch.tensor([0, 0])).abs().max() == 0


@pytest.mark.parametrize("name", POOLED_AND_LINEAR)
def test_it_is_cam_where_a_linear_layer_follows_the_mean(name: str) -> None:
    """Zhou et al. 2016: the features weighted by the linear layer's row; a mean of h x w places
    hands each of them one (h w)-th of the gradient."""
    network = classifier(name).network
    body, head = split(network)
    images, classes = torch.rand(3, 3, 64, 96), torch.tensor([0, 3, 4])
    features = body(images)
    linear = network.net.get_submodule(network.architecture.head).weight[classes]
    cam = torch.einsum("nk,nkhw->nhw", linear, features).relu() / features[0, 0].numel()
    maps = class_maps(body, head, images, classes)
    assert maps.abs().max() > 0
    assert torch.allclose(maps, cam, atol=1e-5 * float(cam.max()))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_has_maps_of_its_own_answers(name: str) -> None:
    one = classifier(name)
    assert has_gradcam(one)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():  # as when it was evaluated, which may leave folded copies behind
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        expected = one.network(images)
    body, head = split(one.network)
    assert body(images).dim() == 4
    assert torch.allclose(
        head(body(images)), expected, atol=1e-5 * float(expected.abs().max()) + 1e-6
    )
    maps = grad_cam(one, pixels, np.array([0, 2, 4]))
    assert maps.shape == (3, 64, 64) and maps.dtype == np.float32
    assert maps.min() >= 0 and set(maps.max(axis=(1, 2)).round(5)) <= {0.0, 1.0}
    assert (maps == grad_cam(one, pixels, np.array([0, 2, 4]))).all()


def test_a_classifier_without_network_has_none() -> None:
    assert not has_gradcam(object())


def test_kinds_are_the_surest_and_the_closest() -> None:
    table = predictions([0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 2, 1], [0.9, 0.99, 0.51, 0.8, 0.95, 1])
    chosen = choose(table, EVEN, ["val"], num_each=1)
    found = {(row["label"], row["kind"]): row["path"] for _, row in chosen.iterrows()}
    assert found == {
        ("neutrophil", "correct"): "1.png",
        ("neutrophil", "wrong"): "4.png",
        ("neutrophil", "near-threshold"): "2.png",
        ("lymphocyte", "correct"): "5.png",
    }
    assert list(chosen["row"]) == [1, 4, 2, 5]
    assert captions(chosen)[:2] == ["neutrophil 99%", "neutrophil →\nmonocyte 95%"]


def test_tests_come_first_and_no_set_is_asked_that_is_not_named() -> None:
    table = predictions([0, 0, 0, 0], [1, 1, 1, 1], [0.9, 0.6, 0.7, 0.8])
    table["set"] = ["val", "test", "krd-wbc", "test"]
    sets = preferred_sets(["val", "test", "krd-wbc"])
    assert sets == ["test", "krd-wbc", "val"]
    assert list(choose(table, EVEN, sets, 3)["path"]) == ["3.png", "1.png", "2.png", "0.png"]
    assert list(choose(table, EVEN, sets, 3)["row"]) == [1, 0, 0, 0]
    assert list(choose(table, EVEN, ["val"], 3)["path"]) == ["0.png"]


def test_the_margin_is_that_of_the_decision() -> None:
    """0.9 against 0.1 is a tie for classes of which one is nine times as frequent."""
    cells = pd.DataFrame({"path": ["a"], "split": "val", "group": "", "label": "neutrophil"})
    given = np.array([[0.9, 0.1, 0, 0, 0]])
    table = predictions_table(cells, np.array([0]), given)
    assert margins(table, EVEN)[0] == pytest.approx(np.log(9))
    prior = [float(np.log(p)) for p in (0.9, 0.1, 0.5, 0.5, 0.5)]
    assert margins(table, prior)[0] == pytest.approx(0, abs=1e-6)


def test_all_of_it_on_a_store(tmp_path: Path) -> None:
    store, one = make_store(tmp_path), classifier("squeezenet1_1")
    tables = []
    for name in ("val", "test"):
        part = store.part(name)
        given = one.probabilities(part.read(list(range(len(part)))))
        tables.append(predictions_table(part.table, one.decide(given), given))
    table = pd.concat(tables, ignore_index=True)
    shown = explain(one, store, table, num_each=2)
    assert shown.pixels.shape == (len(shown.cells), SIZE, SIZE, 3)
    assert set(shown.cells["kind"]) <= set(KINDS) and set(shown.cells["label"]) == set(CLASSES)
    assert not shown.cells["path"].duplicated().any()
    first = shown.cells.iloc[0]
    part = store.part(first["set"])
    position = list(part.table["path"]).index(first["path"])
    assert (shown.pixels[0] == part.read([position])[0]).all()
    parts = [shown.of_kind(kind) for kind in KINDS]
    assert sum(len(part.maps) for part in parts) == len(shown.maps)
