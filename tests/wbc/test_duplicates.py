"""Copies are found, cells that only look alike are not."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from wbc import duplicates
from wbc.duplicates import find, fingerprint, near_pairs


def cell(seed: int, shift: int = 0) -> Image.Image:
    """A purple blob on a pale ground among others, 120 pixels wide, moved by `shift` pixels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:120, 0:120]
    picture = np.full((120, 120, 3), (225.0, 205.0, 215.0))
    for number in range(8):
        row, column = random.uniform(0, 120, 2) if number else random.uniform(52, 68, 2)
        radius = random.uniform(8, 16) if number else random.uniform(20, 28)
        colour = (205, 165, 180) if number else (115, 60, 150)
        inside = np.hypot(y - row, x - column - shift) < radius
        picture[inside] = colour
    noise = gaussian_filter(random.normal(0, 60, (120, 120, 1)), (1, 1, 0))
    picture = gaussian_filter(picture, (1, 1, 0)) + noise
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def save(picture: Image.Image, path: Path, quality: int = 95) -> Path:
    picture.save(path, quality=quality)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty different cells."""
    folder = tmp_path_factory.mktemp("cells")
    for seed in range(20):
        save(cell(seed), folder / f"{seed:02d}.jpg")
    return folder


def copies(*paths: Path, bits: int = 10) -> list[tuple[str, str]]:
    found = find(fingerprint(paths, jobs=1), bits)
    exact = [(found.picture[number], number) for number in range(len(paths))]
    pairs = [(a, b) for a, b in exact if a not in (b, -1)] + found.near[:, :2].tolist()
    return [(paths[a].name, paths[b].name) for a, b in pairs]


def test_different_cells_are_no_copies(folder: Path) -> None:
    assert copies(*sorted(folder.iterdir()), bits=20) == []


@pytest.mark.parametrize(
    ("scale", "quality"), [(1.0, 60), (0.5, 90), (0.5, 60), (1.5, 90), (0.8, 40)]
)
def test_reencoded_and_resized_copies_are_found(
    folder: Path, tmp_path: Path, scale: float, quality: int
) -> None:
    for seed in range(20):
        original = folder / f"{seed:02d}.jpg"
        with Image.open(original) as picture:
            side = round(picture.width * scale)
            copy = save(picture.resize((side, side)), tmp_path / "copy.jpg", quality)
        others = [folder / f"{other:02d}.jpg" for other in range(20)]
        assert copies(*others, copy) == [(original.name, "copy.jpg")]
    assert copies(original, copy, bits=0) == []


def test_the_same_pixels_in_another_file_are_an_exact_copy(folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "03.jpg") as picture:
        png = save(picture, tmp_path / "a.png")
    paths = [folder / "02.jpg", folder / "03.jpg", png]
    assert find(fingerprint(paths, jobs=1), 0).picture.tolist() == [0, 1, 1]
    assert not len(find(fingerprint(paths, jobs=1), 10).near)


def test_a_field_photographed_twice_is_a_near_copy(tmp_path: Path) -> None:
    first = save(cell(5), tmp_path / "first.jpg")
    again = save(cell(5, shift=6), tmp_path / "again.jpg", 80)
    assert copies(first, again) == [("first.jpg", "again.jpg")]


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_mirrored_and_turned_copies_are_found(
    folder: Path, tmp_path: Path, turn: Image.Transpose
) -> None:
    """Of a picture that is no square too, to the last bit or saved anew and smaller."""
    others = [folder / f"{other:02d}.jpg" for other in range(20)]
    whole = cell(40).crop((0, 0, 120, 100))
    upright = save(whole, tmp_path / "a.png")
    exact = save(whole.transpose(turn), tmp_path / "b.png")
    smaller = save(whole.resize((60, 50)).transpose(turn), tmp_path / "c.jpg", 60)
    names = ["a.png", "b.png", "c.jpg"]
    paths = [*others, upright, exact, smaller]
    assert copies(*paths) == [(names[0], names[1]), (names[0], names[2]), (names[1], names[2])]
    assert find(fingerprint(paths, jobs=1), 10).near[0].tolist() == [20, 21, 0]


def test_an_orientation_that_was_lost_changes_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    cell(7).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    lost = save(cell(7), tmp_path / "lost.jpg")
    assert copies(tmp_path / "turned.jpg", lost) == [("turned.jpg", "lost.jpg")]


def test_a_hash_of_each_turn_is_that_of_the_turned_picture() -> None:
    """The first is the upright one's, so what was found before is found as before."""
    pixels = np.asarray(cell(3))
    for (transposed, upside_down, mirrored), bits in zip(
        duplicates.TURNS, duplicates.perceptual_hashes(pixels), strict=True
    ):
        turned = pixels.swapaxes(0, 1) if transposed else pixels
        turned = turned[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        assert duplicates.perceptual_hashes(np.ascontiguousarray(turned))[0] == bits


def test_blank_pictures_are_no_near_copies(tmp_path: Path) -> None:
    one = save(Image.new("RGB", (60, 60), (200, 200, 200)), tmp_path / "one.png")
    other = save(Image.new("RGB", (90, 40), (200, 200, 200)), tmp_path / "other.png")
    assert copies(one, other) == []  # nor exact ones, though their bytes are the same


def test_broken_files_come_back_with_the_reason(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    paths = [tmp_path / "text.jpg", folder / "01.jpg", tmp_path / "gone.jpg"]
    prints = fingerprint(paths, jobs=1)
    assert prints.reasons[0] and prints.reasons[1:] == ["", "the file is missing"]
    assert find(prints, 10).picture.tolist() == [-1, 1, -1]


def test_processes_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_FEW", 0)
    monkeypatch.setattr(duplicates, "_BATCH", 3)
    paths = sorted(folder.iterdir())
    alone, together = fingerprint(paths, jobs=1), fingerprint(paths, jobs=2)
    assert alone.digests == together.digests
    np.testing.assert_array_equal(alone.hashes, together.hashes)
    np.testing.assert_array_equal(alone.thumbnails, together.thumbnails)


def test_search_finds_what_comparing_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Across blocks too, and whatever the brightness; every pair agrees when thresholds allow."""
    monkeypatch.setattr(duplicates, "_ROWS", 7)
    monkeypatch.setattr(duplicates, "_COLUMNS", 11)
    monkeypatch.setattr(duplicates, "MAX_DIFFERENCE", 999)
    monkeypatch.setattr(duplicates, "MIN_CORRELATION", -2)
    hashes, thumbnails = synthetic(150)
    hashes &= np.uint64(0xFFFF)
    mean = thumbnails.mean(axis=1)
    expected = [
        [a, b, (int(hashes[a]) ^ int(hashes[b])).bit_count()]
        for a in range(150)
        for b in range(a + 1, 150)
        if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= 6 and abs(mean[a] - mean[b]) <= 4
    ]
    found = near_pairs(hashes[:, None], thumbnails, 6).tolist()
    assert len(expected) > 30
    assert [pair for pair in found if abs(mean[pair[0]] - mean[pair[1]]) <= 4] == expected


def test_twenty_thousand_hashes_in_bounded_memory() -> None:
    hashes, thumbnails = synthetic(20_000)
    hashes[10_000:10_200] = hashes[:200] ^ np.uint64(0b1011)
    thumbnails[10_000:10_200] = thumbnails[:200]
    pairs = near_pairs(hashes[:, None], thumbnails, 10)
    assert pairs.tolist() == [[number, 10_000 + number, 3] for number in range(200)]
    assert hashes[0].nbytes + thumbnails[0].nbytes <= 1000


def synthetic(number: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    hashes = random.integers(0, 2**64, number, dtype=np.uint64)
    thumbnails = random.integers(0, 60, (number, duplicates.THUMBNAIL**2 * 3), dtype=np.uint8)
    brightness = random.normal(90, 18, number).clip(0, 190).astype(np.uint8)
    return hashes, thumbnails + brightness[:, None]
