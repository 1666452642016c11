"""Mistakes around training: weights, processes, stages by hand, experiments."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from stages._run import run, scratch_dir
from tests.mistakes.scene import ARCHITECTURE, Scene, Seen
from tests.small_disk import small_disk
from wbc import pixels
from wbc.backbones import Network
from wbc.cells import read_table

WEIGHTS = f"data/weights/{ARCHITECTURE}.pth"


def started_from(content: bytes | None) -> Callable[[Scene], Seen]:
    """model.weights names a file with this content; None: no file."""

    def make(scene: Scene) -> Seen:
        scene.set(model__weights=WEIGHTS)
        if content is not None:
            scene.write(WEIGHTS, content)
        return scene.stage("weights", ARCHITECTURE)

    return make


def weights_of_another_network(scene: Scene) -> Seen:
    scene.set(model__weights=WEIGHTS)
    path = scene.write(WEIGHTS)
    torch.save(Network("resnet18", 0.0, frozen_batch_norm=True).state_dict(), path)
    return scene.stage("weights", ARCHITECTURE)


def whole_network_saved(scene: Scene) -> Seen:
    """torch.save(model) instead of its state dict: a pickle of code, which is not loaded."""
    scene.set(model__weights=WEIGHTS)
    torch.save(torch.nn.Linear(2, 2), scene.write(WEIGHTS))
    return scene.stage("weights", ARCHITECTURE)


def other_architecture(stage: str) -> Callable[[Scene], Seen]:
    return lambda scene: scene.stage(stage, "googlenet")


def no_start(scene: Scene) -> Seen:
    return scene.stage("train", ARCHITECTURE)


def no_pixels(scene: Scene) -> Seen:
    start = {"architecture": ARCHITECTURE, "start": "random", "sha256": "", "note": ""}
    scene.write(f"models/{ARCHITECTURE}/start/start.json", json.dumps(start))
    Path("data/pixels").rename("data/pixels-away")
    return scene.stage("train", ARCHITECTURE)


def few_cached(scene: Scene) -> Seen:
    scene.set(train__cache_views=8, model__weights="auto")
    start = {"architecture": ARCHITECTURE, "start": "file", "sha256": "", "note": ""}
    scene.write(f"models/{ARCHITECTURE}/start/start.json", json.dumps(start))
    return scene.stage("train", ARCHITECTURE)


def no_model(scene: Scene) -> Seen:
    (scene.home / "models" / ARCHITECTURE / "model.json").unlink()
    return scene.stage("evaluate", ARCHITECTURE)


def compare_nothing(scene: Scene) -> Seen:
    Path("reports").rename("reports-away")
    return scene.stage("compare")


def sweep(grid: str) -> Callable[[Scene], Seen]:
    return lambda scene: scene.wbc("sweep", grid)


def sweep_dirty(scene: Scene) -> Seen:
    scene.process("git", "init", "-q")
    return scene.wbc("sweep", "seed=1,2")


def full_disk(scene: Scene) -> Seen:
    scene.laboratory(30)
    with small_disk(scene.home / "data" / "raw", 0.06):
        return scene.stage("download")


def twice_at_once(scene: Scene) -> Seen:
    def second() -> None:
        with scratch_dir("train", "the same"):
            pass

    with scratch_dir("train", "the same"):
        return scene.seen(lambda: run(second))


def adapt(name: str, *more: str) -> Callable[[Scene], Seen]:
    words = ("--model", f"models/{ARCHITECTURE}", "--epochs", "1")
    return lambda scene: scene.wbc("adapt", name, *words, *more)


def adapt_with_few_labels(scene: Scene) -> Seen:
    """The other laboratory has a single cell of each class."""
    table = read_table(Path("data/pixels/index.csv"))
    again = table["split"].eq("abroad") & table.duplicated(["split", "label"])
    settings = pixels.open_store(Path("data/pixels")).settings
    pixels.finish(Path("data/pixels"), table[~again], settings)
    return adapt("abroad")(scene)


def adapt_to_few(scene: Scene) -> Seen:
    scene.cells("few", 2)
    return scene.wbc("adapt", "few", "--unlabelled", "--model", f"models/{ARCHITECTURE}")


def adapt_without_labels_but_with(scene: Scene) -> Seen:
    return scene.wbc("adapt", "abroad", "--unlabelled", "--per-class", "5")


def torchrun_of_another_size(scene: Scene) -> Seen:
    scene.monkeypatch.setenv("TORCHELASTIC_RUN_ID", "by hand")
    for name in ("RANK", "LOCAL_RANK"):
        scene.monkeypatch.setenv(name, "0")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        scene.monkeypatch.setenv(name, "2")
    return scene.stage("train", ARCHITECTURE)


MAKERS = {
    "a weights file that is not there": started_from(None),
    "a weights file that is an HTML page": started_from(b"<!DOCTYPE html><title>Log in</title>"),
    "a weights file cut off": started_from(b"PK\x03\x04" + bytes(200)),
    "weights of another network": weights_of_another_network,
    "a whole network saved instead of its state dict": whole_network_saved,
    "a stage by hand with another architecture": other_architecture("train"),
    "a stage by hand without one": lambda scene: scene.stage("evaluate"),
    "train by hand before weights": no_start,
    "train by hand before preprocess": no_pixels,
    "cached views of few cells": few_cached,
    "evaluate by hand before train": no_model,
    "comparing before anything is evaluated": compare_nothing,
    "no space on the disk": full_disk,
    "the same stage twice at once": twice_at_once,
    "torchrun with another number of processes": torchrun_of_another_size,
    "a sweep with a bad grid": sweep("epochs"),
    "a sweep over an unknown setting": sweep("train.learning_rat=0.1,0.2"),
    "a sweep before git commit": sweep_dirty,
    "adapt to an unknown set": adapt("mars"),
    "adapt to the laboratory it was trained on": adapt("blobs"),
    "adapt with too few labels": adapt_with_few_labels,
    "adapt to a folder of two pictures": adapt_to_few,
    "adapt --unlabelled with labels asked for": adapt_without_labels_but_with,
}
