"""Other laboratories, simulated on whole pictures: what variants of the recipe are chosen on.

Each laboratory changes one thing that differs between real ones, where it can by a model that
training's augmentation (wbc.augment, wbc.microscope) does not use: matrices between sensors and
tone curves of films where training jitters gammas, binding sites that fill up and stray light where
training bends densities by a power, defocus by a disc where training has Gaussians, photons that
are counted behind a colour filter array where training adds noise, WebP where training has JPEG's
blocks. docs/generalisation.md lists what stands on both sides. Ranges come from optics and
chemistry; that `acidity`, `film` and `glare` were missing was seen on KRD-WBC, after a look that
read labels.

Every draw is a function of the laboratory and the cell's number; each laboratory is a population
(as slides of one laboratory differ too), not one fixed filter.
"""

import io
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from wbc.staining import background_colour

Picture = NDArray[np.uint8]  # H x W x 3, RGB
Light = NDArray[np.float64]  # the same shape, 0 to 1
Laboratory = Callable[[Picture, np.random.Generator], Picture]

SHARE: Final = 0.75  # of the changes, in those laboratories that have several
GAMMA: Final = 2.2  # sRGB's, roughly: pictures hold light to the power of 1 / GAMMA


def camera(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another sensor: its channels overlap otherwise, its white is off, its tone curve is a film's.

    Rows of the matrix sum to 1, so grey stays grey before the white balance errs by up to a fifth.
    """
    light = _linear(picture)
    crosstalk = rng.uniform(-0.15, 0.2, (3, 3)) * (1 - np.eye(3))
    light = light @ (np.eye(3) + crosstalk - np.diag(crosstalk.sum(axis=1))).T
    light = light.clip(0, None) * rng.uniform(0.8, 1.2, 3) * rng.uniform(0.6, 1.1)
    toe, shoulder = rng.uniform(0.0, 0.12), rng.uniform(0.5, 2.0)
    film = (light**1.1 + toe * light) * (1 + shoulder) / (light + shoulder)
    return _encoded(film / (1 + toe))


def stain(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another batch of dye and another time in it: uptake saturates, and the glass keeps a haze.

    Binding sites fill up as Langmuir's isotherm says, so with more dye or time the thin parts gain
    on the dense ones, with less they lose. `half` is the density at which half of the sites are
    taken; colours stay nearly what they are. The haze is eosin's or a rapid stain's yellow.
    """
    glass = background_colour(picture)
    density = np.log((glass + 1) / (picture.astype(np.float64) + 1)).clip(0)
    half = np.exp(rng.uniform(np.log(0.15), np.log(5)))
    uptake = (1 + half) / (density.mean(axis=2, keepdims=True) + half)
    taken = rng.uniform(0.6, 1.2) * rng.uniform(0.85, 1.15, 3) * density * uptake
    haze = rng.uniform(0, 1) * np.array([[0.02, 0.12, 0.06], [0.0, 0.04, 0.22]][rng.integers(2)])
    return _rounded((glass + 1) * np.exp(-taken - haze) - 1)


def glare(picture: Picture, rng: np.random.Generator) -> Picture:
    """Stray light: an open condenser or a dusty lens lays an even veil over the picture.

    A share of the light of the whole field reaches every point, so dark nuclei lose most of their
    contrast and thin cytoplasm little; the camera's exposure takes the veil's brightness back.
    """
    light = _linear(picture)
    share = rng.uniform(0.05, 0.4)
    veiled = (1 - share) * light + share * light.mean(axis=(0, 1))
    return _encoded(veiled * light.mean() / veiled.mean() * rng.uniform(0.85, 1.1))


def optics(picture: Picture, rng: np.random.Generator) -> Picture:
    """Out of focus by a disc, coarser pixels behind a colour filter array, few photons."""
    side = max(picture.shape[:2])
    light = _linear(picture)
    radius = rng.uniform(0.002, 0.008) * side
    light = ndimage.convolve(light, _disc(radius)[..., None], mode="nearest")
    coarse = rng.uniform(0.3, 0.7)
    light = _resized(light, coarse)
    colour = _resized(_resized(light, 0.5), size=light.shape[1::-1])  # red and blue: every second
    light = light + 0.7 * (colour - light) * np.array([1, 0, 1])
    photons = rng.uniform(150, 1500)
    light = rng.poisson(light.clip(0, None) * photons) / photons
    return _encoded(_resized(light, size=picture.shape[1::-1]))


def phone(picture: Picture, rng: np.random.Generator) -> Picture:
    """A phone at the eyepiece: dark towards the rim, warm, contrast lifted, sharpened, WebP."""
    light = _linear(picture)
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    x, y = rng.uniform(-0.4, 0.4, 2)
    light = light * (1 - rng.uniform(0.1, 0.25) * ((rows - y) ** 2 + (columns - x) ** 2))[..., None]
    light = light * np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.65, 1.0)])
    encoded = _encoded(light).astype(np.float64)
    smooth = ndimage.gaussian_filter(encoded, (2, 2, 0))
    encoded = encoded + rng.uniform(0.5, 1.5) * (encoded - smooth)
    encoded = 127 + rng.uniform(1.0, 1.3) * (encoded - 127)
    stream = io.BytesIO()
    Image.fromarray(_rounded(encoded)).save(stream, "WEBP", quality=int(rng.integers(20, 60)))
    return np.asarray(Image.open(stream).convert("RGB"))


