"""A version's content: a pyfunc from code (wbc/serving.py) with its own copy of this package.

So later edits of the workspace cannot change its answers; it holds no pickle.
"""

import shutil
import tempfile
import warnings
from importlib.metadata import version as installed
from pathlib import Path
from typing import Final

import wbc
from wbc.cells import CLASSES
from wbc.reference import REFERENCE_FILE
from wbc.tracking import store as tracking_store

PACKAGES: Final = (  # what a version imports, beside the standard library
    "joblib",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "ruamel.yaml",
    "safetensors",
    "scikit-image",
    "scipy",
    "simplejpeg",
    "torch",
    "torchvision",
)


def package(model_dir: Path, target: Path, model_id: str = "", run_id: str = "") -> None:
    """Write the model as an MLflow pyfunc folder with its own copy of this package."""
    tracking_store.prepare_environment()
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    numbers = [ColSpec(DataType.double, f"p_{name}") for name in CLASSES]
    outputs = [
        ColSpec(DataType.string, "class"),
        *numbers,
        ColSpec(DataType.boolean, "located"),
        ColSpec(DataType.boolean, "out_of_domain"),
        ColSpec(DataType.string, "error"),
    ]
    here = Path(wbc.__file__).resolve().parent
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*input example was not provided", category=UserWarning
        )
        code = Path(scratch) / "wbc"
        shutil.copytree(here, code, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        mlflow.pyfunc.save_model(
            path=str(target),
            mlflow_model=Model(model_uuid=model_id or None, model_id=model_id, run_id=run_id),
            python_model=str(code / "serving.py"),
            artifacts=artifacts(model_dir),
            code_paths=[str(code)],
            pip_requirements=requirements(),
            signature=ModelSignature(
                inputs=Schema([ColSpec(DataType.binary, "image")]),
                outputs=Schema(outputs),
                params=ParamSchema([ParamSpec("calibrated", DataType.boolean, True)]),
            ),
        )


def artifacts(model_dir: Path) -> dict[str, str]:
    """The model's files by the names that wbc/serving.py knows them by.

    A model that is older than references has none; its version flags nothing as out of domain.
    """
    files = {"weights": "model.safetensors", "card": "model.json", "reference": REFERENCE_FILE}
    paths = {name: model_dir / file for name, file in files.items()}
    return {
        name: str(path) for name, path in paths.items() if name != "reference" or path.is_file()
    }


def requirements() -> list[str]:
    """The packages that a version needs, pinned as installed, without a build label.

    `torch==2.14.1` and not `torch==2.14.1+rocm6.4`: a version made on a GPU loads on a CPU.
    """
    return [f"{name}=={installed(name).split('+')[0]}" for name in PACKAGES]
