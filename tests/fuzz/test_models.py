"""model.json, model.safetensors, reference.safetensors and weights to start from, not as written.

What loads must also answer, with probabilities; all else is one sentence.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.fuzz.bounds import bounded
from tests.fuzz.mutations import mutated
from tests.fuzz.profile import inputs
from wbc import model, reference
from wbc.backbones import Network
from wbc.cells import CLASSES
from wbc.framing import Framing
from wbc.weight_files import convert

CARD: Final = {
    "format": 1,
    "architecture": "squeezenet1_1",
    "classes": list(CLASSES),
    "input": {"size": 48, "crop": "cell", "context": 1.5},
    "log_prior": [-0.5, -1.6, -2.3, -3.0, -3.0],
    "decision": "logit_adjustment",
    "temperature": 1.2,
    "offsets": [0.0] * 5,
}
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(), st.text(max_size=5),
    st.lists(st.floats(-2, 2), max_size=6), st.lists(st.sampled_from(CLASSES), max_size=6),
    st.sampled_from([
        "resnet18", "googlenet", "classical", "argmax", {}, {"size": 10**9}, {"crop": 1}, 1e308,
        {"size": 48, "crop": "none", "context": 1}, list(reversed(CLASSES)), [[1.0]] * 5, 10**400,
        {"size": 48, "crop": "cell", "context": 1e9}, [float("inf")] * 5, ["a", "b", "c", "d", "e"],
    ]),
)  # fmt: skip
TOKENS: Final = (
    b"null",
    b"NaN",
    b"Infinity",
    b"[" * 3000,
    b"{",
    b'"',
    b"1e400",
    b"9" * 5000,
    b"\0",
)


@pytest.fixture(scope="module")
def whole(area: Path) -> Path:
    """A model and its reference, right in all."""
    torch.manual_seed(0)
    folder = area / "whole"
    model.save(folder, Network("squeezenet1_1", 0.0, True), CARD)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(30, 512)).astype(np.float32)
    made = reference.make_reference(
        numbers[:20], numbers[20:], numbers[20:, :5], {"brightness": np.arange(10.0)}
    )
    reference.write(folder / reference.REFERENCE_FILE, made, "a" * 64)
    return folder


def use(folder: Path) -> None:
    """As predict does: load, answer, decide."""
    classifier = model.load(folder)
    Framing.of(classifier.card["input"])
    outputs = classifier.outputs(np.full((2, 48, 48, 3), 200, np.uint8))
    shares = classifier.probabilities_of(outputs.logits)
    assert shares.shape == (2, 5) and np.allclose(shares.sum(axis=1), 1, atol=1e-3)
    assert set(classifier.decide(shares)) <= set(range(5))
    assert len(classifier.card["classes"]) == 5


def with_card(whole: Path, text: bytes) -> Path:
    folder = whole.parent / "changed"
    folder.mkdir(exist_ok=True)
    (folder / model.CARD_FILE).write_bytes(text)
    weights = folder / model.WEIGHTS_FILE
    weights.unlink(missing_ok=True)
    weights.symlink_to(whole / model.WEIGHTS_FILE)
    return folder


@given(changes=st.dictionaries(st.sampled_from(sorted(CARD)), VALUES, min_size=1, max_size=2))
@inputs(30)
def test_any_card_is_used_or_refused(changes: dict[str, Any], whole: Path) -> None:
    folder = with_card(whole, json.dumps(CARD | changes).encode())
    with bounded(folder / "nothing"):
        use(folder)


@given(data=mutated([json.dumps(CARD).encode()], TOKENS))
@inputs(15)
def test_any_text_is_a_card_or_a_sentence(data: bytes, whole: Path) -> None:
    folder = with_card(whole, data)
    with bounded(folder / "nothing"):
        use(folder)


@st.composite
def header_changed(draw: st.DrawFn) -> tuple[str, Any]:
    """What to change of one tensor, or of the file's length and bytes."""
    return draw(
        st.one_of(
            st.tuples(st.just("shape"), st.lists(st.integers(-1, 2**40), max_size=4)),
            st.tuples(st.just("dtype"), st.sampled_from(("F16", "I64", "BF16", "U8", "F8", "", 3))),
            st.tuples(st.just("data_offsets"), st.lists(st.integers(-1, 2**40), max_size=3)),
            st.tuples(
                st.just("name"), st.sampled_from(("", "x", "classifier.1.bias", "__metadata__"))
            ),
            st.tuples(st.just("gone"), st.none()),
            st.tuples(st.just("length"), st.integers(0, 2**63)),
            st.tuples(st.just("bytes"), st.integers(0, 400)),
        )
    )


def damage(path: Path, change: tuple[str, Any], pick: int) -> bytes:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    what, value = change
    if what == "length":
        return int(value).to_bytes(8, "little") + data[8:]
    if what == "bytes":
        return data[: len(data) * value // 400]
    header = json.loads(data[8 : 8 + size])
    names = sorted(name for name in header if name != "__metadata__")
    name = names[pick % len(names)]
    if what == "gone":
        del header[name]
    elif what == "name":
        header[value] = header.pop(name)
    else:
        header[name][what] = value
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


@given(change=header_changed(), pick=st.integers(0, 60))
@inputs(15)
def test_damaged_weights_are_used_or_refused(
    change: tuple[str, Any], pick: int, whole: Path
) -> None:
    folder = with_card(whole, json.dumps(CARD).encode())
    data = damage(whole / model.WEIGHTS_FILE, change, pick)
    (folder / model.WEIGHTS_FILE).unlink()
    (folder / model.WEIGHTS_FILE).write_bytes(data)
    with bounded(folder / "nothing"):
        use(folder)
    start = folder / "start"
    start.mkdir(exist_ok=True)
    with bounded(start, counts=False):
        convert("squeezenet1_1", folder / model.WEIGHTS_FILE, start)


@given(change=header_changed(), pick=st.integers(0, 60))
@inputs(20)
def test_a_damaged_reference_is_used_or_refused(
    change: tuple[str, Any], pick: int, whole: Path
) -> None:
    path = whole.parent / "changed.safetensors"
    path.write_bytes(damage(whole / reference.REFERENCE_FILE, change, pick))
    with bounded(whole / "nothing"):
        measured(path)


@given(data=st.data())
@inputs(20)
def test_any_bytes_are_a_reference_or_a_sentence(data: st.DataObject, whole: Path) -> None:
    path = whole.parent / "changed.safetensors"
    path.write_bytes(data.draw(mutated([(whole / reference.REFERENCE_FILE).read_bytes()])))
    with bounded(whole / "nothing"):
        measured(path)


def measured(path: Path) -> None:
    found = reference.read(path)
    if found is not None:
        cells = np.ones((3, 512), np.float32)
        far = reference.is_far(found, reference.distances(found, cells))
        assert far.shape == (3,) and np.isfinite(found.limit)


@given(
    given_=st.sampled_from(("squeezenet1_1", "squeezenet1_0", "resnet18", "mobilenet_v2")),
    named=st.sampled_from(("squeezenet1_1", "resnet18", "shufflenet_v2_x1_0", "classical")),
)
@inputs(5)
def test_swapped_architectures_are_refused(given_: str, named: str, whole: Path) -> None:
    folder = with_card(whole, json.dumps(CARD | {"architecture": named}).encode())
    (folder / model.WEIGHTS_FILE).unlink()
    save_file(Network(given_, 0.0, True).net.state_dict(), folder / model.WEIGHTS_FILE)
    with bounded(folder / "nothing"):
        use(folder)
        assert given_ == named
