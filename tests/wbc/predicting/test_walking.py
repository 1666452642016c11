"""wbc.predicting.walking: folders and globs in order, without a list of all files."""

import heapq
import os
from pathlib import Path
from typing import Any

import pytest

from wbc.predicting import walking


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def matched(root: Path, pattern: str) -> list[str]:
    found = walking.matches(str(root / pattern))
    return [path.relative_to(root).as_posix() for path in found]


def test_names_come_sorted_in_blocks_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *(f"{number:02}.png" for number in range(20)), "dir/x.png")
    sizes: list[int] = []

    def nsmallest(limit: int, names: Any) -> Any:
        block = real(limit, names)
        sizes.append(len(block))
        return block

    real = heapq.nsmallest
    monkeypatch.setattr(heapq, "nsmallest", nsmallest)
    names = list(walking.sorted_names(tmp_path, limit=6))
    assert names == [*((f"{number:02}.png", False) for number in range(20)), ("dir", True)]
    assert sizes == [6, 6, 6, 3]


def test_a_folder_is_read_only_as_far_as_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *(f"{number}.png" for number in range(9)))
    opened: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(path) or scandir(path))
    names = walking.sorted_names(tmp_path, limit=2)
    assert [next(names)[0] for _ in range(3)] == ["0.png", "1.png", "2.png"]
    assert len(opened) == 2


def test_globs(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/2.jpg", "b/1.png", "b/c/1.png", "b/.h.png", ".x/1.png", "1.png")
    assert matched(tmp_path, "*/*.png") == ["a/1.png", "b/1.png"]
    assert matched(tmp_path, "**/*.png") == ["1.png", "a/1.png", "b/1.png", "b/c/1.png"]
    assert matched(tmp_path, "**/**/1.png") == ["1.png", "a/1.png", "b/1.png", "b/c/1.png"]
    assert matched(tmp_path, "b/**") == ["b/1.png", "b/c/1.png"]
    assert matched(tmp_path, "?") == ["a", "b"]
    assert matched(tmp_path, "[ab]/1.png") == ["a/1.png", "b/1.png"]
    assert matched(tmp_path, "b/.*") == ["b/.h.png"]
    assert matched(tmp_path, "*.png/x") == []


def test_a_file_is_told_to_match_without_a_walk(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/2.jpg", "b/1.png", "b/c/1.png", "b/.h.png", ".x/1.png", "1.png")
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    for pattern in ("*/*.png", "**/*.png", "**/**/1.png", "b/**", "**", "?", "[ab]/1.png", "b/.*",
                    "*.png/x", ".*/*", "**/c/*", "*", "**/.*"):  # fmt: skip
        found = {path for path in matched(tmp_path, pattern) if (tmp_path / path).is_file()}
        told = {f.as_posix() for f in files if walking.is_match(Path(pattern).parts, f.parts)}
        assert told == found, pattern


def test_a_file_whose_name_looks_like_a_glob_is_itself(tmp_path: Path) -> None:
    make(tmp_path, "cell[1].png")
    assert not walking.is_pattern(str(tmp_path / "cell[1].png"))
    assert walking.is_pattern(str(tmp_path / "cell[2].png"))


def test_a_glob_does_not_follow_a_link_round_and_round(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert matched(tmp_path, "**/*.png") == ["a/1.png"]
