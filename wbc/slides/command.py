"""`python -m wbc differential`: every slide of a folder counted, and pages about it."""

import argparse
import logging
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc import device, model
from wbc.disk import is_full, replace_folder, write_whole
from wbc.errors import UserError
from wbc.explain import grad_cam, has_gradcam
from wbc.framing import Framing
from wbc.metrics import class_indices
from wbc.page import render
from wbc.predicting.command import framing_of
from wbc.predicting.fields import check_crop
from wbc.reviewing import journal
from wbc.reviewing.answers import answers
from wbc.reviewing.queue import CSV_FILE, RUN_FILE, Queued, Run, queue_of, write_csv, write_run
from wbc.slides import index_page, leukocytes, ranges, slide_page
from wbc.slides.agreement import Agreement, agreement
from wbc.slides.asked import again_command, alone, check, mark
from wbc.slides.copies import copies_in
from wbc.slides.grouping import FOLDERS, ONE, compiled, file_names, slides_of
from wbc.slides.judging import Judged, judged
from wbc.slides.pictures import Pictures, pictures
from wbc.slides.shown_cells import QUEUE, Shown, wanted
from wbc.slides.tally import Slide, csv_rows, slide_of
from wbc.slides.thumbnails import Square, overlaid, squares
from wbc.sources.incoming import clean_name
from wbc.spreadsheets import safe_text
from wbc.tracking import validation
from wbc.tracking.adapt import model_folder

log = logging.getLogger(__name__)

TABLE, INDEX, PAGES = "differential.csv", "index.html", "slides"
_STAGING: Final = ".unfinished"  # in OUT; its content takes the old one's place at the end


@dataclass(frozen=True)
class Job:
    """All that pages are made of."""

    found: Pictures  # of DIR
    cells: Pictures  # the same, or those cut out of its fields
    judged: Sequence[Judged]
    ranges: ranges.Ranges
    framing: Framing
    classifier: model.Classifier | None  # for Grad-CAM, where that is asked for
    review_command: str
    again: str  # the command that counts once more


def run(options: argparse.Namespace) -> None:
    """Judge the pictures in options.folder by every model and write options.out.

    Raises:
        UserError: no folder, no picture, no such model, OUT of something else, no room.
    """
    folder, out = Path(options.folder), Path(options.out)
    if options.slides not in (FOLDERS, ONE):
        compiled(options.slides)
    reference = ranges.read(Path(options.ranges)) if options.ranges else ranges.read()
    check(folder, out, options.fields)
    found = pictures(folder)
    if options.fields:
        leukocytes.check_names(found.files)
    with ExitStack() as stack:
        models = _models(options.models, stack)
        folders = list(models.values())
        if options.fields:
            for each in folders:
                check_crop(model.read_card(each))
        try:
            mark(out, options.fields)
            stack.enter_context(alone(out))
            classifier = _explainer(folders[0], options)
            by_model = [
                _judged(each, found, out, options, leads=each is folders[0]) for each in folders
            ]
            cells = found
            if options.fields:
                cells = leukocytes.pictures_of(by_model[0].rows, out, found)
            command = clean_name(f"python -m wbc review {shlex.quote(str(out))}")
            framing = framing_of(by_model[0].card)
            again = again_command(options, list(models))
            job = Job(found, cells, by_model, reference, framing, classifier, command, again)
            write(job, out, options.slides)
        except OSError as error:
            raise UserError(_problem(error, out)) from None


def _models(names: Sequence[str], stack: ExitStack) -> dict[str, Path]:
    """{name: folder}, each model once."""
    by_model = dict[str, tuple[str, Path]]()
    for name in names:
        folder = stack.enter_context(model_folder(name, Path.cwd()))
        model.read_card(folder)
        first, kept = by_model.setdefault(model.model_sha256(folder), (name, folder))
        if kept is not folder:
            log.warning("--model %s is the same model as --model %s; it counts once.", name, first)
    return dict(by_model.values())


def write(job: Job, out: Path, rule: str) -> None:
    """All slides' pages and tables; they take the place of older ones only when all are made."""
    first = job.judged[0].rows
    if first["unreadable"].all():
        raise UserError(
            f"None of the {len(first)} pictures in {job.found.folder} can be read, for example"
            f" {first['path'].iloc[0]} ({first['error'].iloc[0]}); check the folder."
        )
    files = first["field"] if "field" in first else first["path"]
    slide_names = np.array(slides_of(list(files), job.found.folder, rule), object)
    copies = _copies(job, files, slide_names)
    once = ~files.isin([name for each in copies.values() for name in each])
    labels = answers(journal.read(out), job.cells.files)
    links = file_names(list(dict.fromkeys(slide_names)))
    staging = out / _STAGING
    shutil.rmtree(staging, ignore_errors=True)
    (staging / PAGES).mkdir(parents=True)
    groups, queue = [], list[Queued]()
    paths_of = first["path"][once].groupby(slide_names[once], sort=False).agg(list)
    for name, link in links.items():
        paths = paths_of[name]
        slides = [
            slide_of(name, one, _rows_of(one, paths), labels, job.ranges, copies.get(name, {}))
            for one in job.judged
        ]
        agreements = [agreement(slides[0], other) for other in slides[1:]]
        to_review = queue_of(slides, agreements, job.cells)
        page = slide_page.build(_shown(job, slides, agreements, to_review, labels))
        write_whole(staging / PAGES / link, render(page).encode())
        groups.append(slides)
        queue += to_review
        log.info("%s", sentence(slides[0]))
    _write_tables(job, out, groups, queue, labels, links)


