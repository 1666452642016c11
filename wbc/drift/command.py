"""`python -m wbc drift`: is this folder like what the model was made from?"""

import argparse
import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from wbc import device, model, out_folder, reference
from wbc.drift import report
from wbc.drift.findings import Cells, compare, folder_cells, joined, usual_cells
from wbc.drift.report import Report
from wbc.drift.verdict import EXIT_STATUS, conclude
from wbc.errors import UserError
from wbc.model import Card, Classifier
from wbc.picture_statistics import NAMES, picture_statistics
from wbc.predicting.command import NO_MASKS, batched, framing_of, lacks_masks
from wbc.predicting.inputs import Inputs
from wbc.predicting.preparing import prepared
from wbc.predicting.rows import Row, judge
from wbc.processes import signals_raise
from wbc.reference import Reference
from wbc.sources.incoming import clean_name
from wbc.tracking import drift as tracking_drift
from wbc.tracking.adapt import model_folder

log = logging.getLogger(__name__)

NOT_COMPARABLE: Final = (
    "The reference was made of crops by masks, so distances, confidence and the measures of the"
    " pictures cannot be compared with it as usual: they may differ for that reason alone."
)
NUM_SHOWN: Final = 3  # files that cannot be read, by name
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Words:
    """What a model and a reference are called."""

    model: str
    reference: str


@dataclass
class Folder:
    """The cells that could be read, batch by batch, and what became of the other files.

    `problems`: `path: reason` of the first NUM_SHOWN of the `num_unreadable`.
    """

    batches: list[Cells] = field(default_factory=list)
    num_unlocated: int = 0
    num_unreadable: int = 0
    problems: list[str] = field(default_factory=list)


def run(options: argparse.Namespace) -> None:
    """Compare options.paths with the model's reference, write options.out, log it, say it.

    The exit status is the verdict's.

    Raises:
        UserError: no such model or folder, no reference or another model's, nothing that can be
            read, OUT of something else.
    """
    out = Path(options.out)
    out_folder.check(out, report.MARKER)
    inputs = Inputs(options.paths, sys.stdin.buffer)
    inputs.check()
    chosen = device.pick(options.device)
    with model_folder(options.model, Path.cwd()) as folder:
        classifier = model.load(folder, chosen.type)
        sha256 = model.model_sha256(folder)
        path = Path(options.reference) if options.reference else folder / reference.REFERENCE_FILE
        known = read_reference(path, sha256, named=bool(options.reference))
    name = clean_name(options.name or Path(options.paths[0]).resolve().name)
    log.info("%s (%s) on %s", classifier.card["architecture"], sha256[:8], chosen.name)
    with signals_raise():
        seen = look(inputs, classifier, known)
    if not seen.batches:
        raise UserError(
            f"None of the {seen.num_unreadable} files of {name} can be read (first"
            f" {seen.problems[0]}), so nothing can be compared."
        )
    words = Words(
        f"{classifier.card['architecture']} ({sha256[:8]})",
        f"the reference {clean_name(options.reference)}" if options.reference else "its reference",
    )
    said = report_of(seen, classifier, known, name, words)
    try:
        report.write(said, out)
    except OSError as error:
        raise UserError(
            f"{error.filename or out} cannot be written ({error.strerror}); name another --out."
        ) from None
    tell(said, seen.problems, out)
    tracking_drift.publish(Path.cwd(), out, tags(said, options.model, sha256), report.numbers(said))
    sys.exit(EXIT_STATUS[said.verdict.word])


