"""A trained model as two files: model.safetensors (weights) and model.json (its card).

The card says everything that is needed to use the weights: classes, input, priors, decision.
Both files are deterministic; the SHA-256 over them is the model's identity.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network
from wbc.cells import CLASSES, CLASSICAL
from wbc.errors import UserError, one_line, shown
from wbc.framing import Framing, check_removed

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "model.json"


Card = dict[str, Any]  # model.json, see wbc/card.py


@dataclass(frozen=True)
class Outputs:
    """What a network says of N cells.

    `logits` (N, 5) contain the training set's class mix: their softmax is `probabilities` before
    calibration, and the card's `offsets` where it has some (wbc.blood_mix). `features` (N, D) are
    what the head's last layer saw, averaged over places.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode with its card."""

    network: Network
    card: Card
    device: str

    def outputs(self, pixels: NDArray[np.uint8]) -> Outputs:
        """Logits and features of squares (N, S, S, 3), in one pass through the network.

        Raises:
            UserError: the model's weights give no numbers.
        """
        outputs = self._forward(pixels)
        if not np.isfinite(outputs.logits).all():
            raise UserError(
                "The model answers with what is no number, so its weights are damaged or its"
                " training failed; choose another version with --model, bring the files back with"
                " `dvc checkout`, or lower train.learning_rate and run `dvc repro` again."
            )
        return outputs

    def _forward(self, pixels: NDArray[np.uint8]) -> Outputs:
        with torch.inference_mode():
            images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
            logits, features = self.network.with_features(images)
            logits = logits.float().cpu() + torch.tensor(self.card["log_prior"])
            logits += torch.tensor(self.card.get("offsets", 0.0))
            return Outputs(logits.numpy(), features.float().cpu().numpy())

    def all_outputs(self, batches: Iterable[NDArray[np.uint8]]) -> Outputs:
        """The same for many squares, batch by batch, in their order."""
        parts = [self.outputs(pixels) for pixels in batches]
        logits = np.concatenate([part.logits for part in parts])
        return Outputs(logits, np.concatenate([part.features for part in parts]))

    def probabilities(
        self, pixels: NDArray[np.uint8], calibrated: bool = True
    ) -> NDArray[np.float32]:
        """Class probabilities (N, 5) of squares (N, S, S, 3), for the training set's class mix."""
        return self.probabilities_of(self.outputs(pixels).logits, calibrated)

    def probabilities_of(
        self, logits: NDArray[np.float32], calibrated: bool = True
    ) -> NDArray[np.float32]:
        """Class probabilities (N, 5) from the logits of `outputs`."""
        return probabilities_of(logits, self.card, calibrated)

    def decide(self, probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
        """Class indices (N,): with logit adjustment as if every class were equally frequent."""
        return decide(probabilities, self.card)


def probabilities_of(
    logits: NDArray[np.floating[Any]], card: Card, calibrated: bool = True
) -> NDArray[np.float32]:
    """Softmax of logits (N, K) that contain the training prior, at the card's temperature.

    The temperature T (Guo et al. 2017, arXiv 1706.04599) divides what the network says, not the
    prior: softmax((z - log_prior) / T + log_prior). Where classes are not adjusted (log_prior 0)
    that is Guo's softmax(z / T). With adjustment, p over prior is exp((z - log_prior) / T) but
    for a factor, so `decide` gives the same classes at any temperature, and very high ones end
    in the training mix instead of in even shares. Old cards without a temperature have 1.
    """
    prior = torch.tensor(card["log_prior"])
    temperature = float(card.get("temperature", 1.0)) if calibrated else 1.0
    given = torch.from_numpy(np.asarray(logits, dtype=np.float32))
    if temperature != 1.0:
        given = (given - prior) / temperature + prior
    probabilities: NDArray[np.float32] = torch.softmax(given, dim=1).numpy()
    return probabilities


def decide(probabilities: NDArray[np.floating[Any]], card: Card) -> NDArray[np.int64]:
    """argmax of p, or of p over the training prior (Menon et al. 2021, arXiv 2007.07314, eq. 9).

    The temperature of `probabilities` changes nothing (but where two classes are equal to the last
    digit: whoever needs that too decides on uncalibrated ones).
    """
    if card["decision"] == "logit_adjustment":
        prior = np.exp(np.array(card["log_prior"]))
        return np.asarray((probabilities / prior).argmax(axis=1), dtype=np.int64)
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def save(folder: Path, network: Network, card: Card) -> None:
    """Write both files; equal content gives equal bytes (safetensors without metadata)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.cpu().contiguous() for name, tensor in network.net.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    write_card(folder / CARD_FILE, card)


def write_card(path: Path, card: Card) -> None:
    text = json.dumps(card, indent=2, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_card(folder: Path) -> Card:
    """The card of a model that `save` wrote; its weights are there, but nobody has read them.

    Raises:
        UserError: as `load`.
    """
    with _readable(folder):
        card: Card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        check_card(card, str(folder))
        (folder / WEIGHTS_FILE).stat()
    return card


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """What broken files make of the libraries that read them, as a UserError."""
    try:
        yield
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, SafetensorError) as error:
        raise UserError(
            f"{folder} holds no readable model ({one_line(error, 120)}); restore it with"
            " `dvc checkout`, or train it again with `dvc repro`."
        ) from None


def load(folder: Path, device: str = "cpu", num_processes: int = 1) -> Classifier:
    """Read a model that `save` wrote, of whichever kind.

    num_processes: that measure the hand-made features of the classical baseline.

    Raises:
        UserError: a file is missing or damaged, the two do not belong together, or the squares that
            the model learned from can no longer be made.
    """
    card = read_card(folder)
    with _readable(folder):
        if card["architecture"] == CLASSICAL:
            # Late, because it brings scikit-image, which no network needs.
            from wbc import classical

            return classical.load(folder, card, num_processes)
        network = Network(card["architecture"], dropout=0.0, frozen_batch_norm=True)
        network.net.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return classifier(network, card, device)


def classifier(network: Network, card: Card, device: str) -> Classifier:
    """The network itself, from now on in evaluation mode, frozen and on `device`."""
    network.eval().freeze()
    network.to(device).to(memory_format=torch.channels_last)
    return Classifier(network, card, device)


def check_card(card: Any, owner: str) -> None:
    """What a model is used by must be there and mean something; `owner` begins a UserError.

    Raises:
        ValueError: it was not written by this code, or was damaged since.
        UserError: see wbc.framing.check_removed.
    """
    if not isinstance(card, dict) or not isinstance(card.get("input"), dict):
        raise ValueError(f"{CARD_FILE} has no section input")
    check_removed(card["input"], owner)
    Framing.of(card["input"])
    wanted = {
        "architecture": card.get("architecture") in (*ARCHITECTURES, CLASSICAL),
        "classes": card.get("classes") == list(CLASSES),
        "decision": card.get("decision") in ("logit_adjustment", "argmax"),
        "log_prior": _are_logits(card.get("log_prior")),
        "offsets": _are_logits(card.get("offsets", [0.0] * len(CLASSES))),
        "temperature": _is_number(card.get("temperature", 1.0), 1e-3, 1e3),
    }
    if wrong := [name for name, right in wanted.items() if not right]:
        raise ValueError(f"{wrong[0]} in {CARD_FILE} is {shown(card.get(wrong[0]))}")


def _are_logits(value: object) -> bool:
    """A number for each class; exp of a larger one is none any more."""
    each = value if isinstance(value, list) and len(value) == len(CLASSES) else [None]
    return all(_is_number(number, -80, 80) for number in each)


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high


def parameter(card: Card, name: str) -> Any:
    """A parameter that the model was trained with; None where its card does not say."""
    recorded = card.get("parameters")
    return recorded.get(name) if isinstance(recorded, dict) else None


def num_parameters(folder: Path) -> int:
    """How many numbers were learned or could have been: all tensors but statistics of the data."""
    batch_norm = ("running_mean", "running_var", "num_batches_tracked")
    statistics = (*batch_norm, "scaler.mean", "scaler.scale")
    with _readable(folder), safe_open(folder / WEIGHTS_FILE, framework="numpy") as file:
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
