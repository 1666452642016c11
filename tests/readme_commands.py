"""The commands that README.md shows, read from README.md itself."""

import re
import shlex
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def commands(readme: Path = README) -> list[str]:
    """Those of its blocks of shell, each one once, in order, without its comment."""
    text = readme.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.join(shlex.split(line, comments=True)) for line in lines]
    return list(dict.fromkeys(filter(None, found)))


def in_sentences(readme: Path = README) -> list[str]:
    """Those inside of its text and tables, each one once, sorted."""
    text = re.sub(r"^```.*?^```", "", readme.read_text(encoding="utf-8"), flags=re.M | re.S)
    return sorted(set(re.findall(r"`((?:make|dvc|mlflow|python -m) [^`\n]+)`", text)))
