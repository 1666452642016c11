"""wbc.predicting.inputs: what PATHs name, and how it is called."""

import os
from pathlib import Path

import pytest

from tests.wbc.predicting.test_packed import make_zip
from tests.wbc.predicting.test_walking import make
from wbc.depth import MAX_DEPTH
from wbc.errors import UserError
from wbc.predicting.inputs import Inputs, names_of
from wbc.predicting.walking import is_match
from wbc.sources.incoming import clean_name


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return make(folder, "cells/b/2.png", "cells/a.png", "cells/c.JPG", "cells/notes.txt",
                "cells/.hidden.png", "cells/.git/x.png", "one.dat", "other/a.png")  # fmt: skip


def names(*paths: str, lines: bytes = b"") -> list[str]:
    return [found.name for found in Inputs(paths, lines.splitlines(keepends=True))]


def test_a_folder_is_walked_in_order_and_what_is_passed_over_counted(here: Path) -> None:
    inputs = Inputs(["cells"], ())
    found = list(inputs)
    assert [one.name for one in found] == ["cells/a.png", "cells/b/2.png", "cells/c.JPG"]
    assert [one.path for one in found] == [Path(one.name) for one in found]
    assert (inputs.passed.num_others, inputs.passed.num_hidden) == (1, 1)
    assert names("./cells/") == names("cells")
    assert names(".")[:2] == ["cells/a.png", "cells/b/2.png"]


def test_what_is_named_is_taken_whatever_it_is_called(here: Path) -> None:
    assert names("one.dat", "cells/.hidden.png") == ["one.dat", "cells/.hidden.png"]
    assert names("*.dat") == ["one.dat"]
    assert names("-", lines=b"one.dat\r\n\ngone.png\n") == ["one.dat", "gone.png"]


def test_globs_match_folders_files_and_archives(here: Path) -> None:
    make_zip(here / "z.zip", {"m.png": b"1", "d/n.png": b"2"})
    assert names("*") == [
        "cells/a.png", "cells/b/2.png", "cells/c.JPG", "one.dat", "other/a.png", "z.zip/m.png",
        "z.zip/d/n.png",
    ]  # fmt: skip
    assert names("cells/*.png", "z.zip") == ["cells/a.png", "z.zip/m.png", "z.zip/d/n.png"]
    assert names("-", lines=b"z.zip\nother\n") == ["z.zip/m.png", "z.zip/d/n.png", "other/a.png"]


def test_links_are_followed_and_each_folder_walked_once(here: Path) -> None:
    (here / "cells" / "up").symlink_to(here)
    (here / "cells" / "zz.png").symlink_to(here / "one.dat")
    found = names("cells")
    assert found.count("cells/a.png") == 1 and "cells/zz.png" in found
    assert "cells/up/other/a.png" in found
    assert len(found) == 5


def test_what_the_system_refuses_to_look_at_is_itself(here: Path) -> None:
    """A link to itself, and a name that is too long, raise where others are not there."""
    (here / "cells" / "loop.png").symlink_to(here / "cells" / "loop.png")
    beside = names("cells")
    assert len(beside) == 4 and "cells/loop.png" in beside and "cells/b/2.png" in beside
    assert "cells/loop.png" in names("cells/*.png")
    long = "x" * 300
    assert names("-", lines=f"{long}\none.dat\n".encode()) == [long, "one.dat"]


def test_names_are_relative_however_paths_were_typed(here: Path) -> None:
    assert names(str(here / "cells"))[0] == "cells/a.png"
    assert names("../here/cells")[0] == "cells/a.png"
    assert names(str(here / "cells" / "*.png")) == ["cells/a.png"]
    both = names(str(here / "cells" / "b"), str(here / "other"))
    assert both == ["cells/b/2.png", "other/a.png"]
    assert names_of(["cells", "cells/b", "-", "one.dat"]) == ["cells", "cells/b", "", "one.dat"]


def test_odd_names_become_one_line_of_utf_8(here: Path) -> None:
    (here / "odd").mkdir()
    Path(os.fsdecode(b"odd/\xff\n.png")).write_bytes(b"")
    assert names("odd") == ["odd/%FF%0A.png"]
    assert clean_name("Süd/\u2028\x85") == "Süd/%E2%80%A8%C2%85"
    assert clean_name("cell\u202egnp.exe") == "cell%E2%80%AEgnp.exe"  # shown as cellexe.png


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("gone", "gone was expected to be a file or folder but is not there"),
        ("empty", "empty holds no picture"),
        ("empty.zip", r"empty\.zip holds no picture"),
        ("*.nothing", r"Nothing matches \*\.nothing"),
    ],
)
def test_a_path_with_nothing_in_it_is_one_sentence(here: Path, path: str, words: str) -> None:
    make(here, "empty/notes.txt")
    make_zip(here / "empty.zip", {"notes.txt": b""})
    with pytest.raises(UserError, match=words):
        Inputs(["cells", path], ()).check()


def test_a_folder_that_cannot_be_read_is_a_row(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {one.name: one.problem for one in Inputs(["cells"], ())}
    assert found["cells/b"] == "the folder cannot be read (Permission denied)"
    assert list(found) == ["cells/a.png", "cells/b", "cells/c.JPG"]


def test_folders_that_lie_too_deep_are_a_row_and_of_a_glob_one_sentence(here: Path) -> None:
    make(here, "deep/" + "d/" * MAX_DEPTH + "1.png", "deep/" + "d/" * (MAX_DEPTH + 1) + "2.png")
    found = {one.name[-5:]: one.problem for one in Inputs(["deep"], ())}
    assert found == {"1.png": "", "d/d/d": "the folder lies in more than 100 others"}
    with pytest.raises(UserError, match=r"deep holds more than 100 folders in each other"):
        names("deep/**/*.png")
    with pytest.raises(UserError, match="asks for more than 100 parts"):
        names("**/" * 1200 + "*.png")
    assert not is_match(("**",), ["d"] * 1200)  # of a file that is named by itself


def test_files_are_found_as_they_are_asked_for(here: Path) -> None:
    """A folder that is made while another is worked on is seen: nothing was listed before."""
    found = iter(Inputs(["cells", "other"], ()))
    next(found)
    make(here, "other/late.png")
    assert [one.name for one in found][-1] == "other/late.png"
