"""Copies of one picture: exact (the same pixels) and near (re-encoded, resized, taken twice,
mirrored, turned by quarters).

A 64-bit DCT hash (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions") names candidates. Cells of one smear look alike, so a candidate counts only if small
colour copies of the two pictures agree as well. Copies are equally bright: with the pictures
sorted by brightness, each is compared only with its neighbours. So is each of its eight mirrored
and turned forms, whose hashes come from the same coefficients: a flip changes signs, a quarter turn
also transposes them.
"""

import hashlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from tqdm import tqdm

from wbc.decoding import UnreadableImage, decode
from wbc.workers import local_workers

log = logging.getLogger(__name__)

THUMBNAIL = 16  # pixels, side of the small colour copy
# Of two small copies. Among the 2.2 million pairs of PBC and KRD-WBC, different cells differ by
# 10 grey levels or more; re-encoded and resized ones by 1.5 at most, fields taken twice by 8. No
# two were joined because of a mirrored or turned form.
MAX_MEAN_DIFFERENCE = 4.0  # grey levels of 255
MAX_DIFFERENCE = 6.5  # grey levels of 255, mean absolute difference after alignment
MIN_CORRELATION = 0.91  # after alignment
_MIN_CONTRAST = 2.0  # grey levels, standard deviation; less is a picture without structure
_HASH_INPUT = 32  # pixels, side of the grey copy that is hashed
# The eight ways a square lies on itself: whether rows and columns change places, and then whether
# the order of rows, and that of columns, is reversed. The first leaves all as it is.
TURNS = tuple(itertools.product((False, True), repeat=3))
_BATCH = 32  # pictures a task
_FEW = 128  # so few pictures are decoded sooner than worker processes start
_ROWS, _COLUMNS = 512, 16_384  # hashes compared at once: a block of 64 MB


# Of one file: digest, hashes, small copy, reason.
_Print = tuple[str, list[int], NDArray[np.uint8], str]


@dataclass(frozen=True)
class Fingerprints:
    """What is kept of n pictures, under 1 kB each."""

    digests: list[str]  # SHA-256 of size and pixels; "" where unreadable
    hashes: NDArray[np.uint64]  # (n, 8): of the picture in each of TURNS
    thumbnails: NDArray[np.uint8]  # (n, THUMBNAIL * THUMBNAIL * 3)
    reasons: list[str]  # why a file is unreadable; "" where it is readable


@dataclass(frozen=True)
class Copies:
    """Which of n cells show the same picture."""

    picture: NDArray[np.int64]  # (n,) index of the first cell with these pixels; -1: unreadable
    near: NDArray[np.int64]  # (m, 3) picture, picture, bits between their hashes; sorted


def fingerprint(paths: Sequence[Path], jobs: int = -1) -> Fingerprints:
    """Decode every picture once, on `jobs` processes (-1: all cores), with a progress bar."""
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    digests: list[str] = []
    reasons: list[str] = []
    hashes = np.zeros((len(paths), len(TURNS)), np.uint64)
    thumbnails = np.zeros((len(paths), THUMBNAIL * THUMBNAIL * 3), np.uint8)
    with (
        local_workers(),
        tqdm(total=len(paths), desc="duplicates", unit="cell", disable=None) as bar,
    ):
        parallel = Parallel(n_jobs=1 if len(paths) <= _FEW else jobs, return_as="generator")
        for batch in parallel(delayed(_fingerprint_batch)(batch) for batch in batches):
            for digest, bits, thumbnail, reason in batch:
                hashes[len(digests)], thumbnails[len(digests)] = bits, thumbnail
                digests.append(digest)
                reasons.append(reason)
            bar.update(len(batch))
    return Fingerprints(digests, hashes, thumbnails, reasons)


