"""JSON text that comes from outside, whose nesting is limited.

The standard decoder recurses once for each level, and only the interpreter's recursion limit ends that. Libraries
raise this limit for the whole process (py_ecc to 100,000): a text of brackets would then overflow the native stack.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate, count
from operator import sub
from typing import Any

MAX_DEPTH = 500
"""Levels of arrays and objects in each other."""

_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS + b'"'))
# An opening bracket counts 2 and a closing one 0, so that the sum of the first n is n more than the depth behind them.
_DOUBLED = bytes.maketrans(_BRACKETS, bytes([2, 0, 2, 0]))


def load_json(text: bytes | str) -> Any:
    """The value of a JSON text; bytes are UTF-8, UTF-16 or UTF-32.

    Raises `ValueError` for anything else, and for a text nested deeper than `MAX_DEPTH`.
    """
    if isinstance(text, bytes) and json.detect_encoding(text) not in ("utf-8", "utf-8-sig"):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return json.loads(text)


def _depth(data: bytes) -> int:
    """The number of levels in a text, by loops in native code: there may be millions of brackets."""
    if b"\\" in data:
        data = re.sub(rb"\\.", b"", data, flags=re.DOTALL)
    brackets = re.sub(rb'"[^"]*"', b"", data.translate(None, _OTHERS)).replace(b'"', b"")
    return max(map(sub, accumulate(brackets.translate(_DOUBLED)), count(1)), default=0)
