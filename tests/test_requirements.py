"""requirements.txt: all pinned, nothing forgotten, and no build of torch is replaced by it."""

import ast
import json
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.standins import offline_pip, pins, write_wheel

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements.txt"
PINS = pins(REQUIREMENTS)
EXTRAS = (
    ROOT / f"requirements-{extra}.txt" for extra in ("dask", "onnx", "spark", "team", "tests")
)
EXTRA_PINS = {name: pin for path in EXTRAS for name, pin in pins(path).items()}
TORCH, TORCHVISION = PINS["torch"], PINS["torchvision"]
ENVIRONMENT = YAML(typ="safe", pure=True).load(ROOT / "environment.yml")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for all of requirements.txt as on PyPI, and for two other builds of torch."""
    folder = tmp_path_factory.mktemp("wheels")
    wants_torch = {"lightning": "torch<5.0,>=2.1.0", "torchmetrics": "torch>=2.0.0"}
    for name, pin in PINS.items():
        write_wheel(folder, name, pin, [wants_torch[name]] if name in wants_torch else [])
    for label in ("", "+rocm9.9", "+cpu"):
        write_wheel(folder, "torch", f"{TORCH}{label}")
        write_wheel(folder, "torchvision", f"{TORCHVISION}{label}", [f"torch=={TORCH}"])
    write_wheel(folder, "torch", "2.0.0+rocm9.9")
    return folder


def pip(environment: Path, wheels: Path, *arguments: str) -> str:
    """Run this Python's pip on another environment, without network."""
    command = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    done = subprocess.run(
        [*command, "install", "--quiet", *arguments],
        env=offline_pip(wheels), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def would_install(folder: Path, wheels: Path, *present: str) -> dict[str, str]:
    """What `pip install -r requirements.txt` would install where `present` is installed."""
    venv.create(folder, with_pip=False)
    if present:
        pip(folder, wheels, "--no-deps", *present)
    report = pip(folder, wheels, "--dry-run", "--report", "-", "-r", str(REQUIREMENTS))
    entries = [entry["metadata"] for entry in json.loads(report)["install"]]
    return {entry["name"]: entry["version"] for entry in entries}


@pytest.mark.parametrize("label", ["+rocm9.9", "+cpu"])
def test_another_build_of_torch_stays(label: str, wheels: Path, tmp_path: Path) -> None:
    present = (f"torch=={TORCH}{label}", f"torchvision=={TORCHVISION}{label}")
    found = would_install(tmp_path / "env", wheels, *present)
    assert set(found) == set(PINS) - {"torch", "torchvision"}


def test_the_dry_run_would_show_a_replaced_torch(wheels: Path, tmp_path: Path) -> None:
    """Another version of torch is replaced: the test above can fail."""
    found = would_install(tmp_path / "env", wheels, "torch==2.0.0+rocm9.9")
    assert found["torch"].startswith(TORCH)
    assert set(found) == set(PINS)


def test_environment_yml_holds_the_same_versions_for_rocm() -> None:
    lines = ENVIRONMENT["dependencies"][-1]["pip"]
    index = lines[0].removeprefix("--extra-index-url https://download.pytorch.org/whl/")
    assert index.startswith("rocm")
    assert lines[1:] == [f"torch=={TORCH}+{index}", f"torchvision=={TORCHVISION}+{index}"]
    assert f",{index.removeprefix('rocm')})" in (ROOT / "Makefile").read_text()


def test_environment_yml_is_named_rocm_and_helps_consumer_cards() -> None:
    assert ENVIRONMENT["name"] == "rocm"
    assert ENVIRONMENT["variables"] == {"HSA_OVERRIDE_GFX_VERSION": "10.3.0"}
    assert "python=3.11" in ENVIRONMENT["dependencies"]


def test_the_tests_run_with_the_pinned_versions() -> None:
    installed = {name: version(name).split("+")[0] for name in PINS}
    assert installed == PINS


@pytest.mark.parametrize("name", EXTRA_PINS)
def test_an_extra_that_is_there_has_the_pinned_version(name: str) -> None:
    try:
        found = version(name)
    except PackageNotFoundError:
        pytest.skip(f"no {name} here")
    assert found == EXTRA_PINS[name]


def test_every_imported_package_is_pinned() -> None:
    known = packages_distributions()
    pinned = {name.lower().replace("_", "-") for name in PINS | EXTRA_PINS}
    own = {
        "wbc",
        "stages",
        "benchmarks",
        "tests",
        *(path.stem for path in (ROOT / "tests").rglob("*.py")),
    }
    for path in [p for top in ("wbc", "stages", "tests") for p in (ROOT / top).rglob("*.py")]:
        for name in _imports(path) - own - set(sys.stdlib_module_names):
            dists = {dist.lower().replace("_", "-") for dist in known.get(name, [name])}
            assert dists & pinned, f"{path.relative_to(ROOT)} imports {name}: pin {dists}"


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
