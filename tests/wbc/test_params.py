"""params.yaml is loaded strictly: whatever could not be run is one sentence before any work."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from wbc import params
from wbc.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
FOLDER = "{kind: folder, name: lab, role: auto, path: data/incoming/lab}"


def with_line(key: str, value: str | None) -> str:
    """params.yaml with the line of `key` (a.b.c) set to `value`; None removes the line."""
    lines, depth = TEXT.splitlines(), 0
    names, at = key.split("."), 0
    for number, line in enumerate(lines):
        if not line.startswith("  " * depth + names[depth] + ":"):
            continue
        at = number
        depth += 1
        if depth == len(names):
            break
    assert depth == len(names), f"{key} is not in params.yaml"
    indent = "  " * (len(names) - 1)
    return (
        "\n".join(
            [*lines[:at], *([f"{indent}{names[-1]}: {value}"] if value else []), *lines[at + 1 :]]
        )
        + "\n"
    )


def with_sources(*entries: str) -> str:
    start, end = TEXT.index("    - kind: sample"), TEXT.index("\nsplit:")
    return TEXT[:start] + "".join(f"    - {entry}\n" for entry in entries) + TEXT[end:]


def message(text: str, folder: Path) -> str:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        params.load(path)
    return str(error.value)


def test_the_shipped_file_loads_to_frozen_values() -> None:
    loaded = params.load(ROOT / "params.yaml")
    assert loaded.architectures == ("googlenet",)
    assert isinstance(loaded.data.sources[0], params.SampleSource)
    assert loaded.train.weight_decay == pytest.approx(0.01)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.seed = 2  # type: ignore[misc]


def test_a_whole_number_is_taken_where_any_number_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(with_line("train.ema_decay", "0"))
    value = params.load(path).train.ema_decay
    assert (value, type(value)) == (0.0, float)


def test_exponents_are_numbers_as_in_dvc(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(with_line("train.learning_rate", "1e-4"))
    assert params.load(path).train.learning_rate == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        # unknown and missing
        ("train.epochs", "14\n  epoch: 3", "train.epoch (value 3) is not a setting; did you mean"),
        ("seed", "1\nzzz: 3", "zzz (value 3) is not a setting; known here: seed, architectures"),
        ("train.augment.hue", "0.02\n    hues: 1", "train.augment.hues (value 1) is not a setting"),
        ("seed", "1\n7: 3", "7 (value 3) is not a setting"),
        ("train.epochs", None, "train.epochs is missing; add a line for it, a whole number"),
        ("seed", None, "seed is missing"),
        ("train.imbalance", None, "train.imbalance is missing; add a line for it, one of logit"),
        # types
        ("train.epochs", "14.5", "train.epochs is 14.5, but must be a whole number"),
        ("train.epochs", "true", "train.epochs is True, but must be a whole number"),
        ("train.epochs", "'14'", "train.epochs is '14', but must be a whole number"),
        ("train.epochs", "", "train.epochs is missing"),
        ("train.epochs", "null", "train.epochs is None, but must be a whole number"),
        ("train.epochs", "[14]", "train.epochs is [14], but must be a whole number"),
        ("model.dropout", "true", "model.dropout is True, but must be a number"),
        ("model.dropout", ".nan", "model.dropout is nan, but must be from 0 to 0.9"),
        ("train.augment.flips", "1", "train.augment.flips is 1, but must be true or false"),
        ("train.augment.flips", "yes", "train.augment.flips is 'yes', but must be true or false"),
        ("model.weights", "5", "model.weights is 5, but must be a text"),
        ("architectures", "googlenet", "architectures must be a list with at least one entry"),
        ("architectures", "[]", "architectures must be a list with at least one entry"),
        # values
        ("architectures", "[vgg16]", "architectures[0] is 'vgg16', but must be one of googlenet"),
        ("seed", "-1", "seed is -1, but must be from 0 to"),
        ("split.val_share", "0.5", "split.val_share is 0.5, but must be from 0.05 to 0.4"),
        ("split.max_group_share", "0", "split.max_group_share is 0.0, but must be above 0 to 1"),
        (
            "preprocess.input_size",
            "16",
            "preprocess.input_size is 16, but must be from 32 to 1024",
        ),
        ("preprocess.crop", "cells", "preprocess.crop is 'cells', but must be one of none, cell,"),
        ("train.learning_rate", "0", "train.learning_rate is 0.0, but must be above 0"),
        ("train.learning_rate", "1e400", "train.learning_rate is inf, but must be"),
        ("train.precision", "'32'", "train.precision is '32', but must be one of auto, 32, bf16"),
        ("train.precision", "32.0", "train.precision is 32.0, but must be one of auto, 32, bf16"),
        ("train.augment.hue", "0.2", "train.augment.hue is 0.2, but must be from 0 to 0.1"),
        ("train.augment.jpeg", "100", "train.augment.jpeg is 100.0, but must be from 0 to 90"),
        ("train.augment.blur", None, "train.augment.blur is missing; add a line for it, a number"),
        ("model.weights", "/home/me/a.pth", "dvc import-url /your/file.pth data/weights/NAME.pth"),
        ("model.weights", "'data/weights/{arch}.pth'", "{architecture} in it standing for"),
        ("promotion.set", "val", "promotion.set is 'val', but must be auto or the name of an eval"),
        ("promotion.recall_margin", "0", "promotion.recall_margin is 0.0, but must be above 0 to"),
        ("promotion.floor", "1.5", "promotion.floor is 1.5, but must be from 0 to 1"),
        ("model.weights", "'data/weights/x{.pth'", "{architecture} in it standing for"),
        # combinations
        ("train.epochs", "2", "train.head_epochs is 2 of train.epochs 2, so unfreeze: upper would"),
        ("architectures", "[googlenet, googlenet]", "architectures names a network twice"),
        ("train.seeds", "[1, 2, 1]", "train.seeds is [1, 2, 1], which trains the same twice"),
        ("train.seeds", "[1, -2]", "train.seeds[1] is -2, but must be from 0 to"),
        ("train.seeds", "[1, true]", "train.seeds[1] is True, but must be a whole number"),
        ("train.seeds", "3", "train.seeds must be a list"),
        ("model.weights", "none\n  x: 1", "model.x (value 1) is not a setting"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_sentence(
    key: str, value: str | None, words: str, tmp_path: Path
) -> None:
    found = message(with_line(key, value), tmp_path)
    assert words in found
    assert found.startswith("params.yaml: ")
    assert "\n" not in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.weights": "none", "train.unfreeze": "head"}, "set train.unfreeze: all or model"),
        ({"model.weights": "none", "train.batch_norm": "frozen"}, "set train.batch_norm: auto"),
        ({"split.val_share": "0.4", "split.test_share": "0.45"}, "leave less than a fifth"),
        ({"preprocess.crop": "mask"}, "has no masks; set it to cell"),
        ({"train.launcher": "none", "train.processes": "2"}, "set train.launcher: torchrun or"),
        (
            {"train.launcher": "torchrun", "train.processes": "3"},
            "cannot be shared evenly by train.processes 3, two cells or more each; set it to 15",
        ),
        ({"train.launcher": "torchrun", "train.processes": "16"}, "set it to 32"),
    ],
)
def test_impossible_combinations(changes: dict[str, str], words: str, tmp_path: Path) -> None:
    text = TEXT
    for key, value in changes.items():
        section, name = key.split(".")
        text = re.sub(rf"(?ms)(^{section}:.*?^  {name}:)[^\n]*", rf"\1 {value}", text, count=1)
    found = message(text, tmp_path)
    assert words in found
    assert all(name in found for name in changes if changes[name] != "torchrun")


def test_each_seed_is_a_training_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for value, seeds in (("[]", [1]), ("[7]", [7]), ("[3, 1]", [3, 1])):
        path.write_text(with_line("train.seeds", value))
        each = params.each_seed(params.load(path))
        assert [own.seed for own in each] == seeds
        assert all("train.seeds" not in params.flatten(own, "resnet18") for own in each)


def test_masks_are_never_behind_an_external_result(tmp_path: Path) -> None:
    other = "{kind: krd-wbc, name: krd, role: external}"
    text = re.sub(r"crop: cell", "crop: mask", with_sources(FOLDER, other), count=1)
    assert "source 'krd' has role external" in message(text, tmp_path)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["{name: a, role: auto}"], "data.sources[0].kind is None, but must be one of sample,"),
        (["{kind: zip, name: a, role: auto}"], "kind is 'zip', but must be one of sample, raabin"),
        (["lab"], "data.sources[0] must be an entry with `kind:`, but is 'lab'"),
        (["{kind: [sample], name: a, role: auto}"], "kind is ['sample'], but must be one of"),
        ([FOLDER.replace("lab,", "Lab,")], "data.sources[0].name is 'Lab', but must be lower-case"),
        ([FOLDER.replace("lab,", "../x,")], "data.sources[0].name is '../x', but must be"),
        ([FOLDER.replace("lab,", "test_a,")], "'test_a' is the name of a built-in evaluation set"),
        ([FOLDER.replace("}", ", group_pattern: '('}")], "pattern '(' of 'lab' is no regular"),
        ([FOLDER.replace("}", ", group_pattern: 'x'}")], "has no parentheses around the smear"),
        ([FOLDER, FOLDER], "data.sources has two entries with name 'lab'; rename one"),
        ([FOLDER.replace("auto", "external")], "there is nothing to train on"),
        ([FOLDER.replace("auto", "test")], "role is 'test', but must be one of auto, train, ext"),
        ([FOLDER.replace("data/incoming/lab", "/data/x")], "dvc import-url /your/path data/incom"),
        (["{kind: folder, name: lab, role: auto}"], "data.sources[0].path is missing"),
        ([FOLDER.replace("}", ", num_cells: 9}")], "num_cells (value 9) is not a setting"),
        ([FOLDER, "{kind: sample, name: s, role: auto, num_cells: 9, image_size: 99}"],
         "data.sources[1].num_cells is 9, but must be from 200"),
    ],
)  # fmt: skip
def test_a_wrong_source_is_one_sentence(entries: list[str], words: str, tmp_path: Path) -> None:
    found = message(with_sources(*entries), tmp_path)
    assert words in found
    assert "\n" not in found


@pytest.mark.parametrize("path", ["../incoming/x", "data/incoming/../../etc", "data/incoming/."])
def test_a_path_cannot_leave_data_incoming(path: str, tmp_path: Path) -> None:
    found = message(with_sources(FOLDER.replace("data/incoming/lab", path)), tmp_path)
    assert f"data.sources[0].path is '{path}'" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: [1", "cannot be read as YAML: line 1: expected ',' or ']'"),
        ("seed: 1\nseed: 2\n", 'cannot be read as YAML: line 2: found duplicate key "seed"'),
        ("train:\n\tepochs: 1\n", "cannot be read as YAML: line 2: found character"),
        ("seed: 1\n---\nseed: 2\n", "cannot be read as YAML: "),
        ("", "must be a section of `name: value` lines, but is empty"),
        ("- 1\n", "must be a section of `name: value` lines, but is [1]"),
        (re.sub(r"(?ms)^evaluate:.*?(?=^\S)", "evaluate: 5\n", TEXT), "evaluate must be a section"),
    ],
)
def test_what_is_no_params_file_is_said(text: str, words: str, tmp_path: Path) -> None:
    found = message(text, tmp_path)
    assert words in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (with_line("seed", "2024-13-45"), "cannot be read as YAML: month must be in 1..12"),
        (with_line("seed", "9" * 5000), "cannot be read as YAML: Exceeds the limit"),
        (with_line("seed", "[" * 3000), "cannot be read as YAML: maximum recursion depth"),
        (with_line("seed", "0x" + "f" * 5000), "seed is of type int, too long to be shown"),
        (with_line("train.weight_decay", "1" + "0" * 400), "train.weight_decay is 1000"),
        (with_line("seed", "x" * 9000), "seed is 'xxx"),
        (TEXT + "y" * 900 + ": 1\n", "yyy... (value 1) is not a setting"),
        (with_sources(FOLDER[:-1] + ", group_pattern: '(a){99999999999}'}"), "is no regular expr"),
        (with_sources(FOLDER[:-1] + f", group_pattern: '{'(' * 3000}'}}"), "is no regular expr"),
    ],
)  # fmt: skip
def test_what_the_parsers_stumble_over_is_said(text: str, words: str, tmp_path: Path) -> None:
    found = message(text, tmp_path)
    assert words in found and len(found) < 1000


def test_a_value_that_unfolds_without_end_is_said_shortly(tmp_path: Path) -> None:
    """Nine aliases of nine aliases of nine ...: five million words in a kilobyte."""
    lists = "{a: &a [x, x, x, x, x, x, x, x, x]" + "".join(
        f", {new}: &{new} [{', '.join([f'*{old}'] * 9)}]"
        for old, new in zip("abcdef", "bcdefg", strict=True)
    )
    for value in (lists + "}", "&a [*a]"):
        for text in (with_line("seed", value), f"seed: {value}\n", with_line("train", value)):
            assert len(message(text, tmp_path)) < 1000


def test_a_missing_or_binary_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`git checkout params"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\xfe")
    with pytest.raises(UserError, match="cannot be read as YAML"):
        params.load(tmp_path / "params.yaml")


def leaves(node: Node, above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, key node) of every setting, those inside lists of sections included."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            name = f"{above}.{key.value}" if above else key.value
            inner = value.value[0] if isinstance(value, SequenceNode) and value.value else value
            if isinstance(inner, MappingNode):
                yield from leaves(value, name)
            else:
                yield name, key
    elif isinstance(node, SequenceNode):
        for entry in node.value:
            yield from leaves(entry, above)


def test_every_setting_has_its_comment() -> None:
    """Behind it, right above it, or by name in a comment of its section."""
    lines = TEXT.splitlines()
    for name, key in leaves(YAML(pure=True).compose(TEXT)):
        number, word = key.start_mark.line, re.escape(key.value)
        own = "  #" in lines[number] or lines[number - 1].lstrip().startswith("#")
        section = re.search(rf"(?ms)^{name.split('.')[0]}:.*?(?=^\w|\Z)", TEXT)
        named = section and re.search(rf"#.*\b{word}\b", section.group())
        assert own or named, f"{name} has no comment"


def test_the_file_holds_every_setting_that_code_knows() -> None:
    """Optional ones too, except those of sources other than the embedded one."""
    names = {name.split(".")[-1] for name, _ in leaves(YAML(pure=True).compose(TEXT))}
    sections = [params.Split, params.Preprocess, params.Model, params.Train, params.Augment,
                params.Evaluate, params.Promotion, params.SampleSource]  # fmt: skip
    known = {field.name for section in sections for field in dataclasses.fields(section)}
    assert names == (known - {"augment"}) | {"seed", "architectures"}


def test_no_setting_has_a_name_that_dvcs_run_cache_overlooks() -> None:
    """DVC 3.67 takes every key `size` and `nfiles` out of its hash (dvc/stage/cache.py).

    With a setting of that name `dvc repro` would restore the outputs of another value of it.
    """
    overlooked = {"size", "nfiles"}
    flat = params.flatten(params.load(ROOT / "params.yaml"), "resnet18")
    named = {part for name in flat for part in re.split(r"[.\[\]]+", name)}
    options = {field.name for kind in get_args(params.Source) for field in dataclasses.fields(kind)}
    assert not overlooked & (named | options)


def test_flat_names_are_those_of_the_file() -> None:
    flat = params.flatten(params.load(ROOT / "params.yaml"), "resnet18")
    assert flat["architecture"] == "resnet18"
    assert flat["data.sources.sample.kind"] == "sample"
    assert (flat["train.augment.flips"], flat["train.epochs"]) == (True, 10)
    assert not any(isinstance(value, dict | list | tuple) for value in flat.values())
    assert "architectures" not in flat
    assert not any(name.startswith("promotion") for name in flat)  # what makes no model
