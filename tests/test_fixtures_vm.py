"""Every VM test: bare code under Frontier rules leaves the published gas, output, state and logs, or fails as published."""

import pytest

from tests.fixture_archives import check_archive


def test_every_vm_test_passes(capsys: pytest.CaptureFixture[str]) -> None:
    check_archive("vm", "vm_tests_legacy_constantinople", 437, capsys)
