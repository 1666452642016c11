"""Empty wheels with the names and versions of real ones: what pip would do, without a network."""

import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path


def write_wheel(folder: Path, name: str, version: str, requires: Sequence[str] = ()) -> None:
    """Write an installable wheel without any file; `requires` are its own dependencies."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    wheel = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"METADATA": "\n".join(metadata) + "\n", "WHEEL": wheel}
    record = [f"{stem}.dist-info/{file},," for file in (*files, "RECORD")]
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for file, text in {**files, "RECORD": "\n".join(record) + "\n"}.items():
            archive.writestr(f"{stem}.dist-info/{file}", text)


def pins(requirements: Path) -> dict[str, str]:
    """Name -> version of every line `name==version  # comment`; any other line is an error."""
    lines = [line.split("#")[0].strip() for line in requirements.read_text().splitlines()]
    found = dict(line.split("==") for line in lines if line)
    assert all(re.fullmatch(r"[0-9.]+", version) for version in found.values()), found
    return found


def offline_pip(wheels: Path) -> dict[str, str]:
    """The environment for a pip that knows nothing but the folder `wheels`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return {**clean, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # fmt: skip
