"""The table of doubts as one HTML file that opens anywhere: every doubt beside its picture."""

import base64
import io
from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from jinja2 import Environment
from numpy.typing import NDArray
from PIL import Image

from wbc.label_quality import CONFLICT, DUPLICATE, ERROR, FEW, KINDS, NUM_FOLDS, OUTLIER, Issues

SHOWN: Final = 50  # rows of each kind
_TILE: Final = 96  # pixels
_ABOUT: Final = {
    CONFLICT: "one picture with two labels: at least one of them is wrong",
    ERROR: "cells like this one bear another label (confident learning)",
    DUPLICATE: "one picture twice: it counts double, and in two splits it would leak",
    OUTLIER: "far from all others of its type and source: another object, bad focus, or rare",
}
Picture = Callable[[str], NDArray[np.uint8]]  # of a cell's path; pixels (h, w, 3)

_PLAIN: Final = ("rank", "kind", "path", "label", "suggested", "partner", "partner_label")

_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Data quality</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-size: .85rem; color: #555; border-bottom: 2px solid #999;
  padding: .3rem .6rem; position: sticky; top: 0; background: #fff; }
td { border-bottom: 1px solid #ddd; padding: .4rem .6rem; vertical-align: middle; }
td.n { text-align: right; color: #555; font-variant-numeric: tabular-nums; }
td img { margin-right: .3rem; vertical-align: top; width: {{ tile }}px; height: {{ tile }}px;
  border-radius: 4px; }
.where { font-size: .85rem; color: #333; overflow-wrap: anywhere; }
.kind { border-left: .4rem solid; white-space: nowrap; }
.pictures { white-space: nowrap; }
.k0 { border-left-color: #D55E00; } .k1 { border-left-color: #0072B2; }
.k2 { border-left-color: #E69F00; } .k3 { border-left-color: #009E73; }
.small { color: #555; font-size: .85rem; }
table.sums { width: auto; margin: 1rem 0; }
</style></head><body>
<h1>Data quality: which cells to look at again</h1>
<p>{{ "{:,}".format(issues.num_cells) }} cells with pixels were judged on their own colours and
textures, test sets and other laboratories as well. Nothing was changed; this is a reading list.</p>
<table class="sums">
<tr><th>kind</th><th>found</th><th>shown</th><th>what it means</th></tr>
{% for kind, found, shown, about in sums -%}
<tr><td class="kind k{{ loop.index0 }}">{{ kind }}</td><td class="n">{{ "{:,}".format(found) }}</td>
<td class="n">{{ shown }}</td><td>{{ about }}</td></tr>
{% endfor -%}
</table>
<p>{{ words }} A label that you find wrong belongs corrected where the data come from, then
<code>dvc repro</code>.</p>
{% if rows -%}
<table>
<tr><th>rank</th><th>picture</th><th>doubt</th><th>label</th><th>where</th></tr>
{% for row in rows -%}
<tr><td class="n">{{ row.rank }}</td>
<td class="pictures">{% for picture in row.pictures %}{% if picture -%}
<img alt="" src="data:image/jpeg;base64,{{ picture }}">{% else %}(no picture){% endif %}
{%- endfor %}</td>
<td class="kind k{{ row.number }}">{{ row.kind }}<br><span class="small">{{ row.score }}</span></td>
<td>{{ row.label }}{% if row.partner_label not in ("", row.label) %} or
{{ row.partner_label }}{% endif %}{% if row.suggested %}<br>
<span class="small">rather: {{ row.suggested }}</span>{% endif %}</td>
<td class="where">{{ row.path }}
{%- if row.partner %}<br>{{ row.partner }}{% endif %}<br>
<span class="small">{{ row.place }}</span></td></tr>
{% endfor -%}
</table>
{% if num_left %}<p>{{ "{:,}".format(num_left) }} more are in issues.csv.</p>{% endif %}
{% else %}<p>No doubts were found.</p>{% endif %}
</body></html>
"""


def page(issues: Issues, picture: Picture) -> str:
    """The HTML of all kinds' first 50 rows; `picture` gives the pixels of a cell or raises OSError.

    File names and labels are escaped, pictures are JPEG within the page.
    """
    shown = issues.table.groupby("kind", sort=False).head(SHOWN)
    found, listed = issues.counts(), shown["kind"].value_counts()
    template = Environment(autoescape=True).from_string(_PAGE)
    text: str = template.render(
        issues=issues,
        tile=_TILE,
        words=_words(issues),
        sums=[(kind, found[kind], int(listed.get(kind, 0)), _ABOUT[kind]) for kind in KINDS],
        rows=[_row(row, picture) for _, row in shown.iterrows()],
        num_left=len(issues.table) - len(shown),
    )
    return text


def _words(issues: Issues) -> str:
    """How the label errors were found, and how far to trust that."""
    if not issues.num_judged:
        return "There are too few cells to look for label errors."
    text = (
        f"Label errors: {issues.num_judged:,} cells were judged in {NUM_FOLDS} parts, each by a"
        " plain classifier that had not learned from it (whole smears at a time where they are"
        f" known). It agrees with {issues.accuracy:.1%} of the labels."
    )
    if issues.accuracy < 0.9:
        text += " That is little: many of these doubts are its own mistakes."
    if issues.rare:
        rare = ", ".join(f"{source}: {n} {kind}s" for (source, kind), n in issues.rare.items())
        text += (
            f" For some cells ({rare}) it had fewer than {FEW} of the same type and source to learn"
            " from; these may be doubted wrongly and come last."
        )
    left = issues.num_cells - issues.num_judged
    if left:
        text += f" {left:,} cells were not judged, since no other part has cells of their type."
    return text


def _row(row: "pd.Series[object]", picture: Picture) -> dict[str, object]:
    kind, path, partner = str(row["kind"]), str(row["path"]), str(row["partner"])
    pictures = [_thumbnail(name, picture) for name in (path, partner) if name]
    smear = f", smear {row['group']}" if row["group"] else ""
    return {
        **{name: row[name] for name in _PLAIN},
        "number": KINDS.index(kind),
        "pictures": pictures,
        "score": _score(kind, float(row["score"])),
        "place": f"set {row['split']}{smear}",
    }


def _score(kind: str, score: float) -> str:
    if kind == ERROR:
        share = 1 - score
        return (
            "label: under 0.1 % probable"
            if share < 0.001
            else f"label: {100 * share:.1f} % probable"
        )
    if kind == OUTLIER:
        return f"{score:.1f} times as far as usual"
    return "identical hash" if score == 1 else f"{score:.0%} of the hash equal"


def _thumbnail(path: str, picture: Picture) -> str:
    """Base64 of a JPEG; "" where there is no picture."""
    try:
        pixels = picture(path)
    except OSError:
        return ""
    buffer = io.BytesIO()
    small = Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.LANCZOS)
    small.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
