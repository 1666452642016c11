"""Decisions that tests make up, as the table that evaluate writes."""

import numpy as np
import pandas as pd

from wbc.cells import CLASSES
from wbc.metrics import predictions_table


def predictions(labels: list[int], decisions: list[int], sure: list[float]) -> pd.DataFrame:
    probabilities = np.zeros((len(labels), 5))
    probabilities[np.arange(len(labels)), decisions] = sure
    cells = pd.DataFrame(
        {
            "path": [f"{number}.png" for number in range(len(labels))],
            "split": "val",
            "group": "",
            "label": [CLASSES[label] for label in labels],
        }
    )
    return predictions_table(cells, np.array(decisions), probabilities)
