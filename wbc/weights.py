"""Where a network starts from: ImageNet weights, a file, or random initialisation.

Downstream of this everything is offline: the resolved weights are written as safetensors with a
`start.json` that says what they are.
"""

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from wbc.cells import CLASSICAL
from wbc.errors import UserError, one_line
from wbc.fetching import Unavailable, download
from wbc.start import CARD_FILE, WEIGHTS_FILE, Start

log = logging.getLogger(__name__)

HUB = "https://download.pytorch.org/models"
# torchvision's IMAGENET1K_V1 of each network; the digits in a name begin the file's SHA-256.
IMAGENET_FILES = {
    "googlenet": "googlenet-1378be20.pth",
    "mobilenet_v2": "mobilenet_v2-b0353104.pth",
    "mobilenet_v3_small": "mobilenet_v3_small-047dcff4.pth",
    "mobilenet_v3_large": "mobilenet_v3_large-8738ca79.pth",
    "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc.pth",
    "squeezenet1_0": "squeezenet1_0-b66bff10.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
    "shufflenet_v2_x1_0": "shufflenetv2_x1-5666bf0f80.pth",
    "resnet18": "resnet18-f37072fd.pth",
}


def resolve(architecture: str, choice: str, root: Path, target: Path) -> Start:
    """Write `target`/start.json and, unless random, `target`/start.safetensors.

    Args:
        choice: `auto` (a file of the network's name in data/weights, else ImageNet's, else
            random), `imagenet`, `none`, or a path relative to `root` in which `{architecture}`
            stands for the network's name.

    Raises:
        UserError: the choice cannot be met (`auto` never raises for want of a network).
    """
    target.mkdir(parents=True, exist_ok=True)
    start = _resolve(architecture, choice, root, target)
    text = json.dumps(asdict(start), indent=2, sort_keys=True)
    (target / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    return start


def _resolve(architecture: str, choice: str, root: Path, target: Path) -> Start:
    if architecture == CLASSICAL:  # hand-made features need no starting weights
        return Start(architecture, "none", "", "")
    if choice == "none":
        return Start(architecture, "random", "", "")
    if choice not in ("auto", "imagenet"):
        return _from_file(
            architecture, root / choice.replace("{architecture}", architecture), target
        )
    at_hand = _at_hand(architecture, root / "data" / "weights")
    if at_hand and (choice == "auto" or _is_published(architecture, at_hand)):
        log.info("%s starts from %s", architecture, at_hand.name)
        return _from_file(architecture, at_hand, target)
    try:
        return _from_file(architecture, _imagenet(architecture), target)
    except Unavailable as error:
        if choice == "imagenet":
            raise UserError(
                f"model.weights is imagenet, but the weights cannot be had ({one_line(error)});"
                f" bring {IMAGENET_FILES[architecture]} to data/weights/ by hand, or set"
                " model.weights: auto to start from random weights."
            ) from None
        note = (
            f"{architecture} starts from RANDOM weights, because ImageNet's could not be"
            " downloaded; expect lower scores. When they can be had, try again with:"
            f" dvc repro --force --single-item weights@{architecture} && dvc repro"
        )
        log.warning("WARNING: %s (The reason: %s)", note, one_line(error))
        return Start(architecture, "random", "", note)


def _at_hand(architecture: str, folder: Path) -> Path | None:
    """A file that was brought to data/weights, by the network's or by its published name."""
    names = (f"{architecture}.pth", f"{architecture}.safetensors", IMAGENET_FILES[architecture])
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _is_published(architecture: str, path: Path) -> bool:
    """Whether the file is torchvision's own, by the digits that its name carries."""
    return sha256_of(path).startswith(_published_digits(architecture))


def _published_digits(architecture: str) -> str:
    return IMAGENET_FILES[architecture].rsplit("-", 1)[1].removesuffix(".pth")


def _from_file(architecture: str, source: Path, target: Path) -> Start:
    from wbc.weight_files import convert  # brings torch, which random weights do not wait for

    convert(architecture, source, target)
    sha256 = sha256_of(target / WEIGHTS_FILE)
    kind: Literal["imagenet", "file"]
    kind = "imagenet" if _is_published(architecture, source) else "file"
    return Start(architecture, kind, sha256, "")


def _imagenet(architecture: str) -> Path:
    """The published file, in torch's own cache (TORCH_HOME) like torchvision's downloads."""
    import torch  # late, as above

    name = IMAGENET_FILES[architecture]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    if cached.is_file() and _is_published(architecture, cached):
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    return download(f"{HUB}/{name}", cached, sha256_prefix=_published_digits(architecture))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
