"""Every case of the blockchain-test archives: valid blocks import with all roots equal, invalid ones are rejected for
the published reason, the head and the state at the end are the published ones."""

from collections.abc import Callable

import pytest

from tests.fixture_archives import check_archive


@pytest.mark.parametrize(
    ("archive", "cases"),
    [
        ("blockchain_tests", 934),
        ("blockchain_tests_cancun", 1809),
        ("blockchain_tests_legacy_constantinople", 1354),
        ("blockchain_tests_eest", 1354),
    ],
)
def test_every_blockchain_test_passes(archive: str, cases: int, tell: Callable[[str], None]) -> None:
    check_archive("blockchain", archive, cases, tell)
