"""Every block of the blockchain-test archives gives the same outcome in parallel as sequentially, at every number of
threads, and imports with parallel execution as the fixtures say."""

from collections.abc import Callable

import pytest

from tests.parallel_fixtures import check_archive


@pytest.mark.parametrize(
    "archive",
    [
        "blockchain_tests",
        "blockchain_tests_cancun",
        "blockchain_tests_legacy_constantinople",
        "blockchain_tests_eest",
    ],
)
def test_fixture_blocks_are_equal(archive: str, tell: Callable[[str], None]) -> None:
    check_archive(archive, tell)
