"""JSON from outside: nesting has a limit of its own, however high the interpreter's recursion limit is."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from evmcore.json_input import MAX_DEPTH, load_json


@pytest.fixture
def high_recursion_limit() -> Iterator[None]:
    """As some libraries set it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(limit)


def nested(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}"), ('[{"]":', "}]")])
@pytest.mark.parametrize("encode", [str, str.encode])
def test_nesting_has_a_limit(high_recursion_limit: None, brackets: tuple[str, str], encode: Any) -> None:
    most = MAX_DEPTH // sum(brackets[1].count(end) for end in "]}")
    assert load_json(encode(nested(most, *brackets))) == json.loads(nested(most, *brackets))
    with pytest.raises(ValueError, match=f"nested deeper than {MAX_DEPTH} levels"):
        load_json(encode(nested(most + 1, *brackets)))


@pytest.mark.parametrize(
    "text", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b'"' + b"[" * 1_000_000, b'["\\"' * 1_000_000]
)
def test_what_is_no_json_does_not_overflow_the_stack(high_recursion_limit: None, text: bytes) -> None:
    with pytest.raises(ValueError):
        load_json(text)


@pytest.mark.parametrize(
    "value",
    [
        ["[" * 2000, "]"],
        {"{" * 2000: '"[{' * 300},
        ["\\" * 700 + '"' + "[" * 700] * 3,
        [[{}] * 3, []] * 2000,
    ],
)
def test_brackets_in_strings_and_beside_each_other_are_no_levels(value: Any) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert load_json(text) == load_json(text.encode()) == load_json(text.encode("utf-16")) == value


def test_random_values_are_read_as_the_standard_library_reads_them() -> None:
    rng = random.Random(20261127)

    def make(depth: int) -> Any:
        kind = rng.randrange(4 if depth else 2)
        if kind == 0:
            return "".join(rng.choice('[]{}"\\a\n\u00e9') for _ in range(rng.randrange(12)))
        if kind == 1:
            return rng.randrange(1 << 70)
        if kind == 2:
            return [make(depth - 1) for _ in range(rng.randrange(6))]
        return {str(make(0)): make(depth - 1) for _ in range(rng.randrange(6))}

    for _ in range(200):
        value = [make(6) for _ in range(50)]
        assert load_json(json.dumps(value)) == value
