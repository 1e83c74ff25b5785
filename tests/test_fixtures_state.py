"""Every case of the state-test archives gives the published state root, logs hash and gas, or is rejected for the
published reason."""

from collections.abc import Callable

import pytest

from tests.fixture_archives import check_archive


@pytest.mark.parametrize(
    ("archive", "cases"),
    [
        ("state_tests", 16293),
        ("state_tests_cancun", 74243),
        ("state_tests_legacy_constantinople", 26075),
        ("state_tests_eest", 26032),
        ("state_tests_prague_osaka", 16700),
    ],
)
def test_every_state_test_passes(archive: str, cases: int, tell: Callable[[str], None]) -> None:
    check_archive("state", archive, cases, tell)
