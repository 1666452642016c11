"""The page opens without a network, says how many there are, and escapes what files are called."""

import base64
import io
import re

import numpy as np
import pandas as pd
from PIL import Image

from wbc.label_quality import COLUMNS, DUPLICATE, ERROR, OUTLIER, Issues
from wbc.quality_page import SHOWN, page

NASTY = "<script>alert(1)</script>&.png"


def issues(rows: list[tuple[object, ...]], accuracy: float = 0.97) -> Issues:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.insert(0, "rank", range(1, len(table) + 1))
    return Issues(table, 1000, 990, accuracy, {("own", "basophil"): 7})


def square(path: str) -> np.ndarray:
    if path == "gone.png":
        raise OSError("gone")
    return np.full((40, 40, 3), 120, np.uint8)


def error(path: str) -> tuple[object, ...]:
    return path, "train", "smear 3", "monocyte", ERROR, "lymphocyte", 0.97, "", ""


def test_a_row_shows_picture_labels_and_place_in_one_file() -> None:
    copy = ("a.png", "test", "", "basophil", DUPLICATE, "", 1 - 6 / 64, "gone.png", "basophil")
    text = page(issues([error(NASTY), copy]), square)
    assert NASTY not in text and "&lt;script&gt;alert(1)" in text
    assert "rather: lymphocyte" in text and "label: 3\u00a0% probable" in text
    assert "smear 3" in text and "91\u00a0% of the hash equal" in text
    assert "(no picture)" in text and "own: 7 basophils" in text
    assert "10 cells were not judged" in text
    assert not re.search(r"(src|href)=.?(http|//)", text)
    first = re.findall(r"base64,([^\"]+)\"", text)[0]
    assert Image.open(io.BytesIO(base64.b64decode(first))).size == (96, 96)
    assert text == page(issues([error(NASTY), copy]), square)


def test_long_lists_are_cut_kind_by_kind_and_say_so() -> None:
    far = ("z.png", "val", "", "monocyte", OUTLIER, "", 7.25, "", "")
    text = page(issues([error(f"{i}.png") for i in range(SHOWN + 13)] + [far]), square)
    assert text.count("<img") == SHOWN + 1
    assert f"{SHOWN + 13}</td>" in text and "13 more are in issues.csv" in text
    assert "7.25 times as far as usual" in text


def test_nothing_found_and_a_poor_judge_are_said() -> None:
    assert "No doubts were found" in page(issues([]), square)
    assert "many of these doubts are its own mistakes" in page(issues([], 0.6), square)
