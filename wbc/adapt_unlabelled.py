"""`python -m wbc adapt --unlabelled`: the same network, corrected by the mix of a folder of blood.

No label is read but to judge afterwards, where there are any. The result is a version of its own,
for that laboratory: its weights are the parent's, its card has `offsets` (wbc.blood_mix).
"""

import argparse
import dataclasses
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wbc import adapt_report, blood_mix, device, metrics, model, params, reference
from wbc.adapt_command import ADAPTED_DIR, judge, open_pixels, tell, whole
from wbc.adaptable import check, own_test, read_card
from wbc.cells import CLASSES, write_table
from wbc.errors import UserError
from wbc.framing import Framing
from wbc.imaging import UnreadableImage, prepare
from wbc.pixels import PixelStore
from wbc.sources.incoming import list_files
from wbc.tracking import adapt as tracking_adapt

log = logging.getLogger(__name__)

Logits = NDArray[np.float32]

MIN_CELLS: Final = 50  # fewer say little of a mix
BATCH: Final = 64  # pictures of a folder in memory at a time


@dataclass(frozen=True)
class Folder:
    """The laboratory: its name, what the model says of its cells, and parts to judge by."""

    name: str
    logits: Logits  # (N, 5)
    num_unreadable: int
    judged: Mapping[str, PixelStore]


def run(options: argparse.Namespace) -> None:
    """Correct, judge where there are labels, write adapted/NAME-unlabelled/ARCH/, publish."""
    settings = params.load(Path("params.yaml"))
    chosen = device.pick(settings.train.device, settings.train.precision, settings.train.threads)
    with tracking_adapt.model_folder(options.model, Path.cwd()) as parent_dir:
        folder, results = correct(
            parent_dir, options.set, chosen.type, settings.evaluate.batch_size
        )
    tell(folder, results)


def correct(
    parent_dir: Path, place: str, device_type: str, batch_size: int
) -> tuple[Path, dict[str, Any]]:
    """The folder of the corrected model and {set: before, after, difference}."""
    card = read_card(parent_dir)
    refuse_uneven(card)
    parent = model.load(parent_dir, device_type)
    cells = opened(parent, place, batch_size)
    refuse_few(cells, place)
    even = even_logits(cells.logits, card)
    added = blood_mix.offsets(even)
    new_card = make_card(card, model.model_sha256(parent_dir), cells, added)
    target = ADAPTED_DIR / f"{cells.name}-unlabelled" / card["architecture"]
    with whole(target) as folder:
        shutil.copyfile(parent_dir / model.WEIGHTS_FILE, folder / model.WEIGHTS_FILE)
        model.write_card(folder / model.CARD_FILE, new_card)
        keep_reference(parent_dir, folder, new_card)
        corrected = model.load(folder, device_type)
        results = {
            name: judge(parent, corrected, part, batch_size) for name, part in cells.judged.items()
        }
        write(folder, new_card, results, mixes(even, added))
    return target, results


def keep_reference(parent_dir: Path, folder: Path, new_card: model.Card) -> None:
    """The parent's reference, where it has one: equal weights lie equally far from equal cells.

    What it says of the validation cells' logits is corrected like all others.
    """
    found = reference.read(parent_dir / reference.REFERENCE_FILE)
    if found is not None:
        logits = found.logits + np.array(new_card["offsets"], dtype=np.float32)
        found = dataclasses.replace(found, logits=logits)
        path = folder / reference.REFERENCE_FILE
        reference.write(path, found, model.model_sha256(folder))


def opened(parent: model.Classifier, place: str, batch_size: int) -> Folder:
    """A folder of pictures, or a set of data/pixels, whose labels and own test judge later."""
    if Path(place).is_dir():
        logits, num_unreadable = logits_of_pictures(parent, Path(place))
        return Folder(slug(Path(place)), logits, num_unreadable, {})
    store = open_pixels()
    if place not in store.evaluation_sets():
        raise UserError(
            f"{place} is neither a folder of pictures nor a set of data/pixels, which has"
            f" {', '.join(store.evaluation_sets())}; give the path of the laboratory's pictures."
        )
    check(parent.card, store, place)
    part = store.part(place)
    logits = parent.all_outputs(part.batches(batch_size)).logits
    names = (place, own_test(parent.card, store))
    return Folder(place, logits, 0, {name: store.part(name) for name in names})


