"""`python -m wbc predict`: files, folders and archives to one table, however long it takes."""

import argparse
import contextlib
import dataclasses
import functools
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from tqdm import tqdm

from wbc import model, reference
from wbc.disk import is_full
from wbc.errors import UserError
from wbc.framing import Framing
from wbc.predicting import fields as smear
from wbc.predicting import part as unfinished
from wbc.predicting.formats import encoded, header, suffix_of, write_parquet
from wbc.predicting.found import Found
from wbc.predicting.inputs import Inputs
from wbc.predicting.kept import Keeping, keep
from wbc.predicting.network import choose
from wbc.predicting.part import Part, State, chained, part_path
from wbc.predicting.preparing import Ready, prepared
from wbc.predicting.rows import counted, judge
from wbc.predicting.version_code import code_sha256
from wbc.processes import signals_raise
from wbc.reference import Reference

log = logging.getLogger(__name__)

NO_REFERENCE: Final = (
    f"The model has no {reference.REFERENCE_FILE}, so out_of_domain and distance stay empty; one"
    " that is trained now has it."
)
NO_REFERENCE_IN_FILE: Final = (
    "A .onnx file holds no reference, so out_of_domain and distance stay empty; a version with"
    " --runtime onnx fills them."
)
NO_MASKS: Final = (
    "The model was trained on crops by masks (preprocess.crop: mask), and none are given here: what"
    " it sees is cropped around the leukocyte that is found, as crop: cell does."
)
BATCH: Final = 64  # as wbc.serving judges them; what a kill loses at most
FIELDS_ALONE: Final = 4  # fields before workers start; they take longer than single cells


@dataclass(frozen=True)
class Job:
    """What every batch needs."""

    classifier: model.Classifier
    reference: Reference | None  # tells what is out of domain
    suffix: str
    uncertain_below: float
    fields: bool = False
    annotate: Path | None = None
    keeping: Keeping | None = None


def run(options: argparse.Namespace) -> None:
    """Judge all that options.paths name and write options.out.

    Raises:
        UserError: nothing to judge, no such model, OUT in the way, no room for it.
    """
    out = Path(options.out)
    suffix = suffix_of(out)
    _check_folder(out)
    inputs = Inputs(options.paths, sys.stdin.buffer)
    inputs.check()
    network = choose(options)
    if network.usual is None:
        log.warning("%s", NO_REFERENCE_IN_FILE if network.is_file else NO_REFERENCE)
    annotate = Path(options.annotate) if options.annotate else None
    job = Job(
        network.classifier,
        network.usual,
        suffix,
        options.uncertain_below,
        options.fields,
        annotate,
        options.keeping,
    )
    _check_fields(job)
    if lacks_masks(job.classifier.card):
        log.warning("%s", NO_MASKS)
    same = {
        "model": network.identity,
        "reference of the model": "" if network.usual is None else repr(network.usual.limit),
        "--uncertain-below": str(job.uncertain_below),
        "version of this code or its packages": code_sha256(),
        "device": network.device,
        "--runtime": network.runtime,
        "--fields": str(job.fields),
        "--annotate": str(annotate),
    }
    if annotate:
        smear.check_apart(annotate, options.paths)
        smear.check_folder(annotate, part_path(out).exists(), options.restart)
    try:
        with signals_raise(), unfinished.opened(out, same, options.restart) as part:
            _fill(part, inputs, job, out)
            _finish(part, out, job)
            state = part.state
    except OSError as error:
        raise UserError(_write_problem(error, out)) from None
    for sentence in sentences(state, inputs, job, out):
        log.info("%s", sentence)


def _fill(part: Part, inputs: Inputs, job: Job, out: Path) -> None:
    """Append a row for every file that has none yet."""
    if part.state.rows:
        log.info("%s has %d rows; going on after them.", part_path(out), part.state.rows)
    found = remaining(iter(inputs), part.state, out)
    framing = framing_of(job.classifier.card)
    if job.fields:
        looking = functools.partial(
            smear.every_cell, show=job.annotate is not None, keep=job.keeping is not None
        )
        ready = prepared(found, framing, looking, FIELDS_ALONE, smear.CHUNK)
    else:
        ready = prepared(found, framing)
    try:
        with (
            contextlib.closing(ready),
            tqdm(desc="predict", unit="cell", initial=part.state.rows, disable=None) as bar,
        ):
            for batch in batched(ready):
                _append(part, batch, job)
                bar.update(len(batch))
    except (KeyboardInterrupt, SystemExit):
        log.info(
            "Stopped: %d rows are kept in %s; the same command (without --restart) goes on.",
            part.state.rows,
            part_path(out),
        )
        raise
    if not part.state.rows:
        raise UserError("No picture was found: stdin was expected to name files, one a line.")