def framing(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another field of view and magnification: a tight cut, or a wide field of red cells around.

    The wide field repeats the picture's own corners, where red cells lie and no leukocyte; the
    cell is anywhere in it. A tight cut leaves 55 to 75 % of the side, off centre, and may cut into
    the cell's surroundings, not far into the cell, which in PBC fills about half the side.
    """
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        share = rng.uniform(0.55, 0.75)
        top, left = (0.5 - share / 2 + rng.uniform(-0.08, 0.08) for _ in range(2))
        part = picture[
            int(top * height) : int((top + share) * height),
            int(left * width) : int((left + share) * width),
        ]
        return _scaled(part, rng.uniform(0.6, 1.4))
    field = field_of_corners(picture, rng)
    top, left = (int(rng.integers(0, field.shape[0] - n)) for n in (height, width))
    weight = _soft_window(height, width)[..., None]
    under = field[top : top + height, left : left + width]
    field[top : top + height, left : left + width] = _rounded(
        weight * picture + (1 - weight) * under
    )
    return _scaled(field, rng.uniform(0.35, 0.7))


def acidity(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another buffer and staining time, as haematology's textbooks describe them.

    Short or acid staining leaves nuclei pale and reddish, since azure is what they lack; alkaline
    buffers turn red cells, cytoplasm and eosin's granules grey. Chromatin is told from the rest by
    how much more green than blue it absorbs (wbc.staining), relative to the darkest in the picture.
    """
    glass = background_colour(picture)
    density = -np.log((picture.astype(np.float64) + 1) / (glass + 1))
    violet = ndimage.gaussian_filter(density[..., 1] - density[..., 2], 1)
    chromatin = np.clip(violet / max(0.1, float(np.quantile(violet, 0.99))), 0, 1)[..., None]
    pale = rng.uniform(0, 0.6) * chromatin * np.array([1.3, 1.0, 1.0])
    grey = rng.uniform(0, 0.7) * (1 - chromatin)
    mean = density.mean(axis=2, keepdims=True)
    return _rounded((glass + 1) * np.exp(-(density + grey * (mean - density)) * (1 - pale)) - 1)


def film(picture: Picture, rng: np.random.Generator) -> Picture:
    """Dried plasma and stain on the glass: clouds over everything, of eosin, azure or neither."""
    side = max(picture.shape[:2])
    clouds = sum(
        _clouds(rng, picture.shape[:2], rng.uniform(0.01, 0.06) * side) * share
        for share in (1.0, 0.5)
    )
    tint = rng.uniform(0.3, 1.0, 3)
    light = 1 - rng.uniform(0.05, 0.25) * np.clip(clouds, 0, 1)[..., None] * tint
    return _encoded(_linear(picture) * light)


def _clouds(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> NDArray[np.float64]:
    """A smooth random field of mean 1/2 and standard deviation 1/4."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), width, mode="wrap")
    return np.asarray(0.5 + 0.25 * field / field.std())


def stained_and_photographed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Three in four of all these at once, as laboratories differ in truth; the framing stays."""
    for step in (acidity, stain, film, glare, optics, camera, phone):
        if rng.random() < SHARE:
            picture = step(picture, rng)
    return picture


def together(picture: Picture, rng: np.random.Generator) -> Picture:
    """The same, and with the same chance another framing."""
    picture = stained_and_photographed(picture, rng)
    return framing(picture, rng) if rng.random() < SHARE else picture


LABORATORIES: Final[Mapping[str, Laboratory]] = {
    "camera": camera,
    "stain": stain,
    "acidity": acidity,
    "glare": glare,
    "film": film,
    "optics": optics,
    "phone": phone,
    "framing": framing,
    "together": together,
}


def seen_by(laboratory: str, picture: Picture, number: int) -> Picture:
    """The picture of the `number`-th cell as the laboratory would have taken it."""
    seed = zlib.crc32(laboratory.encode())
    return LABORATORIES[laboratory](picture, np.random.default_rng((seed, number)))


def field_of_corners(picture: Picture, rng: np.random.Generator) -> Picture:
    """A square of twice the side, of the picture's corners, turned and mirrored at random."""
    tile = min(picture.shape[:2]) // 4
    corners = [picture[y, x] for y in _ends(tile) for x in _ends(tile)]
    count = 2 * max(picture.shape[:2]) // tile + 2
    rows = []
    for _ in range(count):
        row = []
        for _ in range(count):
            turned = np.rot90(corners[rng.integers(4)], int(rng.integers(4)))
            row.append(turned[:, ::-1] if rng.random() < 0.5 else turned)
        rows.append(np.concatenate(row, axis=1))
    field = np.concatenate(rows)[: 2 * max(picture.shape[:2]), : 2 * max(picture.shape[:2])]
    return np.ascontiguousarray(field)


def red_cells(picture: Picture, rng: np.random.Generator) -> Picture:
    """A field like the picture's, without its leukocyte."""
    return field_of_corners(picture, rng)[: picture.shape[0], : picture.shape[1]]


def _ends(tile: int) -> tuple[slice, slice]:
    return slice(0, tile), slice(-tile, None)


def _soft_window(height: int, width: int) -> NDArray[np.float64]:
    """1 in the middle, falling to 0 over the outer tenth of the side."""
    ramps = [
        np.clip(np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (0.1 * n), 0, 1)
        for n in (height, width)
    ]
    return np.outer(*ramps)


def _linear(picture: Picture) -> Light:
    return np.asarray((picture / 255.0) ** GAMMA)


def _encoded(light: Light) -> Picture:
    return _rounded(255 * light.clip(0, 1) ** (1 / GAMMA))


def _rounded(values: Light) -> Picture:
    return np.asarray(values.round().clip(0, 255), dtype=np.uint8)


def _disc(radius: float) -> NDArray[np.float64]:
    """A pillbox, its rim antialiased; sums to 1."""
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)
    return np.asarray(disc / disc.sum())


def _resized(light: Light, share: float = 1.0, size: tuple[int, int] | None = None) -> Light:
    width, height = size or [max(8, round(share * n)) for n in light.shape[1::-1]]
    planes = [
        np.asarray(
            Image.fromarray(light[..., k].astype(np.float32)).resize(
                (width, height), Image.Resampling.BOX if share < 1 else Image.Resampling.BILINEAR
            )
        )
        for k in range(3)
    ]
    return np.stack(planes, axis=2).astype(np.float64)


def _scaled(picture: Picture, share: float) -> Picture:
    size = (round(share * picture.shape[1]), round(share * picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
