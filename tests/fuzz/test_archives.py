"""Zips and tars from anywhere: unpacked whole below the target, or refused and nothing left."""

import io
import shutil
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.bounds import bounded
from tests.fuzz.mutations import mutated
from tests.fuzz.profile import inputs
from wbc import archives
from wbc.errors import UserError
from wbc.predicting.found import Found, Passed
from wbc.predicting.packed import members
from wbc.predicting.preparing import task_of

NAMES: Final = (
    "a.jpg", "Train/Neutrophil/1.jpg", "../evil.jpg", "../../evil.jpg", "/evil.jpg", "a/../../x",
    "C:\\evil.jpg", "\\\\server\\evil", "..\\evil.jpg", "ä.jpg", "a\0b.jpg", "", ".", "..", "/",
    "a", "a/", "a/b.jpg", "a//b.jpg", "./a.jpg", "a/./b", "x" * 300, "d/" * 200 + "e", "~/evil",
    "\udce4.jpg", "a\nb.jpg", "inner.zip", "%2e%2e/evil", "evil\u202egpj.exe", ".hidden", "a.JPG",
)  # fmt: skip
DATA = st.sampled_from((b"", b"x", b"\xff\xd8\xff picture", b"\0" * 200_000))
KINDS: Final = (
    tarfile.REGTYPE, tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE,
    tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE,
    tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, b"Z",
)  # fmt: skip


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """One to four entries, any of them a link, encrypted, or with a size that is not true."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)):
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name.encode("utf-8", "replace").decode()
            info.compress_type = draw(st.sampled_from((0, 8, 12, 14)))
            info.external_attr = draw(st.sampled_from((0, 0, 0o100644, 0o120777, 0o040755))) << 16
            archive.writestr(info, draw(DATA))
    data = bytearray(buffer.getvalue())
    if draw(st.integers(0, 4)) == 0:
        _set_flag(data, draw(st.sampled_from((0x1, 0x40, 0x800, 0x20))))
    return bytes(data)


def _set_flag(data: bytearray, flag: int) -> None:
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature) + offset
        struct.pack_into("<H", data, at, data[at] | flag)


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """One to four members of any type, in any of the formats and compressions."""
    buffer = io.BytesIO()
    mode = draw(st.sampled_from(("w", "w:gz", "w:bz2", "w:xz")))
    form = draw(st.sampled_from((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)):
            info = tarfile.TarInfo(name)
            info.type = draw(st.sampled_from(KINDS))
            info.linkname = draw(st.sampled_from(("", "/etc/passwd", "../../evil", "a.jpg")))
            data = draw(DATA)
            info.size = draw(st.sampled_from((len(data), len(data), 0, 10**9)))
            if form == tarfile.PAX_FORMAT and draw(st.booleans()):
                info.pax_headers = {
                    draw(st.sampled_from(("path", "size", "GNU.sparse.map", "mtime", "uid"))): draw(
                        st.sampled_from(("../evil", "-1", "9" * 30, "1,x", "nan", "ä"))
                    )
                }
            try:
                archive.addfile(info, io.BytesIO(data.ljust(min(info.size, 10**6), b"\0")))
            except (ValueError, OSError):  # this format cannot say it, or the data are too short
                continue
    return buffer.getvalue()


def _valid(name: str) -> bytes:
    """A right archive of each kind, to be damaged."""
    buffer = io.BytesIO()
    files = {"Neutrophil/1.jpg": b"a" * 3000, "Lymphocyte/2 \u00e4.jpg": bytes(range(256)) * 9}
    if name == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in files.items():
                archive.writestr(path, data)
    else:
        with tarfile.open(fileobj=buffer, mode=f"w:{name}", format=tarfile.PAX_FORMAT) as packed:
            for path, data in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(data)
                packed.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


SEEDS: Final = [_valid(name) for name in ("zip", "zip", "", "gz", "bz2", "xz")]
TOKENS: Final = (
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"ustar",
    b"../",
    b"17 path=../evil\n",
)


def check(data: bytes, area: Path) -> None:
    """Unpack it, and read it where it lies; only what is below the target may have changed."""
    place = Path(tempfile.mkdtemp(dir=area))
    archive, target = place / "archive", place / "deep" / "target"
    archive.write_bytes(data)
    (place / "deep").mkdir()
    try:
        with bounded(target):
            try:
                archives.unpack(archive, target)
            except UserError:
                assert not target.exists() or not any(target.iterdir())
                raise
            assert all(path.is_dir() or path.is_file() for path in target.rglob("*"))
            assert not any(path.is_symlink() for path in target.rglob("*"))
        if archives.is_archive(archive):
            with bounded(target, counts=False):
                for found in members(archive, "a", Passed()):
                    assert "\n" not in found.name
                    _read(found)
        assert {path.name for path in place.iterdir()} == {"archive", "deep"}
        assert {path.name for path in (place / "deep").iterdir()} <= {"target"}
    finally:
        shutil.rmtree(place)


def _read(found: Found) -> None:
    """As the stage that prepares pictures does: what cannot be read becomes a row's reason."""
    task = task_of(found)
    assert task.problem or task.data is not None or task.path is not None


@given(data=zips())
@inputs(35)
def test_hostile_zips(data: bytes, area: Path) -> None:
    check(data, area)


@given(data=tars())
@inputs(35)
def test_hostile_tars(data: bytes, area: Path) -> None:
    check(data, area)


@given(data=mutated(SEEDS, TOKENS))
@inputs(30)
def test_damaged_archives(data: bytes, area: Path) -> None:
    check(data, area)