def find(prints: Fingerprints, max_bits: int) -> Copies:
    """Exact copies, and near ones whose hashes differ in at most `max_bits` (0: exact only)."""
    first: dict[str, int] = {}
    picture = np.array(
        [
            first.setdefault(digest, number) if digest else -1
            for number, digest in enumerate(prints.digests)
        ],
        dtype=np.int64,
    )
    pictures = np.array(sorted(first.values()), dtype=np.int64)
    near = np.zeros((0, 3), np.int64)
    if max_bits > 0 and len(pictures) > 1:
        pairs = near_pairs(prints.hashes[pictures], prints.thumbnails[pictures], max_bits)
        near = np.column_stack([pictures[pairs[:, 0]], pictures[pairs[:, 1]], pairs[:, 2]])
    log.info("%d pictures in %d files, %d near copies", len(pictures), len(picture), len(near))
    return Copies(picture, near)


def near_pairs(
    hashes: NDArray[np.uint64], thumbnails: NDArray[np.uint8], max_bits: int
) -> NDArray[np.int64]:
    """(m, 3) of first index, second index (larger) and the fewest bits between; sorted.

    hashes: (n, t) of the first t of TURNS.
    """
    found = [
        np.column_stack([np.minimum(one, other), np.maximum(one, other), bits])[
            _same_picture(thumbnails, one, other, turn)
        ]
        for turn, turned in zip(TURNS, hashes.T, strict=False)
        for one, other, bits in _candidates(turned, hashes[:, 0], thumbnails, max_bits)
    ]
    pairs = np.concatenate([np.zeros((0, 3), np.int64), *found])
    pairs = pairs[np.lexsort((pairs[:, 2], pairs[:, 1], pairs[:, 0]))]
    new = np.ones(len(pairs), bool)  # a picture that is its own mirror image is found twice
    new[1:] = (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1)
    return np.asarray(pairs[new], np.int64)


