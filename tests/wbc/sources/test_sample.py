"""The drawn sample: the same bytes every time, Raabin's layout, faults, shapes beyond colour."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wbc.cells import CLASSES
from wbc.params import SampleSource
from wbc.sources import leukocytes, sample, smears
from wbc.sources.cell_shapes import patch

NUM_CELLS = 200
SIZE = 96


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A small sample as download would have it: its folder and its rows."""
    target = tmp_path_factory.mktemp("sample")
    source = SampleSource("sample", "sample", "auto", NUM_CELLS, SIZE)
    return target, sample.fetch(source, target, target)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)), dtype=np.float64)


def test_each_file_has_one_row_in_raabins_layout(drawn: tuple[Path, pd.DataFrame]) -> None:
    target, rows = drawn
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert files == set(rows["path"])
    assert len(rows) == NUM_CELLS + len(sample.planted_faults(NUM_CELLS))
    folders = {"train": "Train", "test_a": "Test-A", "test_b": "Test-B"}
    for row in rows.itertuples():
        part, folder, name = row.path.split("/")
        smear, field, cell = name.removesuffix(".jpg").split("_")
        assert (part, folder.lower(), smear) == (folders[row.official_split], row.label, row.group)
        assert field.isdigit()
        assert cell in ("1", "2")
        assert (row.label == "basophil") == smear.startswith("2019"), "basophils: own smears"
    assert set(rows["mask"]) == {""}


def test_bytes_do_not_depend_on_process_or_order(drawn: tuple[Path, pd.DataFrame]) -> None:
    target, _ = drawn
    cells = smears.plan(NUM_CELLS)
    for cell in reversed(cells[::11]):
        assert sample.draw_cell(cell, SIZE) == (target / cell.path).read_bytes()
    assert len({(target / cell.path).read_bytes() for cell in cells}) == len(cells)


def test_a_picture_depends_on_smear_and_index_alone() -> None:
    cell = smears.plan(200)[0]
    assert sample.draw_cell(cell, 64) != sample.draw_cell(replace(cell, index=99), 64)
    moved = replace(cell, path="elsewhere.jpg")
    assert sample.draw_cell(cell, 64) == sample.draw_cell(moved, 64)


def test_class_mix_is_raabins_with_enough_of_the_rarest() -> None:
    counts = {part: smears.class_counts(part, 900) for part in smears.PART_SHARES}
    assert [sum(counts[part].values()) for part in counts] == [540, 252, 108]
    for part, least in {"Train": 24, "Test-A": 12}.items():
        assert set(counts[part]) == set(CLASSES)
        assert min(counts[part].values()) >= least
        assert sorted(counts[part], key=counts[part].get, reverse=True)[:2] == list(CLASSES[:2])
    assert counts["Test-B"].keys() == {"neutrophil", "lymphocyte"}
    assert counts["Test-B"]["neutrophil"] / 108 == pytest.approx(0.93, abs=0.01)


@pytest.mark.parametrize("num_cells", [200, 204, 900, 20_000])
def test_paths_are_unique_and_few_smears_are_shared(num_cells: int) -> None:
    cells, faults = smears.plan(num_cells), sample.planted_faults(num_cells)
    assert len(cells) == num_cells
    paths = [item.path for item in (*cells, *faults)]
    assert len(set(paths)) == len(paths)
    groups = {part: {c.smear for c in cells if c.part == part} for part in smears.PART_SHARES}
    shared = sorted(groups["Train"] & groups["Test-A"])
    assert [name.startswith("2019") for name in shared] == [True, False], "a day and a smear"
    assert not groups["Test-B"] & (groups["Train"] | groups["Test-A"])


def test_no_class_of_train_comes_from_one_smear_alone() -> None:
    for label in CLASSES:
        counts = Counter(c.smear for c in smears.plan(900) if (c.part, c.label) == ("Train", label))
        share = max(counts.values()) / sum(counts.values())
        assert share < 0.5
        assert (share > 0.3) == (label == "eosinophil"), (label, share)


