"""A profile is merged into params.yaml: its settings, nothing else, and every comment stays."""

import difflib
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.generalisation.variants import VARIANTS
from wbc import params, profiles
from wbc.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))
JOBS = ["krd-wbc", "raabin"]  # what brings data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the shipped params.yaml and profiles."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return tmp_path


def comments(text: str) -> list[str]:
    return [line.split("#", 1)[1].strip() for line in text.splitlines() if "#" in line]


def write_profile(root: Path, text: str) -> None:
    (root / "profiles" / "mine.yaml").write_text(text)


def test_raabin_is_the_real_job(root: Path) -> None:
    profiles.apply("raabin", root)
    loaded = params.load(root / "params.yaml")
    assert loaded.data.sources == (params.RaabinSource("raabin", "raabin", "auto", "kaggle"),)
    assert (loaded.model.weights, loaded.preprocess.input_size) == ("imagenet", 224)
    assert (loaded.preprocess.crop, loaded.train.unfreeze) == ("cell", "upper")
    assert (loaded.train.epochs, loaded.train.head_epochs) == (25, 3)
    assert (loaded.train.batch_size, loaded.train.batch_norm) == (64, "auto")


def test_krd_wbc_is_the_real_job(root: Path) -> None:
    profiles.apply("krd-wbc", root)
    loaded = params.load(root / "params.yaml")
    assert loaded.data.sources == (params.KrdWbcSource("krd-wbc", "krd-wbc", "auto", "mendeley"),)
    assert (loaded.model.weights, loaded.preprocess.input_size) == ("imagenet", 224)
    assert (loaded.preprocess.crop, loaded.train.batch_size) == ("cell", 32)


def test_every_shipped_profile_is_driven_here() -> None:
    assert SHIPPED == ["compare", "krd-wbc", "other-laboratories", "raabin"]


def test_other_laboratories_is_what_the_study_chose_on_top_of_any_job(root: Path) -> None:
    profiles.apply("raabin", root)
    before = params.load(root / "params.yaml")
    profiles.apply("other-laboratories", root)
    loaded = params.load(root / "params.yaml")
    chosen = VARIANTS["together"]
    preprocess, train = chosen.settings(before, before.preprocess.input_size, before.train.epochs)
    assert (loaded.preprocess, loaded.train) == (preprocess, train)
    assert (loaded.data, loaded.model) == (before.data, before.model)


def test_compare_sets_the_architectures_to_all_there_are_and_nothing_else(root: Path) -> None:
    profiles.apply("compare", root)
    before, after = ((at / "params.yaml").read_text().splitlines() for at in (ROOT, root))
    changed = [line for line in after if line not in before]
    assert len(changed) == 1 and changed[0].startswith("architectures: [googlenet, mobilenet_v2")
    loaded = params.load(root / "params.yaml")
    assert loaded.architectures == get_args(params.Architecture)


@pytest.mark.parametrize("name", JOBS)
def test_only_lines_of_the_profile_change(root: Path, name: str) -> None:
    before = (root / "params.yaml").read_text()
    profiles.apply(name, root)
    after = (root / "params.yaml").read_text()
    settings = params.read_yaml((root / "profiles" / f"{name}.yaml").read_text(), name)
    ours = {key for section in settings.values() for key in section}
    ours |= {
        "kind",
        "name",
        "role",
        "num_cells",
        "image_size",
        "path",
    }  # of the entries in data.sources
    diff = difflib.ndiff(before.splitlines(), after.splitlines())
    changed = [line[2:] for line in diff if line[0] in "+-"]
    assert changed
    assert {line.strip("- ").split(":")[0] for line in changed} <= ours
    lost = set(comments(before)) - set(comments(after))
    assert lost == {  # they went with the list that the profile replaces
        "drawn cells over train and both tests; more is slower and easier",
        "pixels, side of a drawn field",
    }


@pytest.mark.parametrize("name", JOBS)
def test_the_order_of_profiles_does_not_matter(root: Path, name: str) -> None:
    profiles.apply(name, root)
    alone = (root / "params.yaml").read_bytes()
    for other in JOBS:
        profiles.apply(other, root)
    profiles.apply(name, root)
    assert (root / "params.yaml").read_bytes() == alone


