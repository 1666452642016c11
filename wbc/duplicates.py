"""Copies of one picture: exact (the same pixels) and near (re-encoded, resized, taken twice).

A 64-bit DCT hash (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions") names candidates. Cells of one smear look alike, so a candidate counts only if small
colour copies of the two pictures agree as well. Copies are equally bright: with the pictures
sorted by brightness, each is compared only with its neighbours.
"""

import hashlib
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
# 10 grey levels or more; re-encoded and resized ones by 1.5 at most, fields taken twice by 8.
MAX_MEAN_DIFFERENCE = 4.0  # grey levels of 255
MAX_DIFFERENCE = 6.5  # grey levels of 255, mean absolute difference after alignment
MIN_CORRELATION = 0.91  # after alignment
_MIN_CONTRAST = 2.0  # grey levels, standard deviation; less is a picture without structure
_HASH_INPUT = 32  # pixels, side of the grey copy that is hashed
_BATCH = 32  # pictures a task
_FEW = 128  # so few pictures are decoded sooner than worker processes start
_ROWS, _COLUMNS = 512, 16_384  # hashes compared at once: a block of 64 MB


@dataclass(frozen=True)
class Fingerprints:
    """What is kept of n pictures, under 1 kB each."""

    digests: list[str]  # SHA-256 of size and pixels; "" where unreadable
    hashes: NDArray[np.uint64]  # (n,)
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
    hashes = np.zeros(len(paths), np.uint64)
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
    """(m, 3) of first index, second index (larger) and bits between; sorted."""
    found = [
        np.column_stack([first, second, bits])[_same_picture(thumbnails, first, second)]
        for first, second, bits in _candidates(hashes, thumbnails, max_bits)
    ]
    pairs = np.concatenate([np.zeros((0, 3), np.int64), *found])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _candidates(
    hashes: NDArray[np.uint64], thumbnails: NDArray[np.uint8], max_bits: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs near in mean grey and in hash; blocks bound the memory."""
    mean = thumbnails.mean(axis=1, dtype=np.float64)
    order = np.argsort(mean, kind="stable")
    mean, hashes = mean[order], hashes[order]
    for top in range(0, len(order), _ROWS):
        bottom = min(top + _ROWS, len(order))
        end = int(np.searchsorted(mean, mean[bottom - 1] + MAX_MEAN_DIFFERENCE, side="right"))
        for left in range(top, end, _COLUMNS):
            block = hashes[top:bottom, None] ^ hashes[None, left : min(left + _COLUMNS, end)]
            bits = np.bitwise_count(block)
            row, column = np.nonzero(bits <= max_bits)
            later = column + left > row + top
            row, column = row[later], column[later]
            one, other = order[row + top], order[column + left]
            yield np.minimum(one, other), np.maximum(one, other), bits[row, column].astype(np.int64)


def _same_picture(
    thumbnails: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(m,) whether the small copies of each pair agree in colour and in structure."""
    same = np.zeros(len(first), bool)
    for start in range(0, len(first), 4096):
        part = slice(start, start + 4096)
        one, other = thumbnails[first[part]], thumbnails[second[part]]
        difference, correlation = agreement(one, other)
        same[part] = (difference <= MAX_DIFFERENCE) & (correlation >= MIN_CORRELATION)
    return same


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


def _fingerprint_batch(paths: Sequence[Path]) -> list[tuple[str, int, NDArray[np.uint8], str]]:
    return [_fingerprint_file(path) for path in paths]


def _fingerprint_file(path: Path) -> tuple[str, int, NDArray[np.uint8], str]:
    """Digest, hash, small copy and, where the file cannot be read, the reason."""
    nothing = np.zeros(THUMBNAIL * THUMBNAIL * 3, np.uint8)
    try:
        pixels = decode(path.read_bytes())
    except FileNotFoundError:
        return "", 0, nothing, "the file is missing"
    except (OSError, UnreadableImage) as error:
        return "", 0, nothing, str(error) or type(error).__name__
    digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest(), perceptual_hash(pixels), _thumbnail(pixels), ""


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """64 bits: which of the 8 x 8 lowest DCT coefficients lie over their median."""
    small = (
        Image.fromarray(pixels)
        .convert("L")
        .resize((_HASH_INPUT, _HASH_INPUT), Image.Resampling.BILINEAR)
    )
    low = dctn(np.asarray(small, np.float64), norm="ortho")[:8, :8]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (THUMBNAIL, THUMBNAIL)
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(small, np.uint8).reshape(-1)
