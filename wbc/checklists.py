"""Which items of two reporting checklists the report and the model card answer, and where.

CLAIM, 2024 update: Tejani et al. 2024 (Radiology: Artificial Intelligence 6, e240300), 44 items.
TRIPOD+AI: Collins et al. 2024 (BMJ 385, e078378), 27 items with their parts.
An item counts as answered only where its section is there and says what is asked; whatever is left
to say is named and has to be written by hand. Topics are abridged, not quoted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CLAIM: Final = "CLAIM 2024"
TRIPOD: Final = "TRIPOD+AI"


@dataclass(frozen=True)
class Item:
    """`sections` of the HTML report (names of its anchors) that answer it, all of them needed;
    `card` is the model card's section. `by_hand` says what is missing: with no sections, all."""

    checklist: str
    number: str
    topic: str
    sections: tuple[str, ...] = ()
    card: str = ""
    by_hand: str = ""


DETAILS, USE, FACTORS = "Model details", "Intended use", "Factors"
METRICS, EVALUATION, TRAINING = "Metrics", "Evaluation data", "Training data"
ANALYSES, CAVEATS = "Quantitative analyses", "Caveats and recommendations"

# number, topic, sections of the report, section of the card, what a person must add
_CLAIM: Final = (
    ("1", "Identified as a study of AI, with the technology used", "method", DETAILS, ""),
    ("2", "Structured summary", "summary", "", "aims and conclusions of your study"),
    ("3", "Background, intended use and role", "", USE, "the clinical background"),
    ("4", "Aims, objectives and hypotheses", "", "", "all of it"),
    ("5", "Prospective or retrospective", "", "", "how each source's cells were collected"),
    ("6", "Study goal", "", "", "all of it"),
    ("7", "Data sources", "data", TRAINING, "places, dates and licences of your own sources"),
    ("8", "Inclusion and exclusion criteria", "", "", "which patients, smears and cells"),
    ("9", "Preprocessing", "method", DETAILS, ""),
    ("10", "Selection of subsets of the data", "data", DETAILS, ""),
    ("11", "De-identification", "", "", "all of it"),
    ("12", "Missing data", "", "", "cells left out before the data came here"),
    ("13", "Image acquisition", "", "", "microscope, objective, camera and stain of each source"),
    ("14", "Definition of the reference standard", "", "", "how cells were named"),
    ("15", "Rationale of the reference standard", "", "", "all of it"),
    ("16", "Source of the annotations", "", "", "who named the cells, and their training"),
    ("17", "Annotation of the test set", "", "", "all of it"),
    ("18", "Variability between annotators", "", "", "all of it"),
    ("19", "Assignment to partitions", "data", TRAINING, ""),
    ("20", "Level at which partitions are disjoint", "data", TRAINING, ""),
    ("21", "Intended sample size", "", "", "all of it"),
    (
        "22",
        "Description of the model",
        "method",
        DETAILS,
        "the network's layers; torchvision has them",
    ),
    ("23", "Software and packages", "reproduce", "", ""),
    ("24", "Initialisation of the parameters", "method", DETAILS, ""),
    ("25", "Training approach", "training reproduce", TRAINING, ""),
    ("26", "Selection of the final model", "training", DETAILS, ""),
    ("27", "Ensembling", "", "", "nothing where one network answers, as here; say so"),
    ("28", "Metrics", "scores", METRICS, ""),
    ("29", "Significance and uncertainty", "scores", METRICS, ""),
    ("30", "Robustness or sensitivity analysis", "shortcuts", ANALYSES, ""),
    ("31", "Explainability", "why", "", "whether the maps were validated; they are not here"),
    ("32", "Evaluation on internal data", "scores", ANALYSES, ""),
    ("33", "Testing on external data", "shift", ANALYSES, ""),
    ("34", "Clinical trial registration", "", "", "all of it"),
    ("35", "Numbers included and excluded", "data", EVALUATION, "numbers of patients"),
    ("36", "Demographic and clinical characteristics", "", "", "of each partition"),
    ("37", "Performance with uncertainty", "scores", ANALYSES, ""),
    ("38", "Diagnostic performance and its precision", "scores confusion", ANALYSES, ""),
    ("39", "Failure analysis", "mistakes confusion", "", "an expert's view of the mistakes"),
    ("40", "Limitations", "limits", CAVEATS, ""),
    ("41", "Implications for practice", "limits", USE, "the role in your laboratory"),
    (
        "42",
        "Protocol or further technical details",
        "method reproduce",
        DETAILS,
        "a protocol, where there is one",
    ),
    ("43", "Availability of software, model and data", "", "", "where others get them"),
    ("44", "Funding", "", "", "all of it"),
)
_TRIPOD: Final = (
    ("1", "Title", "method", DETAILS, "the target population"),
    ("2", "Abstract", "", "", "all of it"),
    ("3a", "Healthcare context and rationale", "", "", "all of it"),
    ("3b", "Target population, purpose and users", "", USE, "the target population"),
    ("3c", "Known health inequalities", "", "", "all of it"),
    ("4", "Objectives", "", "", "all of it"),
    ("5a", "Sources of data", "data", TRAINING, "why these, and whom they represent"),
    ("5b", "Dates of the data", "", "", "all of it"),
    ("6a", "Setting", "", "", "laboratories and their number"),
    ("6b", "Eligibility", "", "", "all of it"),
    ("6c", "Treatments", "", "", "all of it"),
    ("7", "Data preparation and quality checks", "data method", TRAINING, ""),
    ("8a", "Outcome and how it is assessed", "", DETAILS, "how cells were named"),
    ("8b", "Qualifications of the assessors", "", "", "all of it"),
    ("8c", "Blinding of the assessors", "", "", "all of it"),
    ("9a", "Choice of predictors", "method", DETAILS, ""),
    ("9b", "Definition of the predictors", "method", DETAILS, ""),
    ("9c", "Subjective predictors", "", "", "nothing where pixels alone are used, as here; say so"),
    ("10", "Sample size", "", "", "all of it"),
    ("11", "Missing data", "", "", "cells left out before the data came here"),
    ("12a", "How the data were used and divided", "data", TRAINING, ""),
    ("12b", "Handling of predictors", "method", DETAILS, ""),
    ("12c", "Type of model, building steps, internal validation", "method training calibration",
     DETAILS, "why this type"),
    ("12d", "Heterogeneity between clusters", "shift", ANALYSES, ""),
    ("12e", "Measures and plots of performance", "scores curves calibration", METRICS,
     "clinical utility"),
    ("12f", "Model updating", "", "", "nothing here; what `adapt` did, where used"),
    ("12g", "How predictions are calculated", "method", DETAILS, ""),
    ("13", "Class imbalance", "method calibration", DETAILS, ""),
    ("14", "Fairness", "", FACTORS, "any analysis by age, sex or descent"),
    ("15", "Output of the model", "method", DETAILS, ""),
    ("16", "Differences between training and evaluation data", "data shift", EVALUATION,
     "settings and eligibility"),
    ("17", "Ethical approval", "", "", "all of it"),
    ("18a", "Funding", "", "", "all of it"),
    ("18b", "Conflicts of interest", "", "", "all of it"),
    ("18c", "Protocol", "", "", "all of it"),
    ("18d", "Registration", "", "", "all of it"),
    ("18e", "Availability of data", "", "", "all of it"),
    ("18f", "Availability of code", "", "", "where others get it"),
    ("19", "Involvement of patients and public", "", "", "all of it"),
    ("20a", "Flow of participants", "data", EVALUATION, "numbers of patients"),
    ("20b", "Characteristics of participants", "", "", "all of it"),
    ("20c", "Comparison of development and evaluation data", "shift", EVALUATION,
     "important variables other than the pictures"),
    ("21", "Numbers in development and evaluation", "data", EVALUATION, ""),
    ("22", "The full model", "method reproduce", DETAILS, "where others get the weights"),
    ("23a", "Performance with intervals", "scores", ANALYSES, "subgroups of patients"),
    ("23b", "Heterogeneity of the performance", "shift", ANALYSES, ""),
    ("24", "Results of updating", "", "", "what `adapt` gave, where it was used"),
    ("25", "Interpretation", "summary", "", "in the light of aims and earlier studies"),
    ("26", "Limitations", "limits", CAVEATS, ""),
    ("27a", "Poor or missing input in use", "", "", "all of it"),
    ("27b", "Interaction and expertise asked of users", "", USE, "training of the users"),
    ("27c", "Next steps of research", "", CAVEATS, "your own"),
)  # fmt: skip

