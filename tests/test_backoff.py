"""Pauses after failures."""

from __future__ import annotations

from evmcore.state.backoff import Backoff


def test_pauses_double_up_to_the_longest_until_it_goes_well() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.pause() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert [backoff.pause() for _ in range(2)] == [0.5, 1.0]


def test_the_first_try_again_may_be_at_once() -> None:
    backoff = Backoff(0.5, 3.0, at_once=True)
    assert [backoff.pause() for _ in range(4)] == [0.0, 0.5, 1.0, 2.0]
    backoff.reset()
    assert backoff.pause() == 0.0
