"""Weights that a network starts from, read from a file of any origin."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import load_file, save_file

from wbc.architectures import ARCHITECTURES
from wbc.backbones import Network, load_start
from wbc.disk import is_file
from wbc.errors import UserError, one_line
from wbc.start import WEIGHTS_FILE


def convert(architecture: str, source: Path, target: Path) -> None:
    """Check `source` against the network; write `target`/start.safetensors, without pickle.

    Raises:
        UserError: the file is missing or unreadable, or does not hold this network's weights.
    """
    if not is_file(source):
        raise UserError(
            f"model.weights names {source}, which is not there; bring it with"
            f" `dvc import-url /your/file data/weights/{source.name}`."
        )
    state = _read(source)
    load_start(Network(architecture, 0.0, frozen_batch_norm=True), state, source.name)
    dropped = ARCHITECTURES[architecture].dropped
    kept = {k: v.contiguous() for k, v in state.items() if not (dropped and k.startswith(dropped))}
    save_file(kept, target / WEIGHTS_FILE)


def load_into(network: Network, folder: Path) -> None:
    """Fill `network`, all but its head, from what `weights.resolve` wrote; random stays so."""
    path = folder / WEIGHTS_FILE
    if path.is_file():
        load_start(network, load_file(path), str(path))


def _why(error: Exception, source: Path) -> str:
    """torch's own words about what it does not unpickle say how to run the code in the file."""
    if not isinstance(error, UnpicklingError):
        return one_line(error, 120)
    with source.open("rb") as file:
        head = file.read(20)
    if head.startswith((b"PK", b"\x80")):
        return "it holds other objects than tensors, which could run code and are never loaded"
    return f"it begins with {head.decode(errors='replace')!r}"


def _read(source: Path) -> dict[str, torch.Tensor]:
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{source.name} cannot be read as weights ({_why(error, source)}); a torchvision state"
            " dict (.pth) or a .safetensors file is expected."
        ) from None
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise UserError(
            f"{source.name} holds no state dict of tensors; save the network with"
            " `torch.save(model.state_dict(), path)`."
        )
    return state
