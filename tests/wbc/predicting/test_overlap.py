"""wbc.predicting.overlap: no file is judged for two PATHs, and what lies apart is not refused."""

from collections import Counter
from pathlib import Path

import pytest

from tests.wbc.predicting.test_walking import make
from wbc.errors import UserError
from wbc.predicting import overlap
from wbc.predicting.inputs import Inputs


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "cells/a.png", "cells/b.jpg", "cells/s/a.png", "cells/s/t/c.png", "cells/x.dat",
         "cells/.h.png", "other/a.png")  # fmt: skip
    (tmp_path / "link").symlink_to(tmp_path / "cells")
    return tmp_path


TWICE = [
    ("cells/a.png", "cells/a.png"),
    ("cells/a.png", "./cells/../cells/a.png"),
    ("cells", "cells/a.png"),
    ("cells/s/t/c.png", "other", "cells"),
    ("cells", "link/s/a.png"),
    ("cells/s/*.png", "cells"),
    ("cells/*", "cells"),
    ("cells/*", "cells/s/a.png"),
    ("cells/*", "cells/s/*.png"),
    ("cells/*", "cells/x.dat"),
    ("cells/*.png", "cells/a*"),
    ("cells/**", "cells/s/t/*"),
    ("c*/**/c.png", "cells/s"),
    ("**", "cells/.h.png", "link/s/a.png"),
]
APART = [
    ("cells", "other"),
    ("cells/a.png", "cells/b.jpg"),
    ("cells", "cells/s", "cells"),
    ("cells", "cells/x.dat", "cells/.h.png"),
    ("cells/*.png", "cells/*.jpg"),
    ("cells/*.png", "cells/s"),
    ("cells/*.png", "cells/s/*.png"),
    ("cells/**/t", "cells/s/t/c.png"),
    ("cells/*", "cells/.h.png"),
]


@pytest.mark.parametrize("paths", TWICE)
def test_a_file_of_two_paths_is_refused_before_any_work(paths: tuple[str, ...]) -> None:
    for given in (paths, paths[::-1]):
        with pytest.raises(UserError, match="would be judged and counted twice, for"):
            Inputs([*given, "-"], ()).check()


@pytest.mark.parametrize("paths", APART)
def test_what_lies_apart_is_judged_once(paths: tuple[str, ...]) -> None:
    for given in (paths, paths[::-1]):
        overlap.check_once(given)
        found = Counter(one.path and one.path.resolve() for one in Inputs(given, ()))
        assert set(found.values()) == {1}


def test_many_paths_are_compared_without_looking_into_folders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overlap, "matches", None)
    overlap.check_once(["cells/x*", "other", *(f"more/{number}.png" for number in range(1000))])
