"""Data files that are no part of the project: fixtures, real blocks, cases of the execution APIs.

They are looked for in the folder that `EVMCORE_SHARED` names, by default `shared` beside the project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from evmcore.bench import replay
from evmcore.cli.fixtures.source import read_sources

SHARED = Path(os.environ.get("EVMCORE_SHARED") or Path(__file__).parents[2] / "shared")

# Files of real blocks with the state before them, by number; none where the folder is absent.
BLOCKS = sorted((SHARED / "blocks").glob(f"*{replay.SUFFIX}"), key=lambda path: (len(path.name), path.name))
needs_blocks = pytest.mark.skipif(
    not BLOCKS, reason=f"{SHARED / 'blocks'} is absent: set EVMCORE_SHARED to the folder that holds blocks/"
)


def block_name(path: Path) -> str:
    """The number of a real block, from the name of its file."""
    return path.name.removesuffix(replay.SUFFIX)


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
