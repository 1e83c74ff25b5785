"""Every VM test: bare code under Frontier rules leaves the published gas, output, state and logs, or halts."""

from collections.abc import Callable

from tests.fixture_archives import check_archive


def test_every_vm_test_passes(tell: Callable[[str], None]) -> None:
    check_archive("vm", "vm_tests_legacy_constantinople", 437, tell)