def test_planted_faults_are_what_they_say(drawn: tuple[Path, pd.DataFrame]) -> None:
    target, _ = drawn
    cells = {cell.path: cell for cell in smears.plan(NUM_CELLS)}
    faults = sample.planted_faults(NUM_CELLS)
    assert {fault.kind for fault in faults} == set(sample.FAULTS)
    for fault in faults:
        data = (target / fault.path).read_bytes()
        if fault.kind == "empty":
            assert data == b""
        elif fault.kind == "not_an_image":
            with pytest.raises(OSError, match="cannot identify"):
                Image.open(io.BytesIO(data))
        elif fault.kind == "truncated":
            with pytest.raises(OSError, match="truncated"):
                Image.open(io.BytesIO(data)).load()
        else:
            original = (target / fault.original).read_bytes()
            assert cells[fault.original].part == "Train"
            same_bytes = fault.kind in ("exact_duplicate", "label_conflict")
            assert (data == original) == same_bytes
            assert (fault.label != cells[fault.original].label) == (fault.kind == "label_conflict")
            assert fault.part == ("Train" if fault.kind == "label_conflict" else "Test-A")
            side = 77 if fault.kind == "resized" else SIZE
            small = Image.open(io.BytesIO(original)).resize((side, side), Image.Resampling.LANCZOS)
            assert pixels(data).shape == (side, side, 3)
            assert np.abs(pixels(data) - np.asarray(small, dtype=np.float64)).mean() < 6


def test_faults_are_few() -> None:
    assert len(sample.planted_faults(900)) < 0.02 * 900


def test_sizes_are_those_of_blood_cells() -> None:
    diameters = {label: [] for label in CLASSES}
    for label in CLASSES:
        for seed in range(12):
            rng = np.random.default_rng(seed)
            radius = leukocytes.radius_of(rng, label)
            area, _, _ = patch(200, 6.0, (100.0, 100.0), 16.0)
            whole, stains = leukocytes.paint(rng, label, area, radius)
            diameters[label].append(2 * np.sqrt(whole.sum() / 36 / np.pi))
            assert np.isfinite(stains).all()
            assert (stains >= -0.1).all()
    limits = {
        "neutrophil": (12, 14), "lymphocyte": (7.5, 12), "monocyte": (14.5, 20),
        "eosinophil": (12, 15), "basophil": (10, 14),
    }  # fmt: skip
    for label, (low, high) in limits.items():
        assert low - 0.6 < min(diameters[label]), label
        assert max(diameters[label]) < high + 0.6, label


def test_second_microscope_looks_different() -> None:
    """Smaller magnification, bluer light, darker corners: measured on the same kind of cell."""
    first, second = (
        np.mean([pixels(sample.draw_cell(replace(cell, part=part), SIZE)) for cell in chosen], 0)
        for chosen in [smears.plan(200)[:90:3]]
        for part in ("Train", "Test-B")
    )
    corners = [picture[[0, 0, -1, -1], [0, -1, 0, -1]].mean() for picture in (first, second)]
    assert corners[1] / second.mean() < corners[0] / first.mean() - 0.04
    blueness = [picture[..., 2].mean() / picture[..., 0].mean() for picture in (first, second)]
    assert blueness[1] > blueness[0] + 0.1
    assert sample.SECOND_MICROSCOPE.field > 1.2 * sample.FIRST_MICROSCOPE.field


def _mean_colours(cells: list[smears.DrawnCell]) -> np.ndarray:
    return np.array([pixels(sample.draw_cell(cell, 64)).mean(axis=(0, 1)) for cell in cells])


def test_mean_colour_does_not_tell_the_classes_apart() -> None:
    cells = [cell for cell in smears.plan(900) if cell.part != "Test-B"]
    tasks = [cells[start::8] for start in range(8)]
    colours = np.concatenate(Parallel(n_jobs=-1)(delayed(_mean_colours)(task) for task in tasks))
    cells = [cell for task in tasks for cell in task]
    labels = np.array([cell.label for cell in cells])
    train = np.array([cell.part == "Train" for cell in cells])
    regression = make_pipeline(
        StandardScaler(), LogisticRegression(C=10, max_iter=5000, class_weight="balanced")
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    crossed = cross_val_predict(regression, colours, labels, cv=folds)
    tested = regression.fit(colours[train], labels[train]).predict(colours[~train])
    assert balanced_accuracy_score(labels, crossed) < 0.6
    assert balanced_accuracy_score(labels[~train], tested) < 0.6
