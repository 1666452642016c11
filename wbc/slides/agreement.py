"""Several models on one slide: on how many cells they agree, and on which they do not."""

from dataclasses import dataclass

import pandas as pd

from wbc.slides.tally import Slide


@dataclass(frozen=True)
class Agreement:
    """Of two models' cells that both have answered for.

    differing: cells with different answers, the surest disagreement first: index name; columns
    first, second (the answers), p_first, p_second (each model's probability of its own).
    """

    first: str
    second: str
    num_both: int
    differing: pd.DataFrame

    @property
    def share(self) -> float:
        return 1 - len(self.differing) / self.num_both if self.num_both else float("nan")


def agreement(first: Slide, second: Slide) -> Agreement:
    """Answers are the decisions of `predict`, sure or not."""
    ours, theirs = _answers(first), _answers(second)
    both = ours.join(theirs, lsuffix="_first", rsuffix="_second", how="inner")
    both.columns = pd.Index(["first", "p_first", "second", "p_second"])
    differing = both[both["first"] != both["second"]]
    order = differing[["p_first", "p_second"]].min(axis=1).sort_values(ascending=False).index
    return Agreement(first.judged.name, second.judged.name, len(both), differing.loc[order])


def _answers(slide: Slide) -> pd.DataFrame:
    read = slide.rows[slide.rows["class"].notna()]
    shares = [row[f"p_{row['class']}"] for row in read.to_dict("records")]
    return pd.DataFrame({"answer": read["class"], "p": shares}, index=read.index)
