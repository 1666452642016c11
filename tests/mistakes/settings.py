"""Mistakes in params.yaml."""

from collections.abc import Callable
from typing import Any

from tests.mistakes.scene import Scene, Seen


def edited(old: str, new: str) -> Callable[[Scene], Seen]:
    """`make repro` after a change by hand: it checks params.yaml first."""

    def make(scene: Scene) -> Seen:
        scene.edit(old, new)
        return scene.wbc("check")

    return make


def set_to(**values: Any) -> Callable[[Scene], Seen]:
    def make(scene: Scene) -> Seen:
        scene.set(**values)
        return scene.wbc("check")

    return make


def no_file(scene: Scene) -> Seen:
    (scene.home / "params.yaml").unlink()
    return scene.wbc("check")


def no_gpu(scene: Scene) -> Seen:
    scene.monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return set_to(train__device="gpu")(scene)


def rocm_without_override(scene: Scene) -> Seen:
    """A build for ROCm on which torch sees no card, as on an RX 6650M XT."""
    scene.monkeypatch.setattr("torch.version.hip", "7.2")
    scene.monkeypatch.delenv("HSA_OVERRIDE_GFX_VERSION", raising=False)
    return no_gpu(scene)


SOURCE = {"kind": "sample", "name": "sample", "role": "auto", "num_cells": 900, "image_size": 200}
MAKERS = {
    "a typo in a parameter's name": edited("  dropout: 0.2", "  dropuot: 0.2"),
    "a parameter removed": edited("  dropout: 0.2", "  # dropout: 0.2"),
    "a word where a number belongs": edited("patience: 5", "patience: five"),
    "a decimal comma": edited("dropout: 0.2", "dropout: 0,2"),
    "a value out of range": edited("dropout: 0.2", "dropout: 2"),
    "a percentage instead of a share": edited("val_share: 0.15", "val_share: 15"),
    "an architecture misspelt": set_to(architectures=["googlnet"]),
    "an architecture twice": set_to(architectures=["resnet18", "resnet18"]),
    "a seed twice": set_to(train__seeds=[1, 1]),
    "tabs in params.yaml": edited("  dropout: 0.2", "\tdropout: 0.2"),
    "a setting written twice": edited("  dropout: 0.2", "  dropout: 0.2\n  dropout: 0.3"),
    "params.yaml emptied": lambda s: (s.write("params.yaml"), s.wbc("check"))[1],
    "the command in another folder, or params.yaml removed": no_file,
    "two sources of one name": set_to(data__sources=[SOURCE, SOURCE]),
    "only external sources": set_to(data__sources=[{**SOURCE, "role": "external"}]),
    "a role that there is not": set_to(data__sources=[{**SOURCE, "role": "test"}]),
    "several processes without a launcher": set_to(train__processes=2),
    "a GPU asked for and none there": no_gpu,
    "a ROCm card without the override": rocm_without_override,
    "an unknown profile": lambda scene: scene.wbc("params", "rabin"),
    "no profile named": lambda scene: scene.wbc("params", ""),
}
