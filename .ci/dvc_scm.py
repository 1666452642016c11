"""Tell DVC, in .dvc/config.local, whether there is a git repository around this one.

A copy unpacked from a zip has none, and DVC then stops unless core.no_scm is set; `dvc config`
would stop too. Other entries of the file, such as a remote's password, stay.
"""

import shutil
import sys
from pathlib import Path

from configobj import ConfigObj, ConfigObjError

LOCAL = Path(".dvc/config.local")


def main() -> None:
    here = Path.cwd()
    if not LOCAL.with_name("config").is_file():
        sys.exit(
            "error: .dvc/config was expected but is not there, so DVC does not know this folder:"
            " the copy left hidden files out; copy all of them, or clone the repository with git."
        )
    has_git = any((folder / ".git").exists() for folder in (here, *here.parents))
    try:
        config = ConfigObj(str(LOCAL))
    except (ConfigObjError, UnicodeDecodeError) as error:
        sys.exit(
            f"error: {LOCAL} cannot be read ({error}); mend that line, or remove the file and set"
            " what was in it (a remote's password) again with `dvc config --local`."
        )
    told = "no_scm" in config.get("core", {})
    if has_git and told:
        del config["core"]["no_scm"]
    elif not has_git and not told:
        note = "No git repository here, so results will not name a commit (git clone makes one)."
        print(note)  # noqa: T201
        config.setdefault("core", {})["no_scm"] = "true"
    else:
        return
    part = LOCAL.with_name("tmp") / LOCAL.name  # where git does not look: it may hold a password
    part.parent.mkdir(exist_ok=True)
    with part.open("wb") as file:
        if LOCAL.is_file():
            shutil.copymode(LOCAL, part)
        config.write(file)
    part.replace(LOCAL)


if __name__ == "__main__":
    main()
