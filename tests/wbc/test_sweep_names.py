"""wbc.sweep_names: other settings, other names; git takes all of them."""

import subprocess

import pytest

from wbc import sweep
from wbc.sweep_names import short_names, value_name


def names(grid: str) -> list[str]:
    return [point.name for point in sweep.parse(grid)]


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ("train.weight_decay=.1,1,1e-3", ["0.1", "1", "0.001"]),
        ("train.augment.flips=true,false", ["true", "false"]),
        (
            "architectures=[mobilenet_v2],[googlenet,resnet18]",
            ["mobilenet_v2", "googlenet-resnet18"],
        ),
    ],
)
def test_a_value_is_named_as_yaml_reads_it(grid: str, expected: list[str]) -> None:
    assert [name.partition("=")[2] for name in names(grid)] == expected


def test_other_settings_have_other_names_that_git_takes() -> None:
    """Also in another grid: the same name would show another experiment's score."""
    grids = (
        "seed=1 split.seed=2",
        "seed=1",
        "split.seed=1",
        "train.batch_size=64",
        "evaluate.batch_size=64",
        "train.weight_decay=.1,1,-1,1.,.01",
        "model.weights=data/weights/a_b.pth,data/weights/a-b.pth,data-weights-a-b.pth,x.lock,a..b,a.b",
        "train.seeds=[],[1,2],[-1,2],[1-2],[12]",
    )
    found = [name for grid in grids for name in names(grid)]
    assert len(set(found)) == len(found) == 21
    for name in found:
        subprocess.run(["git", "check-ref-format", f"refs/exps/aa/{name}"], check=True)


def test_the_section_is_left_out_where_no_other_setting_ends_so() -> None:
    keys = ["train.learning_rate", "train.batch_size", "seed"]
    assert list(short_names(keys).values()) == ["learning_rate", "train.batch_size", "seed"]
    assert value_name("data/weights/own.pth").startswith("data-weights-own.pth-")
