"""What others do: torchvision's reference recipe for training, and its strongest setting on a CPU.

Written afresh from the description of torchvision's references/classification (train.py and
presets.py): ImageFolder, DataLoader workers, PIL transforms, SGD with momentum, plain PyTorch,
one loop. Layers below the upper blocks get no gradient in either. On a GPU, as there, memory is
pinned, each core has a worker and cuDNN chooses its fastest algorithms; and the strongest peer
computes in bf16 where the GPU has it, as this project does.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import ConcatDataset, DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models.shufflenetv2 import InvertedResidual
from torchvision.transforms import v2

from wbc.backbones import Network
from wbc.depthwise import Depthwise
from wbc.device import pick

WORKERS_ON_CPU = 2  # more would take the cores from the training
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
Batches = Iterable[tuple[Tensor, Tensor]]


def as_torchvision_has_it(network: Network) -> None:
    """ShuffleNet's units and depthwise convolutions are this project's own otherwise."""
    for module in network.modules():
        if isinstance(module, InvertedResidual):
            module.__class__ = InvertedResidual
        elif isinstance(module, Depthwise):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]


class Reference:
    """The recipe as it stands: NCHW, the whole network in training mode."""

    def __init__(self, architecture: str, place: torch.device) -> None:
        self.place = place
        self.network = Network(architecture, 0.2, frozen_batch_norm=False).to(place)
        as_torchvision_has_it(self.network)
        self.network.unfreeze("upper")
        self.network.net.train()
        learning = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer: Optimizer = SGD(learning, lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def logits(self, images: Tensor) -> Tensor:
        for block in self.network.blocks:
            for part in block.parts:
                images = part(images)
        return images

    def settings(self) -> AbstractContextManager[None]:
        """What holds for the whole process during an epoch."""
        return at_its_fastest(self.place)

    def step(self, images: Tensor, labels: Tensor) -> None:
        loss = F.cross_entropy(self.logits(images), labels, label_smoothing=0.1)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def epoch(self, batches: Batches) -> float:
        """Images a second over one pass."""
        begin, num_images = time.perf_counter(), 0
        with self.settings():
            for images, labels in batches:
                there = (each.to(self.place, non_blocking=True) for each in (images, labels))
                self.step(*there)
                num_images += len(images)
            wait_for(self.place)
        return num_images / (time.perf_counter() - begin)


class StrongestPeer(Reference):
    """The same with channels_last and its trunk in eval mode under no_grad."""

    def __init__(self, architecture: str, place: torch.device) -> None:
        super().__init__(architecture, place)
        self.network.to(memory_format=torch.channels_last)
        first = self.network.first_trained
        self.trunk, self.upper = self.network.blocks[:first], self.network.blocks[first:]
        self.half = place.type == "cuda" and pick().precision != "32-true"
        for block in self.trunk:
            for part in block.parts:
                if isinstance(part, nn.Module):
                    part.eval()

    def logits(self, images: Tensor) -> Tensor:
        x = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.place.type, torch.bfloat16, enabled=self.half):
            with torch.no_grad():
                for block in self.trunk:
                    for part in block.parts:
                        x = part(x)
            for block in self.upper:
                for part in block.parts:
                    x = part(x)
        return x


@contextmanager
def at_its_fastest(place: torch.device) -> Iterator[None]:
    """On a GPU without the determinism that wbc.device switched on for this process."""
    if place.type != "cuda":
        yield
        return
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = False


def wait_for(place: torch.device) -> None:
    """A GPU computes behind the program's back."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def reference_loader(folder: Path, size: int, batch_size: int, times: int = 1) -> Batches:
    """Class folders of images through PIL; the workers stay, so that none starts in an epoch.

    times: how often an epoch has each image.
    """
    on_gpu = torch.cuda.is_available()
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        ConcatDataset([ImageFolder(str(folder), transform)] * times),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=(os.cpu_count() or 1) if on_gpu else WORKERS_ON_CPU,
        pin_memory=on_gpu,
        persistent_workers=True,
    )