ITEMS: Final = tuple(
    Item(checklist, number, topic, tuple(sections.split()), card, by_hand)
    for checklist, rows in ((CLAIM, _CLAIM), (TRIPOD, _TRIPOD))
    for number, topic, sections, card, by_hand in rows
)

# What must be known to answer an item, in the report as on the card: the division of the cells,
# scores with intervals, another laboratory's set, shortcut check or several seeds, a temperature.
_NEEDS: Final = {
    "division": ((CLAIM, "19 20"), (TRIPOD, "7 12a")),
    "intervals": ((CLAIM, "29 37 38"), (TRIPOD, "23a")),
    "external": ((CLAIM, "33"), (TRIPOD, "12d 16 20c 23b")),
    "sensitivity": ((CLAIM, "30"),),
    "calibrated": ((TRIPOD, "12c 13"),),
}
UNDONE: Final = {
    "division": "the division of the cells, from the stage split",
    "intervals": "intervals, from the stage evaluate",
    "external": "nothing yet: no cells of another laboratory were tested",
    "sensitivity": "nothing yet: neither shortcuts nor several seeds were looked at",
    "calibrated": "the model has no temperature",
}
NEEDS: Final = {
    (checklist, number): need
    for need, lists in _NEEDS.items()
    for checklist, numbers in lists
    for number in numbers.split()
}


def answered_in_report(
    item: Item, sections: Collection[str], facts: Mapping[str, bool]
) -> tuple[str, ...]:
    """The report's sections that answer an item, where all that it needs are among `sections` and
    what it needs is known."""
    there = _is_known(item, facts) and set(item.sections) <= set(sections)
    return item.sections if there else ()


def answered_in_card(item: Item, facts: Mapping[str, bool]) -> str:
    """The card's section that answers an item, "" where what it needs is not known."""
    return item.card if _is_known(item, facts) else ""


def _is_known(item: Item, facts: Mapping[str, bool]) -> bool:
    need = NEEDS.get((item.checklist, item.number))
    return need is None or facts[need]


def missing_in_report(item: Item, facts: Mapping[str, bool]) -> str:
    """What is still to be done or written for the report to answer an item."""
    undone = "" if _is_known(item, facts) else UNDONE[NEEDS[item.checklist, item.number]]
    return "; ".join(text for text in (undone, item.by_hand) if text)


def open_items(found: Sequence[tuple[Item, bool]]) -> list[tuple[Item, str]]:
    """(item, what is still to be said or read) of all that is not wholly answered, in order.

    Args:
        found: each item with whether anything answers it.
    """
    return [
        (item, item.by_hand or _elsewhere(item))
        for item, answered in found
        if item.by_hand or not answered
    ]


def _elsewhere(item: Item) -> str:
    return f"in the report: {', '.join(item.sections)}" if item.sections else "all of it"
