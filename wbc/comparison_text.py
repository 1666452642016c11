"""The comparison for a reader: tables of words, and as Markdown."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from wbc import paired
from wbc.comparison import SCORES, STARTS, sets_of, winners
from wbc.smears import FEW_SMEARS
from wbc.wording import NBSP, p_value, signed

HEADINGS = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1"}
INTRODUCTION = (
    "Ranked by macro-F1 on the validation set alone, and only among models with the same start:"
    " rank 1 is the best of its start, so there may be several. The other sets are shown for"
    " reading; nothing is chosen on them. In brackets: 95 % intervals."
)
MULTIPLY_ADDS = "Multiply-adds: of one image, in convolutions and linear layers."
SEEDS = (
    "Where several seeds were trained, mean ± standard deviation over them stands after the value"
    " of the first seed: 0.9922 ± 0.0019 says that another seed may well give 0.99 or 0.994."
)
TESTS = (
    "The best of each start, by validation, against the others of that start, on the same cells."
    " McNemar's exact test counts the cells that only one of two models names right; it takes cells"
    " as independent even where smears are known, and is then too sure. The paired bootstrap"
    f" ({paired.NUM_DRAWS:,} draws over cells of each type, and where smears are known over smears"
    " as well, of which the wider interval and the larger p count) gives the difference of the"
    " scores, the best's less the other's. Both models are one trained model each, that of the"
    " first seed: how much another seed would change is in no interval and no p. p-values are"
    " corrected after Holm over all comparisons within a set, each kind of test by itself; a"
    " difference is called shown where p is below 0.05 and the interval leaves out 0. On the"
    " validation set the best was chosen, so there it looks better than it is. paired.csv has the"
    " same of macro-F1."
)


def display_tables(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """{title: table of words}: the models, then their scores on each evaluation set."""
    models = pd.DataFrame(
        {
            "rank": table["rank"].map(_number),
            "model": table["architecture"],
            "start": table["start"],
            "parameters": table["num_parameters"].map(_number),
            "multiply-adds": table["multiply_adds"].map(_millions),
            "size": table["num_bytes"].map(_megabytes),
            "best epoch": table["best_epoch"].map(_number),
            "validation macro-F1": table["val/macro_f1"].map(_share),
        }
    )
    tables = {"Models": models}
    for name in sets_of(table):
        scores = {"model": table["architecture"], "start": table["start"]}
        for score in SCORES:
            words = [_with_limits(row, f"{name}/{score}") for row in table.to_dict("records")]
            scores[HEADINGS.get(score, score)] = pd.Series(words, index=table.index)
        tables[f"Set {name}"] = pd.DataFrame(scores)
    return tables


def report(table: pd.DataFrame, tests: pd.DataFrame) -> str:
    """compare.md: the tables, what was ranked with what, the winners, and the paired tests."""
    words = [INTRODUCTION, MULTIPLY_ADDS, *([SEEDS] if is_seeded(table) else [])]
    lines = ["# Comparison of models", "", " ".join(words)]
    for title, shown in display_tables(table).items():
        lines += ["", f"## {title}", "", to_markdown(shown).rstrip("\n")]
    lines += ["", "## Best by validation", ""]
    lines += [f"- {STARTS[start]}: {name}" for start, name in winners(table).items()]
    lines += ["", "## Paired tests", "", *_test_lines(tests)]
    return "\n".join(lines) + "\n"


def is_seeded(table: pd.DataFrame) -> bool:
    """Whether some model was trained from several seeds."""
    return any(str(column).endswith("/seeds_mean") for column in table)


def to_markdown(shown: pd.DataFrame) -> str:
    """A table of words as GitHub Markdown; what is no name stands to the right."""
    rules = ("---" if name in ("model", "start") else "---:" for name in shown)
    lines = [f"| {' | '.join(shown.columns)} |", f"| {' | '.join(rules)} |"]
    lines += [f"| {' | '.join(row)} |" for row in shown.itertuples(index=False, name=None)]
    return "\n".join(lines) + "\n"


def paired_rows(tests: pd.DataFrame) -> list[list[str]]:
    """A head and a row each pair and set: the paired tests as people read them."""
    head = ["set", "best", "other", "only best right", "only other right", "McNemar p",
            "difference of balanced accuracy", "p (Holm)", "shown?"]  # fmt: skip
    rows = []
    for row in tests.to_dict("records"):
        counts = [f"{row[key]:,}" for key in ("only_best_right", "only_other_right")]
        found = [row["set"], row["best"], row["other"], *counts, _p(row["mcnemar/p_holm"])]
        rows.append([str(text) for text in (*found, *_difference(row, paired.SCORES[0]))])
    return [head, *rows]


def cautions(tests: pd.DataFrame) -> Iterator[str]:
    """A sentence for each set with so few smears that its tests are guesses."""
    for name, number in dict(zip(tests["set"], tests["num_smears"], strict=True)).items():
        if 0 < int(number) < FEW_SMEARS:
            yield (
                f"{name}: these are only {number} smears: the intervals are a guess, a true"
                " difference is seldom shown, and McNemar's p does not count."
            )


def _test_lines(tests: pd.DataFrame) -> list[str]:
    if tests.empty:
        return ["None: no two models have the same start."]
    lines = [f"| {' | '.join(row)} |" for row in paired_rows(tests)]
    rule = "|---|---|---|" + "---:|" * (len(paired_rows(tests)[0]) - 3)
    return [TESTS, "", *(f"**{words}**\n" for words in cautions(tests)), lines[0], rule, *lines[1:]]


def _difference(row: dict[Any, Any], score: str) -> list[str]:
    """Difference with its interval, Holm's p, whether a difference is shown."""
    value, low, high, p, p_holm = (
        float(row[f"{score}/{part}"]) for part in ("difference", "low", "high", "p", "p_holm")
    )
    shown = paired.is_shown(paired.Difference(value, low, high, p), p_holm)
    words = f"{signed(value, 3)} ({signed(low, 3)} to {signed(high, 3)})".replace(" ", NBSP)
    return [words, _p(p_holm), "yes" if shown else "no"]


def _with_limits(row: dict[Any, Any], name: str) -> str:
    """0.9870 (0.9754–0.9941), and the mean and spread of seeds behind it, each in one line."""
    words = _share(row[name])
    if not _is_missing(row[f"{name}/low"]):
        words += f"{NBSP}({row[f'{name}/low']:.4f}–{row[f'{name}/high']:.4f})"
    mean, spread = (row.get(f"{name}/seeds_{part}") for part in ("mean", "sd"))
    if not _is_missing(mean) and not _is_missing(spread):
        words += f", {mean:.4f}{NBSP}±{NBSP}{spread:.4f}"
    return words


def _p(p: float) -> str:
    return p_value(p).removeprefix("p").strip()


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _share(value: Any) -> str:
    return "–" if _is_missing(value) else f"{value:.4f}"


def _number(value: Any) -> str:
    return "–" if _is_missing(value) else f"{int(value):,}"


def _millions(value: Any) -> str:
    return "–" if _is_missing(value) else f"{value / 1e6:,.0f} M"


def _megabytes(value: Any) -> str:
    return f"{value / 1e6:,.2f} MB"