def logits_of_pictures(parent: model.Classifier, folder: Path) -> tuple[Logits, int]:
    """What the model says of every picture below a folder, and how many cannot be read."""
    framing = Framing.of(parent.card["input"])
    if framing.crop == "mask":
        raise UserError(
            f"{folder} has no masks of its cells, but the model was trained with preprocess.crop:"
            " mask; name one that was trained with crop: cell."
        )
    paths = [folder / path for path in list_files(folder).images]
    parts, num_unreadable = [np.empty((0, len(CLASSES)), np.float32)], 0
    for start in range(0, len(paths), BATCH):
        squares = list(_squares(paths[start : start + BATCH], framing))
        num_unreadable += len(paths[start : start + BATCH]) - len(squares)
        if squares:
            parts.append(parent.outputs(np.stack(squares)).logits)
    return np.concatenate(parts), num_unreadable


def _squares(paths: list[Path], framing: Framing) -> Iterator[NDArray[np.uint8]]:
    for path in paths:
        try:
            yield prepare(path.read_bytes(), framing).pixels
        except (UnreadableImage, OSError) as error:
            log.warning("%s is left out: %s", path, error)


def slug(folder: Path) -> str:
    """A folder's name as sources are named: lower-case letters, digits, - and _."""
    name = re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-_")
    return name[:40] or "folder"


def even_logits(logits: Logits, card: model.Card) -> NDArray[np.float64]:
    """Calibrated logits as if every class were equally frequent."""
    spoken: NDArray[np.float64] = logits.astype(np.float64) - np.array(card["log_prior"])
    return spoken / float(card.get("temperature", 1.0))


def refuse_uneven(card: model.Card) -> None:
    """Raises UserError where the model's logits hold a class mix that its card does not give."""
    imbalance = model.parameter(card, "train.imbalance")
    if card["decision"] != "logit_adjustment" and imbalance != "loss_weights":
        raise UserError(
            "A model is corrected by a folder's mix if it decides as if all classes were equally"
            f" frequent, but this one was trained with train.imbalance: {imbalance}; train one with"
            " logit_adjustment or loss_weights."
        )
    if "offsets" in card:
        raise UserError(
            f"This model has been corrected for {card['adapted']['set']} already; name the model"
            " that it came from with --model."
        )


def refuse_few(cells: Folder, place: str) -> None:
    """Raises UserError where a mix could not be told from chance."""
    if len(cells.logits) < MIN_CELLS:
        unread = f" ({cells.num_unreadable} more cannot be read)" if cells.num_unreadable else ""
        raise UserError(
            f"At least {MIN_CELLS} cells are needed to see a mix, but {place} has"
            f" {len(cells.logits)}{unread}; bring more of the laboratory's cells, as they come."
        )


def make_card(
    parent: model.Card, parent_sha256: str, cells: Folder, added: NDArray[np.float64]
) -> model.Card:
    """The parent's card with the offsets, of raw logits, and what they were made from."""
    raw = added * float(parent.get("temperature", 1.0))
    return parent | {
        "start": "adapted",
        "offsets": [round(float(each), 6) for each in raw],
        "adapted": {
            "from": parent_sha256,
            "set": cells.name,
            "unlabelled": len(cells.logits),
        },
        "inputs": {**parent["inputs"], "weights": parent_sha256},
    }


def mixes(even: NDArray[np.float64], added: NDArray[np.float64]) -> pd.DataFrame:
    """One row a class: the share expected, those seen before and after, the offset."""
    return pd.DataFrame(
        {
            "class": CLASSES,
            "expected": blood_mix.MIX,
            "before": blood_mix.mix_of(even),
            "after": blood_mix.mix_of(even, added),
            "offset": added,
        }
    )


def write(folder: Path, card: model.Card, results: dict[str, Any], mix: pd.DataFrame) -> None:
    text = metrics.metrics_json({"adapted": card["adapted"], "sets": results})
    (folder / "before_after.json").write_text(text, encoding="utf-8")
    write_table(mix.round(6), folder / "mix.csv")
    if results:
        write_table(adapt_report.table(results).round(6), folder / "before_after.csv")
    notes = [
        "The correction supposes cells as they come from the blood of many people: on a selection,"
        " or on one patient with leukaemia, it is wrong."
    ]
    said = (card, results, adapt_report.mix_sentences(mix), notes)
    (folder / "report.md").write_text(adapt_report.markdown(*said), encoding="utf-8")
    (folder / "report.html").write_text(adapt_report.html(*said), encoding="utf-8")