def _append(part: Part, batch: Sequence[Ready], job: Job) -> None:
    rows = [
        row
        for start in range(0, len(batch), BATCH)
        for row in judge(
            job.classifier,
            batch[start : start + BATCH],
            job.uncertain_below,
            job.reference,
            job.fields,
        )
    ]
    if job.annotate:
        smear.annotate(job.annotate, batch, rows)
    if job.keeping:
        keep(job.keeping, batch)
    data = encoded(job.suffix, rows)
    if not part.state.bytes:
        data = header(job.suffix, job.classifier.card["classes"], job.fields) + data
    part.append(data, [ready.name for ready in batch if ready.last], counted(rows), len(rows))


def _finish(part: Part, out: Path, job: Job) -> None:
    if job.suffix != ".parquet":
        part.finish()
        return
    whole = out.with_name(f"{out.name}.part.parquet")
    try:
        write_parquet(part_path(out), whole, job.classifier.card["classes"], job.fields)
        part.finish(whole)
    finally:
        whole.unlink(missing_ok=True)


def remaining(found: Iterator[Found], state: State, out: Path) -> Iterator[Found]:
    """The files after those that have rows.

    Raises:
        UserError: these are not the files that the rows are of.
    """
    digest, num_left = "", state.files
    while num_left:
        names = [one.name for one in islice(found, min(BATCH, num_left))]
        if not names:
            break
        digest = chained(digest, names)
        num_left -= len(names)
    if digest != state.names:
        raise UserError(
            f"The files are no longer those of the {state.rows} rows in {part_path(out)}: some"
            " came, went or were renamed, or other PATHs are given; bring them back, or add"
            " --restart to begin anew."
        )
    return found


def batched(ready: Iterable[Ready]) -> Iterator[list[Ready]]:
    """By position, so that a run that was stopped makes the batches of one that was not.

    A field's cells stay in one batch, which then is longer than BATCH.
    """
    batch: list[Ready] = []
    for one in ready:
        batch.append(one)
        if len(batch) >= BATCH and one.last:
            yield batch
            batch = []
    if batch:
        yield batch


def lacks_masks(card: model.Card) -> bool:
    """Whether the model learned from crops that cannot be made here (NO_MASKS)."""
    return bool(card["input"]["crop"] == "mask")


def framing_of(card: model.Card) -> Framing:
    """As in training; no masks are given here, so a model trained with them sees the cell found."""
    framing = Framing.of(card["input"])
    return dataclasses.replace(framing, crop="cell") if lacks_masks(card) else framing


def sentences(state: State, inputs: Inputs, job: Job, out: Path) -> Iterator[str]:
    """What was found, for the end."""
    counts, passed = state.counts, inputs.passed
    classes = ", ".join(f"{counts.get(name, 0)} {name}" for name in job.classifier.card["classes"])
    fields = f" of {state.files} fields" if job.fields else ""
    none = (
        "fields without a leukocyte found"
        if job.fields
        else "without a leukocyte found (judged whole)"
    )
    yield f"{out}: {state.rows} rows{fields}; {classes}."
    yield (
        f"{counts.get('uncertain', 0)} uncertain (probability below {job.uncertain_below:g}),"
        f"{_far_words(counts, job)} {counts.get('unlocated', 0)} {none},"
        f" {counts.get('unreadable', 0)} unreadable (column error says why)."
    )
    if passed.num_others or passed.num_hidden:
        yield (
            f"Passed over: {passed.num_others} files that are no images by their extension,"
            f" {passed.num_hidden} hidden ones."
        )


def _far_words(counts: Mapping[str, int], job: Job) -> str:
    return f" {counts.get('out_of_domain', 0)} out of domain," if job.reference else ""


def _check_fields(job: Job) -> None:
    """Raises UserError where fields are asked for what they cannot give."""
    if job.annotate and not job.fields:
        raise UserError("--annotate draws boxes into whole fields; add --fields.")
    if job.fields:
        smear.check_crop(job.classifier.card)


def _check_folder(out: Path) -> None:
    if out.is_dir():
        raise UserError(f"--out should name a file, but {out} is a folder.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"The folder for {out} is not there; make it, or name another --out.")


def _write_problem(error: OSError, out: Path) -> str:
    part = part_path(out)
    if is_full(error):
        return (
            f"No space is left on the disk for {error.filename or part}; the rows up to the last"
            " whole batch are kept. Make room there and run the same command again, which goes on."
        )
    return (
        f"{error.filename or part} cannot be written ({error.strerror}); mend that and run the same"
        " command again, or name another --out."
    )
