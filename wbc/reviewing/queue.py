"""Which cells a person should look at, for pages, review.csv and the review page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from wbc.cells import CLASSES
from wbc.disk import write_whole
from wbc.errors import UserError
from wbc.framing import check_removed
from wbc.slides.reasons import REASONS
from wbc.spreadsheets import safe_text

if TYPE_CHECKING:  # they bring torch, which the review page starts faster without
    from wbc.slides.agreement import Agreement
    from wbc.slides.pictures import Pictures
    from wbc.slides.tally import Slide

RUN_FILE, CSV_FILE = "run.json", "review.csv"
FORMAT: Final = 1


@dataclass(frozen=True)
class Queued:
    """A cell to look at: name within DIR, file, slide, why, the first model's answer and
    probabilities, and what the other models say where it differs.

    Of a cell that was cut out of a field: `seen`, the file with what the model saw of it, and
    `place`, where it comes from in words.
    """

    name: str
    file: str
    slide: str
    reason: str
    answer: str
    probabilities: dict[str, float]
    others: dict[str, str]
    seen: str = ""
    place: str = ""


@dataclass(frozen=True)
class Run:
    """What `differential` leaves for `review` in OUT/run.json.

    framing: settings of the first model's square; folder: DIR, absolute; again: the command that
    counts once more, with the answers.
    """

    folder: str
    models: list[str]
    framing: dict[str, Any]
    queue: list[Queued]
    again: str


def queue_of(
    slides: Sequence["Slide"], agreements: Sequence["Agreement"], cells: "Pictures"
) -> list[Queued]:
    """Cells of a slide (by each model) that the first model abstains from, or on which models
    differ; the least margin first. Cells that a person has answered stay in it."""
    rows = slides[0].rows
    doubted = rows[list(REASONS[1:])].any(axis=1) | rows["path"].isin(_disputed(agreements))
    wanted = rows[doubted & ~rows["unreadable"] & rows["path"].isin(list(cells.files))]
    found = []
    for row in wanted.sort_values(["margin", "path"]).to_dict("records"):
        others = {
            each.second: str(each.differing.loc[row["path"], "second"])
            for each in agreements
            if row["path"] in each.differing.index
        }
        found.append(
            Queued(
                row["path"],
                str(cells.files[row["path"]].absolute()),
                slides[0].name,
                _reason(row, bool(others)),
                row["class"],
                {name: row[f"p_{name}"] for name in CLASSES},
                others,
                str(cells.seen[row["path"]].absolute()) if row["path"] in cells.seen else "",
                f"cell {row['cell']} of {row['field']}" if "field" in row else "",
            )
        )
    return found


def _disputed(agreements: Sequence["Agreement"]) -> list[str]:
    return [str(name) for each in agreements for name in each.differing.index]


def _reason(row: Mapping[Any, Any], disputed: bool) -> str:
    reasons = [reason for reason in REASONS[1:] if row[reason]]
    return " ".join([*reasons, *(["models-differ"] if disputed else [])])


def write_csv(queue: Sequence[Queued], labels: Mapping[str, str], path: Path) -> None:
    """review.csv: one row a cell of the queue, with a person's answer where there is one."""
    rows = [
        {
            "path": safe_text(cell.name),
            "slide": safe_text(cell.slide),
            "reason": cell.reason,
            "answer": cell.answer,
            "reviewed": labels.get(cell.name, ""),
            **{f"p_{name}": cell.probabilities[name] for name in CLASSES},
            "others": safe_text("; ".join(f"{model}: {x}" for model, x in cell.others.items())),
        }
        for cell in queue
    ]
    columns = ["path", "slide", "reason", "answer", "reviewed", *(f"p_{n}" for n in CLASSES)]
    table = pd.DataFrame(rows, columns=[*columns, "others"])
    write_whole(path, table.to_csv(index=False, float_format="%.6f").encode())


def write_run(run: Run, out: Path) -> None:
    content = {"format": FORMAT, **asdict(run)}
    write_whole(out / RUN_FILE, (json.dumps(content, indent=1) + "\n").encode())


def read_run(out: Path) -> Run:
    """Raises UserError where `differential` has left none, or of squares no longer made."""
    try:
        content = json.loads((out / RUN_FILE).read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError
        queue = [Queued(**cell) for cell in content.pop("queue")]
        check_removed(content["framing"], str(out / RUN_FILE))
        run = Run(**content, queue=queue)
        named = [text for each in queue for text in (each.name, each.file, each.slide, each.seen)]
        if not run.models or "\0" in "".join([run.folder, run.again, *run.models, *named]):
            raise ValueError
        return run
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(
            f"{out} should be a folder that `python -m wbc differential` wrote, but it holds no"
            f" readable {RUN_FILE}; run differential first, with --out {out}."
        ) from None