def _copies(
    job: Job, files: "pd.Series[str]", slide_names: NDArray[np.object_]
) -> dict[str, dict[str, str]]:
    """Of files that can be read; the others are all listed with what is wrong."""
    paths = job.found.files
    readable = files[~job.judged[0].rows["unreadable"]]
    there = {name: paths[name] for name in readable if name in paths}
    return copies_in(there, dict(zip(files, slide_names, strict=True)))


def _write_tables(
    job: Job,
    out: Path,
    groups: Sequence[Sequence[Slide]],
    queue: Sequence[Queued],
    labels: Mapping[str, str],
    links: Mapping[str, str],
) -> None:
    staging = out / _STAGING
    table = pd.concat([csv_rows(slide) for slides in groups for slide in slides])
    for column in ("slide", "model"):
        table[column] = table[column].map(safe_text)
    write_whole(staging / TABLE, table.to_csv(index=False).encode())
    write_csv(queue, labels, staging / CSV_FILE)
    left = [cell for cell in queue if cell.name not in labels]
    pages = {name: f"{PAGES}/{link}" for name, link in links.items()}
    index = index_page.build(groups, pages, job.ranges, len(left), job.review_command)
    write_whole(staging / INDEX, render(index).encode())
    names = [one.name for one in job.judged]
    folder = str(job.cells.folder.resolve())
    write_run(Run(folder, names, job.framing.settings(), list(queue), job.again), staging)
    _publish(staging, out)
    log.info("%s: %d slides; open %s.", out / TABLE, len(groups), out / INDEX)
    if left:
        log.info("%d cells wait for a person: %s", len(left), job.review_command)


def _publish(staging: Path, out: Path) -> None:
    """All is made: a few renames, between which only a kill could leave new beside old."""
    replace_folder(out / PAGES, staging / PAGES)
    for name in (RUN_FILE, CSV_FILE, TABLE, INDEX):
        (staging / name).replace(out / name)
    staging.rmdir()


def sentence(slide: Slide) -> str:
    """A slide in one line."""
    if slide.table.empty:
        return f"{slide.name}: no cell could be counted."
    shares = ", ".join(
        f"{row['percent']:.1f} % {row['class']}" + f" ({row['mark']})" * bool(row["mark"])
        for row in slide.table.to_dict("records")
    )
    note = f"; {slide.caution}" if slide.caution else ""
    return f"{slide.name}: {slide.num_counted} counted: {shares}{note}."


def _judged(
    model_dir: Path, found: Pictures, out: Path, options: argparse.Namespace, leads: bool
) -> Judged:
    known = validation.predictions(model_dir, model.model_sha256(model_dir), Path.cwd())
    return judged(model_dir, known, found, out, options, leads)


def _rows_of(one: Judged, paths: Sequence[str]) -> pd.DataFrame:
    return one.rows.loc[one.rows.index.intersection(paths, sort=False)]


def _shown(
    job: Job,
    slides: Sequence[Slide],
    agreements: Sequence[Agreement],
    to_review: Sequence[Queued],
    labels: Mapping[str, str],
) -> Shown:
    left = [cell.name for cell in to_review if cell.name not in labels]
    names = wanted(slides, agreements, left)
    found = squares(names, job.cells, job.framing)
    overlays = _overlays(job.classifier, slides[0], left[:QUEUE], found)
    return Shown(slides, agreements, job.ranges, left, found, overlays, job.review_command)


def _overlays(
    classifier: model.Classifier | None,
    slide: Slide,
    names: Sequence[str],
    found: Mapping[str, Square],
) -> dict[str, Square]:
    there = [name for name in names if name in found]
    if classifier is None or not there:
        return {}
    answered = class_indices(list(slide.rows.loc[there, "class"]))
    maps = grad_cam(classifier, np.stack([found[name] for name in there]), answered)
    return {name: overlaid(found[name], each) for name, each in zip(there, maps, strict=True)}


def _explainer(model_dir: Path, options: argparse.Namespace) -> model.Classifier | None:
    if not options.explain:
        return None
    classifier = model.load(model_dir, device.pick(options.device).type)
    if not has_gradcam(classifier):
        raise UserError(
            f"{classifier.card['architecture']} has no feature maps, so there is no Grad-CAM of it;"
            " leave --explain out, or name a network first with --model."
        )
    return classifier


def _problem(error: OSError, out: Path) -> str:
    if is_full(error):
        return (
            f"No space is left on the disk for {out}; what it held before is whole. Make room there"
            " and run the same command again, which goes on from what was judged."
        )
    return (
        f"{error.filename or out} cannot be written ({error.strerror}); mend that and run the same"
        " command again, or name another --out."
    )
