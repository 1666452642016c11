"""A folder that a command writes its results to, and replaces when it is run again."""

from pathlib import Path

from wbc.errors import UserError


def check(folder: Path, marker: str) -> None:
    """Before any work; marker: the file by which the command knows what it wrote itself.

    Raises:
        UserError: there is a file, or a folder that holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out should name a folder, but {folder} is a file.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
        raise UserError(
            f"{folder} holds something else already; name another --out, or empty that folder."
        )
