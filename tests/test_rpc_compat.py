"""The cases of the execution APIs, over HTTP, on their own chain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evmcore.service.app import App
from evmcore.service.dispatch import Dispatcher
from evmcore.service.library import CallService
from evmcore.service.methods import METHODS
from tests.rpc_compat import Case, cases, chain_source, run_case
from tests.rpc_server import Client, serving
from tests.shared_files import shared_path

CASES = cases()


def app() -> App:
    return App(Dispatcher(CallService(chain_source()), METHODS))


@pytest.fixture(scope="module")
def shared_client() -> Iterator[Client]:
    """A server for the cases that leave it as it was."""
    with serving(app()) as client:
        yield client


def test_all_cases_are_there() -> None:
    shared_path("rpc-compat")
    assert len(CASES) == 158


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case_is_answered_as_upstream_expects(case: Case, request: pytest.FixtureRequest) -> None:
    if case.changes_state:
        with serving(app()) as client:
            assert run_case(client, case) is None
    else:
        assert run_case(request.getfixturevalue("shared_client"), case) is None
