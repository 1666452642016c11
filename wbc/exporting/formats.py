"""An exported graph as the bytes of a file, with the model's card in it."""

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wbc.errors import UserError
from wbc.exporting.whole import INPUT, OUTPUTS, Whole
from wbc.model import CARD_FILE, Card, Outputs

OPSET: Final = 18  # ONNX 1.13 of 2022, which old runtimes read too
MISSING: Final = (
    "ONNX needs packages that are not installed; type: pip install -r requirements-onnx.txt."
)
USAGE: Final = (
    "squares: uint8, (batch, size, size, 3), RGB, made from a picture as model.json's input says."
    " logits: softmax(logits) are probabilities for the class mix of the training set, in the order"
    " of model.json's classes. With its temperature T and log_prior they are calibrated:"
    " softmax((logits - log_prior) / T + log_prior). Where its decision is logit_adjustment, the"
    " class is argmax(logits - log_prior), else argmax(logits). Not a medical device."
)

Run = Callable[[NDArray[np.uint8]], Outputs]  # squares (N, S, S, 3) to what a file says of them


def metadata(card: Card, sha256: str) -> dict[str, str]:
    """What stands in the file beside the graph, for whoever has nothing but the file."""
    return {
        CARD_FILE: json.dumps(card, sort_keys=True, allow_nan=False),
        "model_sha256": sha256,
        "usage": USAGE,
    }


def to_onnx(network: Whole, example: Tensor, notes: Mapping[str, str]) -> bytes:
    """One ONNX file, weights inside; the same bytes for the same model and packages.

    torch's older exporter, because it needs a second where the newer one, which takes what
    `program_of` gives, needs 20 for the same graph (docs/export.md).

    Raises:
        UserError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise UserError(MISSING) from None
    stream: Any = io.BytesIO()  # torch's types name paths alone
    with _quiet():
        torch.onnx.export(
            network,
            (example,),
            stream,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *OUTPUTS)},
            opset_version=OPSET,
            dynamo=False,
        )
    proto = onnx.load_from_string(stream.getvalue())
    onnx.helper.set_model_props(proto, dict(notes))
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def to_pt2(program: torch.export.ExportedProgram, notes: Mapping[str, str]) -> bytes:
    """One archive as `torch.export.load` reads it; the notes are its extra files."""
    stream = io.BytesIO()
    with _quiet():
        torch.export.save(program, stream, extra_files=dict(notes))
    return stream.getvalue()


def run_pt2(content: bytes) -> Run:
    """The file at work in PyTorch."""
    with _quiet():
        network = torch.export.load(io.BytesIO(content)).module()

    def run(squares: NDArray[np.uint8]) -> Outputs:
        with torch.no_grad():
            logits, features = network(torch.from_numpy(squares))
        return Outputs(logits.numpy(), features.numpy())

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say to their own developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), Path(os.devnull).open("w") as nothing:
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(nothing):
                yield
    finally:
        logging.disable(level)
