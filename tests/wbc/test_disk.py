"""The disk: a file is whole or not there, and a full disk is an error in words."""

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from tests.small_disk import small_disk
from wbc.cells import read_table
from wbc.disk import full_sentence, is_full, refused_sentence, reserve, write_whole


def test_what_is_written_replaces_the_old_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    for content in (b"old", b"new"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_on_a_full_disk_the_old_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_whole(path, b"old")
    (tmp_path / "last.ckpt.part").symlink_to("/dev/full")  # every write there: no space left
    with pytest.raises(OSError, match="No space left") as raised:
        write_whole(path, b"new")
    assert is_full(raised.value)
    said = full_sentence(raised.value, [Path("/")])
    assert str(tmp_path) in said
    assert "`python -m wbc clean`" in said and "dvc gc" not in said  # which takes too much
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_known_in_what_was_made_of_it() -> None:
    def wrapped(inner: Exception, outer: Exception) -> BaseException:
        try:
            try:
                raise inner
            except Exception as error:
                raise outer from error
        except Exception as error:
            return error

    full = OSError(errno.ENOSPC, "No space left on device")
    assert is_full(full)
    assert is_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert is_full(wrapped(full, RuntimeError("could not be written")))
    assert is_full(RuntimeError("PytorchStreamWriter failed: No space left on device"))
    assert not is_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_full(wrapped(OSError(errno.EIO, "I/O error"), RuntimeError("x")))
    assert not is_full(RuntimeError("os error 280"))


def test_safetensors_full_disk_is_known(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 0.5) as disk:
        with pytest.raises(SafetensorError) as raised:
            save_file({"a": torch.zeros(1_000_000)}, disk / "model.safetensors")
        assert is_full(raised.value)
        assert f"for {disk} (free: 0 MB" in full_sentence(raised.value, [tmp_path, disk])


def test_reserving_more_than_there_is_fails_at_once_and_leaves_the_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        for megabytes, fits in ((0.5, True), (2, False)):
            path = disk / "shard.npy"
            with path.open("wb") as file:
                file.truncate(int(megabytes * 2**20))  # a hole, as an empty memory map is
            if fits:
                reserve(path)
                assert path.stat().st_blocks * 512 >= megabytes * 2**20
            else:
                with pytest.raises(OSError, match=r"No space left.*shard\.npy"):
                    reserve(path)
                assert not path.exists()


def test_a_name_that_is_too_long_and_a_folder_in_place_of_a_file_are_one_sentence(
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match="too long") as raised:
        (tmp_path / ("ü" * 150)).is_dir()
    sentence = refused_sentence(raised.value)
    assert " is longer than a name can be (" in sentence and "name another one" in sentence
    assert len(sentence) < 250 and sentence.startswith(str(tmp_path)[:40])
    with pytest.raises(OSError, match="directory") as raised:
        read_table(tmp_path)
    assert refused_sentence(raised.value).startswith(
        f"{tmp_path} should be a file, but is a folder"
    )
    assert refused_sentence(OSError(errno.EIO, "I/O error", "x")) == ""