def _candidates(
    turned: NDArray[np.uint64],
    hashes: NDArray[np.uint64],
    thumbnails: NDArray[np.uint8],
    max_bits: int,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs near in mean grey, and in hash when the first is turned; blocks bound the memory."""
    mean = thumbnails.mean(axis=1, dtype=np.float64)  # which no turn changes
    order = np.argsort(mean, kind="stable")
    mean, turned, hashes = mean[order], turned[order], hashes[order]
    for top in range(0, len(order), _ROWS):
        bottom = min(top + _ROWS, len(order))
        end = int(np.searchsorted(mean, mean[bottom - 1] + MAX_MEAN_DIFFERENCE, side="right"))
        for left in range(top, end, _COLUMNS):
            block = turned[top:bottom, None] ^ hashes[None, left : min(left + _COLUMNS, end)]
            bits = np.bitwise_count(block)
            row, column = np.nonzero(bits <= max_bits)
            later = column + left > row + top
            row, column = row[later], column[later]
            yield order[row + top], order[column + left], bits[row, column].astype(np.int64)


def _same_picture(
    thumbnails: NDArray[np.uint8],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    turn: tuple[bool, ...],
) -> NDArray[np.bool_]:
    """(m,) whether the small copies of each pair, the first turned, agree in colour and in
    structure."""
    same = np.zeros(len(first), bool)
    for start in range(0, len(first), 4096):
        part = slice(start, start + 4096)
        one, other = _turned(thumbnails[first[part]], turn), thumbnails[second[part]]
        difference, correlation = agreement(one, other)
        same[part] = (difference <= MAX_DIFFERENCE) & (correlation >= MIN_CORRELATION)
    return same


def _turned(thumbnails: NDArray[np.uint8], turn: tuple[bool, ...]) -> NDArray[np.uint8]:
    """(m, THUMBNAIL * THUMBNAIL * 3) small copies as one of TURNS has them."""
    transposed, upside_down, mirrored = turn
    square = thumbnails.reshape(-1, THUMBNAIL, THUMBNAIL, 3)
    square = square.swapaxes(1, 2) if transposed else square
    square = square[:, :: -1 if upside_down else 1, :: -1 if mirrored else 1]
    return square.reshape(thumbnails.shape)


def agreement(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean absolute difference (m,) in grey levels and correlation (m,) of rows of small copies.

    Means and a shift of about one small pixel are taken out first, so that two photographs of one
    field agree: least squares on the gradients (Lucas & Kanade 1981, one step). Pictures without
    structure have correlation 0, for nothing can be said of them.
    """
    a, b = (rows.reshape(-1, THUMBNAIL, THUMBNAIL, 3).astype(np.float32) for rows in (one, other))
    middle = np.asarray((a + b) / 2, np.float32)
    down = _centred(middle[:, 2:, 1:-1] - middle[:, :-2, 1:-1])
    right = _centred(middle[:, 1:-1, 2:] - middle[:, 1:-1, :-2])
    a, b = _centred(a[:, 1:-1, 1:-1]), _centred(b[:, 1:-1, 1:-1])
    rest = np.asarray(a - b, np.float32)
    dd, rr, dr = _dot(down, down), _dot(right, right), _dot(down, right)
    by_down, by_right = _dot(rest, down), _dot(rest, right)
    determinant = np.maximum(dd * rr - dr * dr, 1e-6)
    shift_down = (rr * by_down - dr * by_right) / determinant
    shift_right = (dd * by_right - dr * by_down) / determinant
    rest -= shift_down * down + shift_right * right
    energy = (_dot(a, a) + _dot(b, b))[:, 0, 0, 0]
    flat = energy < 2 * _MIN_CONTRAST**2 * rest[0].size
    correlation = 1 - _dot(rest, rest)[:, 0, 0, 0] / np.maximum(energy, 1e-6)
    return np.abs(rest).mean(axis=(1, 2, 3)), np.where(flat, np.float32(0), correlation)


def _centred(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m, h, w, 3) with the mean of each channel of each picture taken out."""
    return np.asarray(rows - rows.mean(axis=(1, 2), keepdims=True), np.float32)


def _dot(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m, 1, 1, 1) scalar product of each two pictures."""
    return np.asarray((one * other).sum(axis=(1, 2, 3), keepdims=True), np.float32)


def _fingerprint_batch(paths: Sequence[Path]) -> list[_Print]:
    return [_fingerprint_file(path) for path in paths]


def _fingerprint_file(path: Path) -> _Print:
    """Digest, hashes, small copy and, where the file cannot be read, the reason."""
    none, nothing = [0] * len(TURNS), np.zeros(THUMBNAIL * THUMBNAIL * 3, np.uint8)
    try:
        pixels = decode(path.read_bytes())
    except FileNotFoundError:
        return "", none, nothing, "the file is missing"
    except (OSError, UnreadableImage) as error:
        return "", none, nothing, str(error) or type(error).__name__
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest(), perceptual_hashes(pixels), _thumbnail(pixels), ""


def perceptual_hashes(pixels: NDArray[np.uint8]) -> list[int]:
    """64 bits for each of TURNS: which of the 8 x 8 lowest DCT coefficients lie over their median.

    Of rows in reverse order, every second coefficient has the other sign.
    """
    small = (
        Image.fromarray(pixels)
        .convert("L")
        .resize((_HASH_INPUT, _HASH_INPUT), Image.Resampling.BILINEAR)
    )
    low = dctn(np.asarray(small, np.float64), norm="ortho")[:8, :8]
    signs = np.array([1, -1] * 4)
    hashes = []
    for transposed, upside_down, mirrored in TURNS:
        turned = low.T if transposed else low
        turned = turned * signs[:, None] if upside_down else turned
        turned = turned * signs if mirrored else turned
        bits = np.packbits(turned > np.median(turned))
        hashes.append(int.from_bytes(bits.tobytes(), "big"))
    return hashes


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (THUMBNAIL, THUMBNAIL)
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(small, np.uint8).reshape(-1)
