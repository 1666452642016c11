"""Features say what their names say, the same way round however the cell lies, always finite."""

from pathlib import Path

import numpy as np
import pytest

from tests.wbc.handmade.test_segmentation import ROUND, drawn
from tests.wbc.pictures import NUCLEUS
from tests.wbc.stores import make_store
from wbc.handmade import colour, extraction, shape, texture

ROOT = Path(__file__).resolve().parents[3]


def named(square: np.ndarray) -> dict[str, float]:
    return dict(zip(extraction.NAMES, extraction.features(square), strict=True))


LOBED = drawn((112, 112, 72), [(85, 95, 24), (137, 90, 24), (112, 145, 24)])
SPOTTED = ROUND.copy()
for x in range(150, 176, 8):
    for y in range(88, 140, 8):
        SPOTTED[y : y + 4, x : x + 4] = NUCLEUS


def test_every_feature_has_one_name_a_unit_and_a_meaning() -> None:
    assert len(set(extraction.NAMES)) == len(extraction.NAMES) > 100
    for feature in extraction.FEATURES:
        assert feature.unit and feature.meaning and feature.name.isidentifier()


def test_the_documents_table_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "classical.md").read_text(encoding="utf-8")
    assert text.endswith(extraction.markdown()), "paste extraction.markdown() at its end"


@pytest.mark.parametrize("module", [shape, colour, texture])
def test_a_module_measures_what_it_lists(module: object) -> None:
    cell = extraction.segment(ROUND)
    arguments = (cell,) if module is shape else (cell, cell.cytoplasm)
    listed = {feature.name for feature in module.FEATURES}  # type: ignore[attr-defined]
    assert set(module.measure(*arguments)) == listed  # type: ignore[attr-defined]


def test_a_round_nucleus_is_round() -> None:
    values = named(ROUND)
    assert values["found"] == 1
    assert values["nucleus_cell_ratio"] == pytest.approx((44 / 72) ** 2, rel=0.08)
    assert values["nucleus_roundness"] == pytest.approx(1, abs=0.12)
    assert values["nucleus_solidity"] > 0.93
    assert values["nucleus_eccentricity"] < 0.25
    assert values["nucleus_spread"] == pytest.approx(1, abs=0.03)
    assert values["nucleus_thickness"] == pytest.approx(1, abs=0.07)
    assert values["nucleus_thickness_mean"] == pytest.approx(1, abs=0.1)
    assert values["nucleus_pieces"] == values["nucleus_lobes_50"] == 1
    assert values["nucleus_holes"] == values["nucleus_at_rim"] == 0
    assert values["nucleus_offset"] == pytest.approx(8 / 72, abs=0.04)


def test_lobes_are_counted() -> None:
    values = named(LOBED)
    assert values["nucleus_pieces"] == values["nucleus_lobes_70"] == 3
    assert values["nucleus_solidity"] < 0.8 and values["nucleus_thickness"] < 0.75
    joined = drawn((112, 112, 72), [(85, 112, 30), (135, 112, 30)])
    assert named(joined)["nucleus_pieces"] == 1 and named(joined)["nucleus_lobes_70"] == 2


def test_a_ring_has_a_hole() -> None:
    ring = drawn((112, 112, 72), [(112, 112, 50)])
    y, x = np.mgrid[:224, :224] - 112
    ring = np.where((np.hypot(x, y) < 20)[..., None], (206, 172, 204), ring).astype(np.uint8)
    assert named(ring)["nucleus_holes"] == 1


def test_granules_show_in_the_cytoplasms_texture_and_not_in_its_shape() -> None:
    plain, spotted = named(ROUND), named(SPOTTED)
    assert spotted["cytoplasm_dark_5"] > plain["cytoplasm_dark_5"] + 0.1
    assert spotted["cytoplasm_dark_share"] > plain["cytoplasm_dark_share"] + 0.02
    assert spotted["nucleus_pieces"] == 1


def test_eosin_is_where_green_is_absorbed_and_red_is_not() -> None:
    pink = np.where((ROUND == (206, 172, 204)).all(axis=2)[..., None], (230, 140, 150), ROUND)
    values, plain = named(pink.astype(np.uint8)), named(ROUND)
    assert values["cytoplasm_eosin"] > plain["cytoplasm_eosin"] + 0.1
    assert values["cytoplasm_eosin_share"] > 0.8


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_turned_and_mirrored_cells_have_the_same_features(turn: int) -> None:
    turned = named(np.ascontiguousarray(np.rot90(LOBED[:, ::-1], turn)))
    for name, value in named(LOBED).items():
        assert turned[name] == pytest.approx(value, rel=0.15, abs=0.12), name


def test_exposure_divides_out_of_densities() -> None:
    darker = (ROUND * 0.8).round().astype(np.uint8)
    bright, dark = named(ROUND), named(darker)
    for name in ("nucleus_green_mean", "cytoplasm_red_mean", "nucleus_violet"):
        assert dark[name] == pytest.approx(bright[name], abs=0.03), name


@pytest.mark.parametrize("kind", ["black", "white", "noise", "speck", "full"])
def test_any_picture_gives_finite_features(kind: str) -> None:
    picture = np.full((128, 128, 3), 0 if kind == "black" else 255, np.uint8)
    if kind == "noise":
        picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    if kind == "speck":
        picture[60:63, 60:63] = NUCLEUS
    if kind == "full":
        picture[:] = NUCLEUS
    values = extraction.features(picture)
    assert values.shape == (len(extraction.NAMES),) and np.isfinite(values).all()


def test_processes_and_blocks_change_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    part = make_store(tmp_path).part("train")
    squares = part.read(list(range(len(part))))
    alone = np.stack([extraction.features(square) for square in squares])
    assert np.array_equal(extraction.table(part, 2), alone)
    assert np.array_equal(extraction.features_of(squares), alone)
    assert extraction.features_of(squares[:0]).shape == (0, len(extraction.NAMES))
