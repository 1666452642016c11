"""Unpacking: what is right arrives whole; what is hostile or broken is refused by name."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from wbc import archives
from wbc.archives import is_archive, unpack
from wbc.depth import MAX_DEPTH
from wbc.errors import UserError

FILES = {"Neutrophil/1.jpg": b"a" * 1000, "Lymphocyte/2 ä.jpg": b"b" * 70_000, "empty.csv": b""}


def make_zip(path: Path, files: dict[str, bytes], mode: int | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode is not None:
                info.external_attr = mode << 16
            archive.writestr(info, data)
    return path


def make_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    mode = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "noname"])
def test_every_format_arrives_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "tar" in name:
        make_tar(path, [(member(file), data) for file, data in FILES.items()])
    else:
        make_zip(path, FILES)
    assert is_archive(path)
    unpack(path, tmp_path / "out")
    assert read(tmp_path / "out") == FILES


def test_tar_with_a_zip_at_its_end_is_a_tar(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", FILES).read_bytes()
    unpack(make_tar(tmp_path / "a.tar", [(member("inner.zip"), inner)]), tmp_path / "out")
    assert read(tmp_path / "out") == {"inner.zip": inner}


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "C:\\evil.jpg"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_is_written_outside(tmp_path: Path, name: str, kind: str) -> None:
    if kind == "zip":
        path = make_zip(tmp_path / "a.zip", {"ok.jpg": b"1", name: b"evil"})
    else:
        path = make_tar(tmp_path / "a.tar", [(member("ok.jpg"), b"1"), (member(name), b"evil")])
    with pytest.raises(UserError, match="outside the folder") as error:
        unpack(path, tmp_path / "deep" / "out")
    assert "evil.jpg" in str(error.value)
    assert not list(tmp_path.rglob("evil*"))
    assert not (tmp_path / "deep" / "out").exists()


def test_backslashes_of_windows_are_folders(tmp_path: Path) -> None:
    files = {"Train\\": b"", "Train\\Neutrophil\\": b"", "Train\\Neutrophil\\1.jpg": b"x"}
    unpack(make_zip(tmp_path / "a.zip", files), tmp_path / "out")
    assert read(tmp_path / "out") == {"Train/Neutrophil/1.jpg": b"x"}
    with pytest.raises(UserError, match="outside the folder"):
        unpack(make_zip(tmp_path / "b.zip", {"..\\evil.jpg": b"x"}), tmp_path / "out2")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = make_tar(tmp_path / "a.tar", [(member("trap", kind, "/etc"), b"")])
    with pytest.raises(UserError, match=r"'trap' is a link or device"):
        unpack(path, tmp_path / "out")


def test_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"trap": b"/etc/passwd"}, mode=0o120777)
    with pytest.raises(UserError, match=r"'trap' is a link or device"):
        unpack(path, tmp_path / "out")


def test_encrypted_zip_is_a_sentence(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"1.jpg": b"x" * 100})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        struct.pack_into("<H", data, at, data[at] | 0x1)
    path.write_bytes(data)
    with pytest.raises(UserError, match="encrypted"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_bomb_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "RATIO_FREE_BYTES", 1_000_000)
    zeros = b"\0" * 3_000_000
    if "tar" in name:
        path = make_tar(tmp_path / name, [(member("1.bmp"), zeros)])
    else:
        path = make_zip(tmp_path / name, {"1.bmp": zeros})
    with pytest.raises(UserError, match="bomb"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_full_disk_is_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_DISK_SHARE", 1e-12)
    with pytest.raises(UserError, match="free disk space"):
        unpack(make_zip(tmp_path / "a.zip", FILES), tmp_path / "out")


def test_entry_longer_than_its_header_is_refused() -> None:
    with pytest.raises(UserError, match="longer than its header"):
        archives._copy(io.BytesIO(b"12345"), io.BytesIO(), 4, Path("a.zip"), "x")


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"x": b"1"})
    data = path.read_bytes()
    for signature, offset, name in ((b"PK\x03\x04", 26, 30), (b"PK\x01\x02", 28, 46)):
        at = data.index(signature)
        data = (
            data[: at + offset]
            + b"\0\0"
            + data[at + offset + 2 : at + name]
            + data[at + name + 1 :]
        )
    end = data.index(b"PK\x05\x06")
    data = data[: end + 12] + struct.pack("<II", 46, end - 46) + data[end + 20 :]
    path.write_bytes(data)
    with pytest.raises(UserError, match="outside the folder"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_tars_header_is_not_read_into_memory_whatever_it_says(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed, a name of gigabytes is a file of megabytes."""
    long = member("x" * 5000 + ".jpg")
    long.pax_headers = {"comment": "y" * 5000}
    path = make_tar(tmp_path / name, [(member("1.jpg"), b"1"), (long, b"2")])
    with pytest.raises(UserError, match="File name too long"):  # it is read
        unpack(path, tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_HEADER", 4000)
    with pytest.raises(UserError, match=r"a header of [0-9]+ bytes"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lie_too_deep_are_refused(tmp_path: Path, kind: str) -> None:
    """Removing a thousand folders in each other again would end in Python's own limit."""
    names = ["d/" * MAX_DEPTH + "1.jpg", "d/" * (MAX_DEPTH + 1) + "2.jpg"]
    for last in (1, 2):
        if kind == "zip":
            path = make_zip(tmp_path / "a.zip", dict.fromkeys(names[:last], b"x"))
        else:
            path = make_tar(tmp_path / "a.tar", [(member(name), b"x") for name in names[:last]])
        if last == 1:
            unpack(path, tmp_path / "out")
            assert list(read(tmp_path / "out")) == names[:1]
    with pytest.raises(UserError, match=r"in more than 100 folders .*; pack the pictures anew"):
        unpack(path, tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", [(member("1.jpg"), b"1"), (member("1.jpg"), b"2")])
    with pytest.raises(UserError, match="occurs twice"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar"])
def test_truncated_archive_is_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = {"1.jpg": bytes(range(256)) * 300, "2.jpg": bytes(range(255, -1, -1)) * 300}
    if "tar" in name:
        make_tar(path, [(member(file), content) for file, content in data.items()])
    else:
        make_zip(path, data)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UserError, match=r"cannot be unpacked|expected to be a zip"):
        unpack(path, tmp_path / "out")


def test_damaged_content_is_a_sentence(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"1.jpg": bytes(range(256)) * 300})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")


def test_what_lies_in_the_target_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"x")
    with pytest.raises(UserError, match="expected to be empty"):
        unpack(make_zip(tmp_path / "a.zip", FILES), tmp_path)
    assert (tmp_path / "mine.txt").is_file()


def test_other_formats_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.rar"
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" * 100)
    assert not is_archive(path)
    with pytest.raises(UserError, match="unpack it yourself"):
        unpack(path, tmp_path / "out")


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    info = member("Neutrophil/\udce4.jpg")  # latin-1 ä, as an old tar holds it
    unpack(make_tar(tmp_path / "a.tar", [(info, b"x")]), tmp_path / "tar")
    assert len(read(tmp_path / "tar")) == 1
    path = make_zip(tmp_path / "a.zip", {"12345.jpg": b"x"})
    path.write_bytes(path.read_bytes().replace(b"12345", "ää5".encode()))
    unpack(path, tmp_path / "zip")  # UTF-8 without the flag that says so
    assert list(read(tmp_path / "zip")) == ["ää5.jpg"]
    path.write_bytes(path.read_bytes().replace("ää5".encode(), b"\xe4\xe4\xe45"[:5] + b"5"))
    unpack(path, tmp_path / "latin")
    assert len(read(tmp_path / "latin")) == 1
