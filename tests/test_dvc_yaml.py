"""dvc.yaml tells the truth: deps are exactly the modules a stage imports, params what it reads."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
# What cannot change an output: MLflow's side, git and DVC; how Ctrl-C ends.
EDGE = {"tracking", "lineage", "registry"}
SIGNALS = Path("stages/__init__.py")
STAGES = (
    "download", "weights", "split", "preprocess", "quality", "train", "evaluate", "compare",
)  # fmt: skip


def module_file(name: str) -> Path | None:
    base = ROOT / name.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path.relative_to(ROOT)
    return None


def imports_of(path: Path) -> set[Path]:
    """Files of this project that `path` imports directly."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = (name for name in names if name.split(".")[0] in ("wbc", "stages"))
    return {file for name in ours if (file := module_file(name))}


def is_edge(path: Path) -> bool:
    ours = path.parts[0] == "wbc" and Path(path.parts[1]).stem.split("_")[0] in EDGE
    return ours or path == SIGNALS


def says_nothing(path: Path) -> bool:
    """A package's __init__ that holds a docstring at most."""
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    return path.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)


def modules_of(stage: str) -> set[str]:
    seen: set[Path] = set()
    queue = [Path("stages") / f"{stage}.py"]
    while queue:
        path = queue.pop()
        if path not in seen and not is_edge(path):
            seen.add(path)
            queue.extend(imports_of(path))
    return {path.as_posix() for path in seen if not says_nothing(path)}


def stages() -> dict[str, dict[str, object]]:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    document: dict[str, dict[str, dict[str, object]]] = YAML(typ="safe", pure=True).load(text)
    return document["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_imported_modules(stage: str) -> None:
    listed = [dep for dep in stages()[stage]["deps"] if dep.endswith(".py")]
    assert sorted(listed) == sorted(modules_of(stage)), f"{stage}: correct its deps in dvc.yaml"


def test_every_stage_is_listed_in_order() -> None:
    assert tuple(stages()) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_its_module(stage: str) -> None:
    assert str(stages()[stage]["cmd"]).startswith(f"python -m stages.{stage}")


def test_train_depends_on_what_the_card_records() -> None:
    from wbc.card import RECORDED

    assert tuple(stages()["train"]["params"]) == RECORDED
