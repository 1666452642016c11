"""Which network judges, and what runs it: PyTorch, or ONNX Runtime on the CPU."""

import argparse
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wbc import device, model, reference
from wbc.errors import UserError
from wbc.predicting import version_code
from wbc.reference import Reference
from wbc.tracking.adapt import model_folder

log = logging.getLogger(__name__)

FILE: Final = ".onnx"


@dataclass(frozen=True)
class Chosen:
    """A classifier, and what of it an unfinished prediction records: other answers if it differs.

    `usual`: what is usual for the model; None for one that carries no reference, and for an ONNX
    file. `identity`: SHA-256 of the model, or of the ONNX file that was given (`is_file`).
    """

    classifier: model.Classifier
    usual: Reference | None
    identity: str
    device: str
    runtime: str
    is_file: bool = False


def choose(options: argparse.Namespace) -> Chosen:
    """What options.model, options.runtime and options.device name.

    options.runtime: torch, onnx, or None: onnx for a file of `export`, else torch.

    Raises:
        UserError: there is no such model, or it does not go with the runtime.
    """
    if str(options.model).lower().endswith(FILE):
        if options.runtime == "torch":
            raise UserError(
                f"{options.model} is for ONNX Runtime; leave --runtime torch out, or give --model a"
                " version or a folder such as models/googlenet."
            )
        return _of_file(Path(options.model))
    if options.runtime == "onnx":
        return _exported(options.model)
    chosen = device.pick(options.device)
    with model_folder(options.model, Path.cwd()) as folder:
        classifier, sha256 = model.load(folder, chosen.type), model.model_sha256(folder)
        usual = reference.read(folder / reference.REFERENCE_FILE)
        version_code.warn(folder)
    log.info("%s (%s) on %s", classifier.card["architecture"], sha256[:8], chosen.name)
    return Chosen(classifier, usual, sha256, chosen.type, "torch")


def _of_file(path: Path) -> Chosen:
    from wbc.exporting import onnx_runtime

    onnx_runtime.check_installed()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--model names {path}, which cannot be read ({error.strerror}); `python -m wbc export"
            f" --out {path}` makes one from a version."
        ) from None
    name = device.pick("cpu").name
    classifier = onnx_runtime.classifier_of(content, str(path))
    return _with_onnx(classifier, None, hashlib.sha256(content).hexdigest(), name, is_file=True)


def _exported(version: str) -> Chosen:
    """A version or a folder, exported now and kept nowhere."""
    from wbc.exporting import command, onnx_runtime

    onnx_runtime.check_installed()
    name = device.pick("cpu").name
    with model_folder(version, Path.cwd()) as folder:
        loaded, sha256 = model.load(folder), model.model_sha256(folder)
        usual = reference.read(folder / reference.REFERENCE_FILE)
        version_code.warn(folder)
    log.info(
        "Exporting %s to ONNX for this run; `python -m wbc export` makes a file that --model takes,"
        " which starts faster.",
        loaded.card["architecture"],
    )
    content, _ = command.exported(loaded, sha256, "onnx", f"the export of {version}")
    return _with_onnx(onnx_runtime.classifier_of(content, version), usual, sha256, name)


def _with_onnx(
    classifier: model.Classifier,
    usual: Reference | None,
    identity: str,
    name: str,
    is_file: bool = False,
) -> Chosen:
    from wbc.exporting import onnx_runtime

    words = onnx_runtime.words()
    sha256 = getattr(classifier, "sha256", identity)
    log.info("%s (%s) with %s on %s", classifier.card["architecture"], sha256[:8], words, name)
    return Chosen(classifier, usual, identity, "cpu", words, is_file)
