"""`python -m wbc export`: a version or a model's folder to one checked file."""

import argparse
import logging
from pathlib import Path
from typing import Final

from wbc import device, model
from wbc.cells import CLASSICAL
from wbc.disk import is_full, write_whole
from wbc.errors import UserError
from wbc.exporting import check, formats, onnx_runtime
from wbc.exporting.whole import Whole, example_of, program_of
from wbc.predicting import version_code
from wbc.tracking.adapt import model_folder

log = logging.getLogger(__name__)

WORDS: Final = {"onnx": f"ONNX, opset {formats.OPSET}", "pt2": "torch.export"}


def run(options: argparse.Namespace) -> None:
    """Export what options.model names as options.format to options.out.

    Raises:
        UserError: no such model, none with a graph, a package is missing, the file says something
            else than PyTorch, or cannot be written.
    """
    out = Path(options.out) if options.out else None
    if out:
        _check_out(out, options.format)
    if options.format == "onnx":
        onnx_runtime.check_installed()
    device.pick("cpu")
    with model_folder(options.model, Path.cwd()) as folder:
        classifier, sha256 = model.load(folder), model.model_sha256(folder)
        version_code.warn(folder)
    architecture = classifier.card["architecture"]
    out = out or Path(f"{architecture}-{sha256[:8]}.{options.format}")
    content, parity = exported(classifier, sha256, options.format, str(out))
    try:
        write_whole(out, content)
    except OSError as error:
        reason = "no space is left on the disk" if is_full(error) else error.strerror
        raise UserError(
            f"{out} cannot be written ({reason}); mend that, or name another --out."
        ) from None
    log.info(
        "%s: %s (%s) as %s, any batch, %.1f MB; on %d drawn cells the classes are PyTorch's and the"
        " logits within %.1g of the largest (at most %g is allowed).",
        out, architecture, sha256[:8], WORDS[options.format], len(content) / 1e6,
        parity.num_squares, parity.logits, check.TOLERANCE,
    )  # fmt: skip


def exported(
    classifier: model.Classifier, sha256: str, kind: str, name: str
) -> tuple[bytes, check.Parity]:
    """The content of a file that was found to say what `classifier` says.

    sha256: of the model; kind: onnx or pt2; name: what to call the file in a sentence.

    Raises:
        UserError: it says something else; there is no network in the model; a package is missing.
    """
    if classifier.card["architecture"] == CLASSICAL:
        raise UserError(
            "The classical baseline measures features by hand and has no network, so there is"
            " nothing to export; choose a network's model with --model. `python -m wbc predict`"
            " runs the baseline as it is."
        )
    network, example = Whole(classifier), example_of(classifier.card)
    notes = formats.metadata(classifier.card, sha256)
    if kind == "pt2":
        content = formats.to_pt2(program_of(network, example), notes)
        return content, check.check(classifier, formats.run_pt2(content), name)
    content = formats.to_onnx(network, example, notes)
    runtime = onnx_runtime.classifier_of(content, name)
    return content, check.check(classifier, runtime.outputs, name)


def _check_out(out: Path, kind: str) -> None:
    if out.suffix.lower() != f".{kind}":
        raise UserError(
            f"--out should end in .{kind}, which is what --format {kind} writes, but is {out}."
        )
    if out.is_dir():
        raise UserError(f"--out should name a file, but {out} is a folder.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"The folder for {out} is not there; make it, or name another --out.")
