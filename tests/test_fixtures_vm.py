"""Every VM test: bare code under Frontier rules leaves the published gas, output, state and logs, or halts."""

import pytest

from tests.fixture_archives import both_dispatch_builds, check_archive


@both_dispatch_builds
def test_every_vm_test_passes(dispatch: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_archive("vm", "vm_tests_legacy_constantinople", 437, dispatch, capsys)
