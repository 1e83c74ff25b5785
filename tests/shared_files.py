"""Data files beside the project (``EVMCORE_SHARED``), for tests that read them without the fixture runner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from evmcore.cli.fixtures.source import read_sources
from tests.fixture_archives import SHARED


def shared_path(*parts: str) -> Path:
    """A file or folder; skips the test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent: set EVMCORE_SHARED to the folder that holds {parts[0]}/")
    return path


@lru_cache
def _documents(archive: Path, part: str) -> tuple[tuple[str, Any], ...]:
    sources = read_sources([str(archive)], lambda name: part in name)
    return tuple((source.name.rpartition("!")[2], json.loads(source.data)) for source in sources)


def archive_documents(archive: str, part: str) -> Iterator[tuple[str, Any]]:
    """Names and documents of the JSON files of a fixture archive whose names hold `part`."""
    return iter(_documents(shared_path("fixtures", f"{archive}.tar.xz"), part))
