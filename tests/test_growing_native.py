"""Arrays that grow, and the memory they take, without Python: `tests/native/growing_driver.cpp`, compiled and run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native_drivers import MEMORY, RACES, compiled, needs_compiler, report

pytestmark = needs_compiler


@pytest.mark.parametrize("flags", [("-O2",), RACES, MEMORY], ids=["plain", "races", "memory"])
def test_arrays_keep_what_is_in_them_and_give_large_pieces_back(tmp_path: Path, flags: tuple[str, ...]) -> None:
    assert "as they should be" in report(compiled("growing_driver.cpp", tmp_path, *flags))
