"""The words of the Makefile, in a copy of the repository's set-up files, without network."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.standins import offline_pip, pins, write_wheel

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = pins(ROOT / "requirements.txt")
TORCH, TORCHVISION = VERSIONS["torch"], VERSIONS["torchvision"]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository in a folder with a space, whose requirements are torch and torchvision."""
    repo = tmp_path / "my cells"
    shutil.copytree(ROOT / ".ci", repo / ".ci")
    shutil.copy(ROOT / "Makefile", repo)
    (repo / "requirements.txt").write_text(
        f"torch=={TORCH}\ntorchvision=={TORCHVISION}  # a pair\n"
    )
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    return repo


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    for label in ("", "+rocm7.2", "+cpu"):
        write_wheel(folder, "torch", f"{TORCH}{label}")
        write_wheel(folder, "torchvision", f"{TORCHVISION}{label}", [f"torch=={TORCH}"])
    return folder


def make(
    repo: Path, *words: str, wheels: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    outer = ("MAKE", "MFLAGS", "CONDA_")  # the tests themselves may run under make, or conda
    environment = offline_pip(wheels or repo)
    environment = {k: v for k, v in environment.items() if not k.startswith(outer)} | variables
    command = ["make", f"PYTHON={sys.executable}", *words]
    return subprocess.run(
        command, cwd=repo, env=environment, capture_output=True, text=True, check=False
    )


def fake_python(folder: Path, body: str) -> Path:
    """A Python that behaves otherwise where `body`, a piece of shell, says so."""
    path = folder / "python-fake"
    path.write_text(f'#!/bin/sh\n{body}\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return path


def installed_torch(repo: Path) -> str:
    found = list((repo / ".venv").glob("lib/python*/site-packages/torch-*.dist-info"))
    assert len(found) == 1, found
    return found[0].name.removeprefix("torch-").removesuffix(".dist-info")


def pretend_installed(repo: Path, build: str) -> None:
    (repo / ".venv").mkdir()
    (repo / ".venv" / f".installed-{build}").touch()


def test_help_is_the_default_and_names_every_word(repo: Path) -> None:
    done = make(repo)
    assert done.returncode == 0
    for word in (
        "help",
        "repro",
        "compare",
        "test",
        "fuzz",
        "ui",
        "lint",
        "params",
        "clean",
        "clean-all",
    ):
        assert f"  make {word} " in done.stdout
    assert "TORCH=cuda|rocm|cpu|active (now cuda)" in done.stdout
    assert not (repo / ".venv").exists()


@pytest.mark.parametrize(
    ("words", "build", "line"),
    [
        ([], "cuda", f'"torch==={TORCH}" "torchvision==={TORCHVISION}" '),
        (["TORCH=cpu"], "cpu", f'"torch=={TORCH}+cpu" "torchvision=={TORCHVISION}+cpu" --extra'),
        (["TORCH=rocm"], "rocm7.2", "--extra-index-url https://download.pytorch.org/whl/rocm7.2 "),
        (["TORCH=rocm", "ROCM=7.14"], "rocm7.14", f'"torch=={TORCH}+rocm7.14" '),
    ],
)
def test_each_build_has_its_wheels(repo: Path, words: list[str], build: str, line: str) -> None:
    done = make(repo, "-n", "repro", *words)
    assert line in done.stdout
    assert f"touch .venv/.installed-{build}\n" in done.stdout


def test_repro_checks_the_parameters_before_dvc(repo: Path) -> None:
    pretend_installed(repo, "cuda")
    done = make(repo, "-n", "repro", "ARGS=-f train")
    assert "pip install" not in done.stdout
    check, run = done.stdout.index("-m wbc check"), done.stdout.index("-m dvc repro -f train")
    assert check < run
    assert 'PATH="$BIN:$PATH" "$BIN/python"' in done.stdout


def test_no_shell_reads_the_name_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / 'cells $(touch owned) `touch owned` "; touch owned; "'
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    (folder / "requirements.txt").touch()
    pretend_installed(folder, "cuda")
    (folder / ".venv" / "bin").mkdir()
    python = folder / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$0 $*; PATH=$PATH"\n')
    python.chmod(0o755)
    for word in ("ui", "lint", "repro"):
        done = make(folder, word)
        assert done.returncode == 0, done.stderr
        assert f"{python} -m " in done.stdout and f"PATH={python.parent}:" in done.stdout
    assert not list(tmp_path.rglob("owned"))


def test_compare_sets_the_architectures_before_the_pipeline(repo: Path) -> None:
    pretend_installed(repo, "cuda")
    done = make(repo, "-n", "compare")
    chosen, run = done.stdout.index("-m wbc params compare"), done.stdout.index("-m dvc repro")
    assert chosen < run


def test_changed_requirements_are_installed(repo: Path) -> None:
    pretend_installed(repo, "cuda")
    later = time.time() + 5
    os.utime(repo / "requirements.txt", (later, later))
    assert "pip install" in make(repo, "-n", "lint").stdout


def test_the_build_in_use_is_remembered(repo: Path) -> None:
    pretend_installed(repo, "rocm7.14")
    assert "(now rocm), ROCM=7.14" in make(repo).stdout
    assert "pip install" not in make(repo, "-n", "test").stdout
    assert f'"torch==={TORCH}"' in make(repo, "-n", "test", "TORCH=cuda").stdout


def test_the_active_conda_environment_is_used_as_it_is(repo: Path) -> None:
    done = make(repo, "-n", "repro", CONDA_DEFAULT_ENV="rocm")
    assert "pip install" not in done.stdout.replace("type: pip install -r", "")
    assert '"$BIN/python" -m dvc repro' in done.stdout
    show = ("--eval", 'show: ; @echo "$$BIN"', "show")
    shown = make(repo, *show, CONDA_DEFAULT_ENV="rocm").stdout
    assert shown == f"{Path(sys.executable).parent}\n"
    assert make(repo, "active", "TORCH=active").returncode == 0


def test_an_active_environment_without_packages_is_said(repo: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    done = make(repo, "lint", "TORCH=active", f"PYTHON={tmp_path}/env/bin/python")
    assert "packages; type: pip install -r requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_build_is_one_sentence(repo: Path) -> None:
    done = make(repo, "repro", "TORCH=amd")
    assert done.returncode != 0
    assert "TORCH is 'amd', but must be cuda (runs on the CPU too), rocm, cpu" in done.stderr


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            'test "$1" = --version && echo Python 3.9.2 && exit\n'
            'test "$1" = -c && set -- -c "import sys; sys.version_info = (3, 9, 2); $2"',
            "Python 3.11 or newer was expected, but {} is Python 3.9.2",
        ),
        ('test "$2" = venv && exit 1', "type: sudo apt install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_one_sentence(
    repo: Path, tmp_path: Path, body: str, words: str
) -> None:
    python = fake_python(tmp_path, body)
    done = make(repo, "lint", f"PYTHON={python}")
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert words.format(python) in done.stderr
    assert not (repo / ".venv").exists()


def test_a_missing_python_or_git_is_one_sentence(repo: Path, tmp_path: Path) -> None:
    done = make(repo, "lint", "PYTHON=python2.9")
    assert done.stderr.startswith("error: python2.9 was expected but is not there")
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("make", "sh", "sed", "awk"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    done = make(repo, "lint", PATH=str(tools))
    assert "error: git was expected but is not there; type: sudo apt install git" in done.stderr


def test_switching_the_build_reinstalls_torch(repo: Path, wheels: Path) -> None:
    """One environment goes through the builds; Debian's Python without ensurepip makes it."""
    python = fake_python(repo.parent, 'test "$2 $3 $4" = "venv --clear .venv" && exit 1')
    words = [".venv/.installed-rocm7.2", "TORCH=rocm", f"PYTHON={python}"]
    done = make(repo, *words, wheels=_with_pip(wheels))
    assert done.returncode == 0, done.stderr
    assert installed_torch(repo) == f"{TORCH}+rocm7.2"
    for build, label in [("cuda", ""), ("cpu", "+cpu")]:
        done = make(repo, f".venv/.installed-{build}", f"TORCH={build}", wheels=wheels)
        assert done.returncode == 0, done.stderr
        assert installed_torch(repo) == f"{TORCH}{label}"
        stamps = [path.name for path in (repo / ".venv").glob(".installed-*")]
        assert stamps == [f".installed-{build}"]
    failed = make(repo, ".venv/.installed-rocm1.0", "TORCH=rocm", "ROCM=1.0", wheels=wheels)
    assert failed.returncode != 0
    assert "error: pip could not install requirements.txt with PyTorch for rocm1.0" in failed.stderr
    assert "(now cpu)" in make(repo).stdout  # remembered, and looked after once more:
    assert "pip install" in make(repo, "-n", "lint").stdout


def _with_pip(wheels: Path) -> Path:
    """The folder with a wheel of pip in it, repacked from the pip that runs the tests."""
    found = subprocess.run(
        [sys.executable, "-m", "pip", "inspect", "--local"], capture_output=True, check=True
    )
    entry = next(
        item for item in json.loads(found.stdout)["installed"] if item["metadata"]["name"] == "pip"
    )
    version, site = entry["metadata"]["version"], Path(entry["metadata_location"]).parent
    with_code = wheels / f"pip-{version}-py3-none-any"
    shutil.copytree(site / "pip", with_code / "pip")
    shutil.copytree(Path(entry["metadata_location"]), with_code / f"pip-{version}.dist-info")
    archive = shutil.make_archive(str(with_code), "zip", with_code)
    Path(archive).rename(f"{with_code}.whl")
    shutil.rmtree(with_code)
    return wheels


def test_without_git_dvc_is_told_so_and_told_back(repo: Path) -> None:
    shutil.rmtree(repo / ".git")
    (repo / ".dvc").mkdir()
    (repo / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    local = repo / ".dvc" / "config.local"
    local.write_text("['remote \"lab\"']\n    password = secret\n")
    assert "will not name a commit" in make(repo, "scm", "TORCH=active").stdout
    assert "no_scm = true" in local.read_text()
    assert make(repo, "scm", "TORCH=active").stdout == ""
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    assert make(repo, "scm", "TORCH=active").returncode == 0
    assert "no_scm" not in local.read_text()
    assert "password = secret" in local.read_text()


def test_clean_removes_what_can_be_made_again_and_clean_all_asks(repo: Path) -> None:
    kept = ["data/incoming/lab/a.png", "data/weights/a.pth", "mlruns/mlflow.db", ".venv/x",
            ".dvc/cache/files/a", "mlruns/.gitkeep", "params.yaml"]  # fmt: skip
    gone = [
        "data/raw/a.png",
        "data/split/a.csv",
        "data/pixels/0.npy",
        "models/m/model.json",
        "reports/m/metrics.json",
        "scratch/c",
        "wbc/__pycache__/a.pyc",
        ".ruff_cache/x",
    ]
    for name in [*kept, *gone]:
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).touch()
    done = make(repo, "clean")
    assert done.returncode == 0
    assert "kept: .venv, data/incoming, data/weights, mlruns and DVC's cache" in done.stdout
    assert [name for name in gone if (repo / name).exists()] == []
    assert [name for name in kept if not (repo / name).exists()] == []
    refused = make(repo, "clean-all")
    assert refused.returncode != 0
    assert "type: make clean-all SURE=yes" in refused.stderr
    assert (repo / "mlruns/mlflow.db").exists()
    assert make(repo, "clean-all", "SURE=yes").returncode == 0
    left = ["data/incoming/lab/a.png", "data/weights/a.pth", "mlruns/.gitkeep", "params.yaml"]
    assert [name for name in kept if (repo / name).exists()] == left


def test_ci_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"
    subprocess.run(["bash", "-n", str(script)], check=True)
