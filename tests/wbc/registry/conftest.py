"""Registries of versions with made-up answers (tests/registry_home.py)."""

from pathlib import Path

import pytest

from tests.registry_home import WHERE, Registry, new_registry


@pytest.fixture(params=WHERE)
def registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Registry:
    return new_registry(tmp_path / "home", monkeypatch, request.param)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    return new_registry(tmp_path / "home", monkeypatch, "in_memory")
