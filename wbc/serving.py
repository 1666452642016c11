"""A registered version at work: encoded images in, class and probabilities out.

MLflow runs this file from inside the version (models from code), where `code/wbc` is the package
as it was at registration. That copy is used whatever package of the same name the process has
imported or has on its path, so two versions, or a version and the workspace, live side by side.

Input: column `image`, each an encoded image (JPEG, PNG, ...) as bytes or as base64 text. Output,
one row each: `class`; `p_<class>` (they sum to 1); `located` (False: no leukocyte was found, the
whole picture was judged); `out_of_domain` (farther from the training cells than 99 % of the
validation cells; null in a version without a reference to tell by); `error`. An image that cannot
be read has class `unreadable`, the reason in `error` and 0 for every probability, so that one bad
row does not stop a batch.
"""

import base64
import contextlib
import dataclasses
import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd

_PACKAGE = "wbc"
_BATCH = 64  # images decoded and judged at a time; bounds memory
_LOCK = threading.RLock()


class NotEncoded(ValueError):  # noqa: N818
    """What stands for an image is neither bytes nor base64 text."""


class OwnPackage:
    """The copy of wbc in `folder`, kept apart from any other wbc in the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._modules: dict[str, ModuleType] = {}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """While this lasts, `import wbc...` means the copy, in this process's only such place."""
        with _LOCK:
            outside = _take_modules()
            sys.modules.update(self._modules)
            sys.path.insert(0, self._folder)
            importlib.invalidate_caches()
            try:
                yield
            finally:
                sys.path.remove(self._folder)
                self._modules = _take_modules()
                sys.modules.update(outside)


class WhiteBloodCells(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The pyfunc of a version."""

    def load_context(self, context: Any) -> None:
        """Load the model with the version's own code."""
        self._own_package = OwnPackage(Path(__file__).resolve().parent / "code")
        with self._own_package():
            model = importlib.import_module(f"{_PACKAGE}.model")
            self._imaging = importlib.import_module(f"{_PACKAGE}.imaging")
            self._domain = importlib.import_module(f"{_PACKAGE}.reference")
            folder = Path(context.artifacts["card"]).parent
            self._classifier = model.load(folder)
            self._reference = self._domain.read(folder / self._domain.REFERENCE_FILE)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """One row of answers for each row of `model_input`, in the same order and index.

        `params={"calibrated": False}` leaves the temperature out of the probabilities; the classes
        are the same.
        """
        del context
        calibrated = bool((params or {}).get("calibrated", True))
        images = list(model_input["image"])
        with self._own_package():
            parts = [
                self._judge(images[start : start + _BATCH], calibrated)
                for start in range(0, len(images), _BATCH)
            ]
        rows = [row for part in parts for row in part]
        columns = list(self._row([0.0] * len(self._classifier.card["classes"])))
        return pd.DataFrame(rows, columns=columns, index=model_input.index)

    def _judge(self, images: list[Any], calibrated: bool) -> list[dict[str, Any]]:
        prepared, rows = {}, {}
        for position, image in enumerate(images):
            try:
                prepared[position] = self._prepare(image)
            except (self._imaging.UnreadableImage, NotEncoded) as reason:
                nothing = [0.0] * len(self._classifier.card["classes"])
                is_far = None if self._reference is None else False
                words = str(reason) or "unknown"
                rows[position] = self._row(nothing, "unreadable", is_far=is_far, error=words)
        if prepared:
            pixels = np.stack([cell.pixels for cell in prepared.values()])
            outputs = self._classifier.outputs(pixels)
            logits, far = outputs.logits, self._are_far(outputs.features)
            plain = self._classifier.probabilities_of(logits, calibrated=False)
            decisions = self._classifier.decide(plain)
            probabilities = self._classifier.probabilities_of(logits, calibrated)
            for (position, cell), shares, decision, is_far in zip(
                prepared.items(), probabilities, decisions, far, strict=True
            ):
                name = self._classifier.card["classes"][int(decision)]
                rows[position] = self._row(shares, name, bool(cell.located), is_far)
        return [rows[position] for position in range(len(images))]

    def _are_far(self, features: Any) -> list[bool | None]:
        """Of each cell; None where the version has no reference."""
        if self._reference is None:
            return [None] * len(features)
        distances = self._domain.distances(self._reference, features)
        return [bool(far) for far in self._domain.is_far(self._reference, distances)]

    def _prepare(self, image: Any) -> Any:
        framing = self._imaging.Framing.of(self._classifier.card["input"])
        if framing.crop == "mask":
            # masks are not sent here; a model trained with them sees the cell that is found instead
            framing = dataclasses.replace(framing, crop="cell")
        return self._imaging.prepare(image_bytes(image), framing)

    def _row(
        self,
        shares: Any,
        name: str = "",
        located: bool = False,
        is_far: bool | None = None,
        error: str = "",
    ) -> dict[str, Any]:
        classes = self._classifier.card["classes"]
        numbers = {f"p_{each}": float(p) for each, p in zip(classes, shares, strict=True)}
        flags = {"located": located, "out_of_domain": is_far}
        return {"class": name, **numbers, **flags, "error": error}


def image_bytes(image: Any) -> bytes:
    """Bytes as they are; text as base64, with or without the head of a data URL.

    Bytes that are base64 text too: MLflow's server hands them on so in the layout `inputs`. No
    encoded picture consists of such letters alone.

    Raises:
        NotEncoded: it is something else (a missing value, a number), or the text is no base64.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
        if not data[:64].isascii():
            return data
        try:
            return base64.b64decode(data, validate=True) or data
        except ValueError:
            return data
    if not isinstance(image, str):
        raise NotEncoded(f"neither bytes nor base64 text, but {type(image).__name__}")
    try:
        return base64.b64decode("".join(image.rpartition(",")[2].split()), validate=True)
    except ValueError as error:  # characters outside ASCII, or a binascii.Error
        raise NotEncoded(f"no base64 text ({error})") from None


def _take_modules() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


mlflow.models.set_model(WhiteBloodCells())
