"""An ONNX file at work on the CPU, in the place of a network."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wbc.cells import CLASSES
from wbc.errors import UserError, one_line, shown
from wbc.exporting.formats import MISSING
from wbc.exporting.whole import INPUT, OUTPUTS
from wbc.model import CARD_FILE, Classifier, Outputs, check_card


@dataclass(frozen=True)
class OnnxClassifier(Classifier):
    """A classifier like the networks', with the same logits and features but for last digits."""

    network: None  # type: ignore[assignment]
    session: Any
    sha256: str  # of the model that the file was made from

    def _forward(self, pixels: NDArray[np.uint8]) -> Outputs:
        return Outputs(*self.session.run(OUTPUTS, {INPUT: pixels}))


def check_installed() -> None:
    """Raises UserError where onnxruntime is not installed."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        raise UserError(MISSING) from None


def classifier_of(content: bytes, name: str) -> OnnxClassifier:
    """An exported file's content, on as many threads as torch has.

    name: what to call the file in a sentence.

    Raises:
        UserError: onnxruntime is not installed; this is no ONNX file, or not one of `export`, also
            where it has the card of one.
    """
    check_installed()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    # Threads that wait in a busy loop would take the cores from the processes that prepare.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        notes = session.get_modelmeta().custom_metadata_map
        card = json.loads(notes[CARD_FILE])
        check_card(card, name)
        classifier = OnnxClassifier(None, card, "cpu", session, notes["model_sha256"])
        _try(classifier)
        return classifier
    except Exception as error:  # onnxruntime's own have no common class
        raise UserError(
            f"{name} is no file that `python -m wbc export` made ({one_line(error, 120)}); make it"
            " again from its model."
        ) from None


def _try(classifier: OnnxClassifier) -> None:
    """Raises ValueError or onnxruntime's own errors where the graph is none that goes with the
    card. What a graph says of its outputs' shapes need not be so; hence the black squares."""
    size, session = classifier.card["input"]["size"], classifier.session
    inputs = [(each.name, each.type, each.shape[1:]) for each in session.get_inputs()]
    outputs = tuple(each.name for each in session.get_outputs())
    if inputs != [(INPUT, "tensor(uint8)", [size, size, 3])] or outputs != OUTPUTS:
        raise ValueError(f"its graph makes {shown(outputs, 60)} of {shown(inputs, 60)}")
    for num in (1, 2):
        given = classifier.outputs(np.zeros((num, size, size, 3), np.uint8))
        if given.logits.shape != (num, len(CLASSES)) or given.features.shape[:-1] != (num,):
            shapes = f"{given.logits.shape} and {given.features.shape}"
            raise ValueError(f"its graph makes {shapes} of {num} squares")


def words() -> str:
    """Runtime and version, for the log and for what an unfinished prediction records."""
    return f"ONNX Runtime {version('onnxruntime')}"
