"""Every command that writes, from the workspace that it starts in to the one that it ends in.

Each stage starts as DVC starts it: without its outputs, with what the stages before it made.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.pipeline.conftest import SMALL, set_params

NAME = SMALL["architectures"][0]  # type: ignore[index]
MODEL = f"models/{NAME}"
TRAINED = ("model.safetensors", "model.json", "reference.safetensors", "history.csv", "seeds")


@dataclass(frozen=True)
class Command:
    """`words` as typed. `removes`: outputs, and `before`: what else is done before it starts.

    `follows`: it starts where the command before it in COMMANDS ended; else where a finished
    pipeline ended.
    """

    name: str
    words: tuple[str, ...]
    removes: tuple[str, ...] = ()
    before: Callable[[Path], None] = field(default=lambda workspace: None)
    follows: bool = True
    mlruns_of: str = ""  # it starts with the mlruns that this command left
    share: int = 10  # of the kill points, in all commands about 200
    # A kill at an event that matches comes when all is done. It is done all over then, and both are
    # on record: another run of the same model.
    all_done: str = ""
    said_when_done: str = ""  # what it says, with status 1, where nothing was left to do

    @property
    def environment(self) -> dict[str, str]:
        """What DVC sets for a stage."""
        is_stage = self.words[:2] == ("python", "-m") and self.words[2].startswith("stages.")
        return {"DVC_STAGE": self.name} if is_stage else {}


def without_mlflow(workspace: Path) -> None:
    shutil.rmtree(workspace / "mlruns")
    (workspace / "mlruns").mkdir()
    (workspace / "mlruns" / ".gitkeep").touch()


def _divide_otherwise(workspace: Path) -> None:
    set_params(workspace, {"split.seed": 2})


def _evaluate_otherwise(workspace: Path) -> None:
    set_params(workspace, {"evaluate.batch_size": 32})


def _stage(
    name: str, *removes: str, share: int, words: tuple[str, ...] = (), all_done: str = ""
) -> Command:
    command = ("python", "-m", f"stages.{name}", *words)
    return Command(name, command, removes, share=share, all_done=all_done)


COMMANDS = (
    # MLflow's first start, which creates the database.
    Command("list", ("python", "-m", "wbc", "list"), before=without_mlflow, follows=False,
            share=20),
    Command("sync", ("python", "-m", "wbc", "sync"), share=24),
    Command("download", ("python", "-m", "stages.download"), ("data/raw",), mlruns_of="list",
            share=18),
    _stage("weights", f"{MODEL}/start", share=8, words=(NAME,)),
    _stage("split", "data/split", share=14),
    _stage("preprocess", "data/pixels", share=18),
    _stage("quality", "quality", share=10),
    _stage("train", *(f"{MODEL}/{name}" for name in TRAINED), share=26, words=(NAME,),
           all_done=r"/scratch/train-\w+-\w+\.done|^unlink /scratch/train-\w+-\w+\.lock"),
    _stage("evaluate", f"reports/{NAME}", share=22, words=(NAME,)),
    _stage("compare", "comparison", share=14),
    Command("promote", ("python", "-m", "wbc", "promote"), share=24,
            said_when_done="it is champion already"),
    Command("predict", ("python", "-m", "wbc", "predict", "data/raw", "--model", MODEL), share=14,
            said_when_done="predictions.csv is there already"),
    Command("dvc repro preprocess", ("dvc", "repro", "preprocess"), before=_divide_otherwise,
            follows=False, share=18),
    Command("dvc repro", ("dvc", "repro"), before=_evaluate_otherwise, follows=False, share=12),
)  # fmt: skip


def prepare(command: Command, workspace: Path) -> None:
    """From where the command before ended to where this one starts."""
    for name in command.removes:
        path = workspace / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    command.before(workspace)
