"""All networks: torchvision's answers block by block, and what is frozen stays frozen."""

import pytest
import torch
import torchvision.models as tv

from wbc.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD
from wbc.backbones import Network, load_start
from wbc.errors import UserError

NAMES = tuple(ARCHITECTURES)


def network(name: str, frozen_batch_norm: bool = False) -> Network:
    torch.manual_seed(0)
    return Network(name, dropout=0.0, frozen_batch_norm=frozen_batch_norm)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_compute_what_torchvision_computes(name: str) -> None:
    net = network(name).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        ours = net(images)
        normalised = (images - net.mean) / net.std
        theirs = net.net(normalised)
    assert ours.shape == (2, 5)
    if name.startswith("squeezenet"):  # torchvision's head ends in a ReLU, ours does not
        return
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_googlenet_takes_pixels_as_torchvision_transforms_them() -> None:
    torch.manual_seed(0)
    theirs = tv.googlenet(
        weights=None, num_classes=5, aux_logits=False, init_weights=False, transform_input=True
    ).eval()
    ours = network("googlenet").eval()
    load_start(ours, theirs.state_dict(), "theirs")
    ours.net.fc.load_state_dict(theirs.fc.state_dict())
    images = torch.rand(2, 3, 64, 64)
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs((images - mean) / std), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_the_head_sees_and_the_logits_are_the_same(name: str) -> None:
    net = network(name)
    net.eval().freeze()
    images = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        logits, features = net.with_features(images)
        assert torch.equal(logits, net(images))
    head = net.net.get_submodule(net.architecture.head)
    weight, bias = head.parameters()
    assert features.shape == (3, weight.shape[1])
    again = features @ weight.flatten(1).T + bias  # a convolution's mean is that of the means
    assert torch.allclose(again, logits, atol=1e-4)


def test_a_network_that_learns_shows_no_features() -> None:
    with pytest.raises(ValueError, match="frozen"):
        network("resnet18").with_features(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("name", NAMES)
def test_unfreezing_lets_head_then_upper_then_most_then_all_blocks_learn(name: str) -> None:
    net = network(name)
    total = sum(p.numel() for p in net.parameters())
    trained = {}
    for what in ("head", "upper", "most", "all"):
        net.unfreeze(what)
        trained[what] = sum(p.numel() for p in net.parameters() if p.requires_grad)
    head = sum(p.numel() for p in net.head_parameters())
    assert trained["head"] == head < trained["upper"] < trained["most"] < trained["all"] == total
    body = sum(p.numel() for p in net.body_parameters("upper"))
    assert head + body == trained["upper"]


@pytest.mark.parametrize("name", NAMES)
def test_most_blocks_are_those_of_at_most_28_pixels(name: str) -> None:
    net = network(name)
    net.eval().unfreeze("most")
    first = net.blocks[net.first_trained - 1 : net.first_trained + 1]
    sides = []
    for block in first:
        module = block.parts[-1]
        assert isinstance(module, torch.nn.Module)
        module.register_forward_hook(lambda _m, _i, out: sides.append(out.shape[-1]))
    with torch.no_grad():
        net.learned(net.frozen(torch.rand(1, 3, 224, 224)))
    assert sides[-1] in (27, 28)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_moves_what_learns_and_nothing_else(name: str) -> None:
    net = network(name)
    net.unfreeze("upper")
    net.train()
    before = {k: v.clone() for k, v in net.net.state_dict().items()}
    learns = {k for k, p in net.net.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=1.0)
    net(torch.rand(4, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    moved = {k for k, v in net.net.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {k for k in moved if "running_" in k or "num_batches" in k}
    assert moved - statistics <= learns
    assert moved & {k for k in learns if k.startswith(net.architecture.head)}
    trunk = [m for block in net.blocks[: net.first_trained] for m in block.parts]
    assert not any(m.training for m in trunk if isinstance(m, torch.nn.Module))


def test_frozen_batch_norm_keeps_its_statistics() -> None:
    for frozen in (True, False):
        net = network("resnet18", frozen_batch_norm=frozen)
        net.unfreeze("all")
        net.train()
        before = net.net.layer4[0].bn1.running_mean.clone()
        net(torch.rand(4, 3, 64, 64))
        assert torch.equal(net.net.layer4[0].bn1.running_mean, before) is frozen


def test_a_file_of_1000_classes_with_auxiliary_heads_fills_all_but_the_head() -> None:
    torch.manual_seed(1)
    file = tv.googlenet(weights=None, aux_logits=True, init_weights=False).state_dict()
    net = network("googlenet")
    head = net.net.fc.weight.clone()
    load_start(net, file, "googlenet.pth")
    assert torch.equal(net.net.conv1.conv.weight, file["conv1.conv.weight"])
    assert torch.equal(net.net.fc.weight, head)


@pytest.mark.parametrize(("name", "build"), [("resnet18", tv.resnet18)])
def test_a_file_whose_head_has_another_name_fits(name: str, build: type) -> None:
    load_start(network(name), build(weights=None).state_dict(), "file.pth")


def test_the_file_of_another_network_is_refused_by_name() -> None:
    other = tv.mobilenet_v2(weights=None).state_dict()
    with pytest.raises(UserError, match=r"other\.pth does not fit .* tensors differ"):
        load_start(network("resnet18"), other, "other.pth")
