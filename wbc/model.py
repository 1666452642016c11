"""A trained model as two files: model.safetensors (weights) and model.json (its card).

The card says everything that is needed to use the weights: classes, input, priors, decision.
Both files are deterministic; the SHA-256 over them is the model's identity.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from wbc.backbones import Network
from wbc.errors import UserError, one_line

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "model.json"


Card = dict[str, Any]  # model.json, see wbc/card.py


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode with its card."""

    network: Network
    card: Card
    device: str

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities (N, 5) of squares (N, S, S, 3), for the training set's class mix."""
        with torch.inference_mode():
            images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
            logits = self.network(images).float().cpu()
            prior = torch.tensor(self.card["log_prior"])
            probabilities: NDArray[np.float32] = torch.softmax(logits + prior, dim=1).numpy()
        return probabilities

    def decide(self, probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
        """Class indices (N,): with logit adjustment as if every class were equally frequent."""
        return decide(probabilities, self.card)


def decide(probabilities: NDArray[np.floating[Any]], card: Card) -> NDArray[np.int64]:
    """argmax of p, or of p over the training prior (Menon et al. 2021, arXiv 2007.07314, eq. 9)."""
    if card["decision"] == "logit_adjustment":
        prior = np.exp(np.array(card["log_prior"]))
        return np.asarray((probabilities / prior).argmax(axis=1), dtype=np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def save(folder: Path, network: Network, card: Card) -> None:
    """Write both files; equal content gives equal bytes (safetensors without metadata)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.cpu().contiguous() for name, tensor in network.net.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    text = json.dumps(card, indent=2, sort_keys=True, allow_nan=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path, device: str = "cpu") -> Classifier:
    """Read a model that `save` wrote.

    Raises:
        UserError: a file is missing or damaged, or the two do not belong together.
    """
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        network = Network(card["architecture"], dropout=0.0, frozen_batch_norm=True)
        network.net.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{folder} holds no readable model ({one_line(error, 120)}); restore it with"
            " `dvc checkout`, or train it again with `dvc repro`."
        ) from None
    network.eval().freeze()
    network.to(device).to(memory_format=torch.channels_last)
    return Classifier(network, card, device)


def num_parameters(folder: Path) -> int:
    """How many numbers were learned or could have been: all tensors but batch-norm statistics."""
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    with safe_open(folder / WEIGHTS_FILE, framework="numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith(statistics))


def model_sha256(folder: Path) -> str:
    """The model's identity: SHA-256 over the bytes of model.safetensors, then of model.json."""
    digest = hashlib.sha256()
    for name in (WEIGHTS_FILE, CARD_FILE):
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