def read_reference(path: Path, sha256: str, named: bool) -> Reference:
    """Raises UserError where there is none, or that of another model than `sha256`."""
    known = reference.read(path)
    if known is None:
        what = f"{path} was expected to be" if named else "The model was expected to have"
        raise UserError(
            f"{what} a {reference.REFERENCE_FILE} with what is usual, which `dvc repro` writes"
            " beside every model that it trains now; train it again, or name one with --reference."
        )
    if known.model and known.model != sha256:
        raise UserError(
            f"{path} is the reference of another model ({known.model[:8]}, not {sha256[:8]}), and"
            " features of two models cannot be compared; take the file that lies beside this"
            " model, or name that other one with --model."
        )
    if named and not known.model:
        log.warning(
            "%s does not say which model it is of, being older than that; if it is another"
            " model's, distances mean nothing.",
            path,
        )
    return known


def look(inputs: Inputs, classifier: Classifier, known: Reference) -> Folder:
    """Judge every picture as `wbc predict` does, and measure its square."""
    seen = Folder()
    ready = prepared(iter(inputs), framing_of(classifier.card))
    with contextlib.closing(ready), tqdm(desc="drift", unit="cell", disable=None) as bar:
        for batch in batched(ready):
            rows = judge(classifier, batch, 0.0, known)
            squares = [one.pixels for one in batch if one.pixels is not None]
            _add(seen, rows, squares, classifier.card)
            bar.update(len(batch))
    if not seen.batches and not seen.num_unreadable:
        raise UserError("No picture was found: stdin was expected to name files, one a line.")
    return seen


def _add(seen: Folder, rows: list[Row], squares: list[Pixels], card: Card) -> None:
    """A batch as numbers: rows of a million cells would fill the memory."""
    read = [row for row in rows if not row["unreadable"]]
    unreadable = [row for row in rows if row["unreadable"]]
    seen.num_unlocated += sum(row["unlocated"] for row in read)
    seen.num_unreadable += len(unreadable)
    num_missing = NUM_SHOWN - len(seen.problems)
    seen.problems += [f"{row['path']}: {row['error']}" for row in unreadable[:num_missing]]
    if read:
        table = picture_statistics(squares)
        seen.batches.append(
            folder_cells(read, {name: table[name].to_numpy() for name in NAMES}, card)
        )


def report_of(
    seen: Folder, classifier: Classifier, known: Reference, name: str, words: Words
) -> Report:
    """The comparison and what it comes to."""
    card = classifier.card
    found, usual = joined(seen.batches), usual_cells(known, card)
    classes = tuple(card["classes"])
    findings = compare(found, usual, len(classes))
    verdict = conclude(findings, found, usual, classes)
    if lacks_masks(card):
        verdict = replace(verdict, notes=(NO_MASKS, NOT_COMPARABLE, *verdict.notes))
    return Report(
        name,
        words.model,
        f"{words.reference}, {len(usual):,} validation cells",
        classes,
        found,
        usual,
        seen.num_unreadable,
        seen.num_unlocated,
        tuple(findings),
        verdict,
    )


def tell(said: Report, problems: list[str], out: Path) -> None:
    for sentence in sentences(said, problems, out):
        log.info("%s", sentence)


def sentences(said: Report, problems: list[str], out: Path) -> Iterator[str]:
    verdict = said.verdict
    yield f"{said.name}: {verdict.word.upper()}. {verdict.sentence}"
    yield from (f"  {sentence}" for sentence in verdict.reasons)
    yield from (f"  {sentence}" for sentence in (*report.read_words(said), *verdict.notes))
    yield from (f"  {problem}" for problem in problems[:NUM_SHOWN])
    yield f"{out / 'drift.html'} shows it; drift.csv and drift.json have the numbers."


def tags(said: Report, model_words: str, sha256: str) -> dict[str, Any]:
    """What a list of months is filtered and sorted by."""
    return {
        "drift.folder": said.name,
        "drift.verdict": said.verdict.word,
        "drift.model": model_words,
        "drift.model_sha256": sha256,
        "drift.reference": said.reference,
        "drift.reasons": " ".join(said.verdict.reasons)[:4000],
        "mlflow.note.content": f"{said.verdict.word.upper()}. {said.verdict.sentence}\n\n"
        + "\n".join(f"- {sentence}" for sentence in said.verdict.reasons),
    }
