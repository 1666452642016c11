"""wbc.predicting.packed: zip and tar where they lie, however they were made."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from wbc.errors import UserError
from wbc.predicting import packed, preparing
from wbc.predicting.found import Passed


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read(archive: Path, passed: Passed | None = None) -> dict[str, bytes | str]:
    """{name: bytes or why there are none}."""
    tasks = map(preparing.task_of, packed.members(archive, archive.name, passed or Passed()))
    return {task.name: task.problem or task.data or b"" for task in tasks}


MEMBERS = {
    "b.png": b"two", "a/1.png": b"one", "notes.txt": b"", "__MACOSX/a.png": b"", "a/.x.png": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_members_are_named_below_their_archive(name: str, tmp_path: Path) -> None:
    mode = {"tar": "w", "gz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}
    path = tmp_path / name
    if name.endswith(".zip"):
        make_zip(path, MEMBERS)
    else:
        make_tar(path, MEMBERS, mode[name.rpartition(".")[2]])
    passed = Passed()
    assert read(path, passed) == {f"{name}/b.png": b"two", f"{name}/a/1.png": b"one"}
    assert (passed.num_others, passed.num_hidden) == (1, 2)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_folders_of_windows_are_no_pictures(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"s1.png\\": b"", "s1.png\\1.png": b"one"})
    assert read(path) == {"a.zip/s1.png/1.png": b"one"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_outside_are_flagged(make: object, tmp_path: Path) -> None:
    members = {"../x.png": b"1", "/y.png": b"2", "C:z.png": b"3", "fine.png": b"4"}
    found = read(make(tmp_path / "a", members))  # type: ignore[operator]
    assert list(found.values()) == ["its name leads outside the archive"] * 3 + [b"4"]


def test_links_are_flagged(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("shadow.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(link)
    assert read(path) == {"a.tar/shadow.png": "a link or device in the archive"}


def test_a_name_that_occurs_twice_in_a_zip_is_refused_as_unpack_does(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a/": b"", "a/b.png": b"1", "c.png": b"2"})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/", b"")  # a folder may
    assert len(read(path)) == 2
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/b.png", b"3")
    with pytest.raises(UserError, match=r"the entry 'a/b\.png' occurs twice"):
        read(path)


def test_an_encrypted_member_is_flagged(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.png": b"12345"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    assert read(path) == {"a.zip/a.png": "encrypted"}


def test_a_damaged_member_is_flagged_and_the_rest_is_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.png": b"12345" * 50, "b.png": b"fine"})
    data = bytearray(path.read_bytes())
    data[data.index(b"a.png") + 7] ^= 0xFF
    path.write_bytes(data)
    found = read(path)
    assert str(found["a.zip/a.png"]).startswith("damaged in the archive")
    assert found["a.zip/b.png"] == b"fine"


def test_a_tar_that_breaks_off_has_one_row_for_the_rest(tmp_path: Path) -> None:
    members = {f"{number}.png": bytes(range(256)) * 40 for number in range(30)}
    path = make_tar(tmp_path / "a.tar.gz", members)
    path.write_bytes(path.read_bytes()[:-40])
    found = read(path)
    names = list(found)
    assert names[0] == "a.tar.gz/0.png" and found[names[0]] == members["0.png"]
    assert names[-1] == "a.tar.gz" and "the archive cannot be read on" in str(found[names[-1]])


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_bomb_is_refused_while_it_is_read(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "RATIO_FREE_BYTES", 1 << 20)
    path = make(tmp_path / "a", {f"{n}.png": bytes(1 << 19) for n in range(9)})  # type: ignore[operator]
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read(path)


def test_too_large_members_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_BYTES", 3)
    path = make_zip(tmp_path / "a.zip", {"a.png": b"1234", "b.png": b"123"})
    assert read(path) == {"a.zip/a.png": "larger than 0 MB", "a.zip/b.png": b"123"}


def test_a_tar_remembers_no_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tarfile.TarFile] = []
    real = tarfile.open

    def kept(*given: Any, **options: Any) -> tarfile.TarFile:
        opened.append(real(*given, **options))
        return opened[-1]

    monkeypatch.setattr(tarfile, "open", kept)
    path = tmp_path / "a.tar"
    with real(path, "w") as archive:
        for number in range(50):
            archive.addfile(tarfile.TarInfo(f"{number}.png"))
    for _ in packed.members(path, "a.tar", Passed()):
        assert len(opened[-1].members) <= 1  # type: ignore[attr-defined]
    assert opened