def test_what_a_user_wrote_stays_and_what_is_replaced_is_said(root: Path) -> None:
    path = root / "params.yaml"
    text = path.read_text().replace("seed: 1  #", "seed: 7    # lucky\n#", 1)
    text = re.sub(r"\n  epochs: \d+  #", '\n  epochs: 99  # "long" run #', text, count=1)
    path.write_text(text)
    message = profiles.apply("raabin", root)
    after = path.read_text()
    assert after.count("seed: 7    # lucky") == 1
    assert '  epochs: 25  # "long" run #' in after
    assert "train.epochs: 99 -> 25" in message
    assert "data.sources: [{kind: sample," in message
    assert "already so: split.near_duplicate_bits, preprocess.crop" in message
    assert "seed" not in message


def test_a_second_time_changes_nothing_and_says_so(root: Path) -> None:
    profiles.apply("raabin", root)
    before = (root / "params.yaml").stat().st_mtime_ns
    assert "nothing was changed" in profiles.apply("raabin", root)
    assert (root / "params.yaml").stat().st_mtime_ns == before


def test_lists_are_replaced_as_a_whole_in_either_style(root: Path) -> None:
    write_profile(
        root,
        "architectures:\n  - resnet18  # small\n  - googlenet\ndata:\n  sources: [{kind: folder,"
        " name: lab, role: auto, path: data/incoming/lab}]\n",
    )
    profiles.apply("mine", root)
    loaded = params.load(root / "params.yaml")
    assert loaded.architectures == ("resnet18", "googlenet")
    assert [source.name for source in loaded.data.sources] == ["lab"]
    assert "\nsplit:\n" in (root / "params.yaml").read_text()


def test_a_list_moves_to_the_indent_of_params_yaml(root: Path) -> None:
    write_profile(
        root,
        "data:\n      sources:\n      - kind: folder\n        name: lab\n        role: auto\n"
        "        path: data/incoming/lab\n"
        "      - kind: krd-wbc\n        name: krd\n        role: external\n",
    )
    profiles.apply("mine", root)
    assert "    - kind: folder\n      name: lab\n" in (root / "params.yaml").read_text()
    assert len(params.load(root / "params.yaml").data.sources) == 2


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("train:\n  epoch: 5\n", "train.epoch (value 5) is not a setting; did you mean 'epochs'?"),
        ("train:\n  epochs: many\n", "train.epochs is 'many', but must be a whole number"),
        ("train: 5\n", "train must be a section"),
        ("train:\n  epochs: 1\n", "of train.epochs 1, so unfreeze"),
        ("seed:\n  more: 1\n", "seed is {'more': 1}, but must be a whole number"),
        ("train:\n  epochs: 5\n  epochs: 6\n", 'line 3: found duplicate key "epochs"'),
        ("# nothing\n", "must hold sections"),
        ("- 1\n", "must hold sections"),
    ],
)
def test_a_wrong_profile_is_refused_before_writing(root: Path, profile: str, words: str) -> None:
    write_profile(root, profile)
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(UserError) as error:
        profiles.apply("mine", root)
    assert words in str(error.value)
    assert "profiles/mine.yaml" in str(error.value)
    assert (root / "params.yaml").read_bytes() == before


def test_a_setting_missing_in_params_yaml_has_no_place(root: Path) -> None:
    path = root / "params.yaml"
    path.write_text(re.sub(r"\n  epochs:", "\n  # epochs:", path.read_text()))
    with pytest.raises(UserError, match=r"params.yaml: train.epochs is missing"):
        profiles.apply("raabin", root)


def test_what_a_yaml_merge_brings_is_refused(root: Path) -> None:
    (root / "profiles" / "own.yaml").write_text("<<: {seed: 3}\n")
    before = (root / "params.yaml").read_text()
    with pytest.raises(UserError, match=r"seed by a YAML merge \(<<\).*write the setting out"):
        profiles.apply("own", root)
    assert (root / "params.yaml").read_text() == before


@pytest.mark.parametrize("name", ["raabim", "", "../params", "profiles/none.yaml"])
def test_an_unknown_profile_names_those_there_are(root: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"there are compare, krd-wbc, other-laboratories, raabin"):
        profiles.apply(name, root)


def test_a_profile_may_be_named_by_its_path(root: Path) -> None:
    assert "train.epochs: 10 -> 25" in profiles.apply("profiles/raabin.yaml", root)


def test_params_yaml_is_replaced_in_one_step(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (root / "params.yaml").read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        profiles.apply("raabin", root)
    assert (root / "params.yaml").read_bytes() == before
