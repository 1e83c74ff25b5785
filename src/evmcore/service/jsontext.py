"""JSON text to values and back, by orjson if it is installed, otherwise by the standard library."""

from __future__ import annotations

import importlib
import importlib.util
import json
from json.encoder import encode_basestring_ascii
from typing import Any

from evmcore.json_input import load_json

_orjson: Any = importlib.import_module("orjson") if importlib.util.find_spec("orjson") else None

__all__ = ["dumps", "loads", "quoted"]


def loads(text: bytes | str, *, exact: bool = False) -> Any:
    """The value of a JSON text. Raises `ValueError` for anything else, including texts that are nested too deeply.

    Integers beyond 64 bits may become floating point numbers, unless `exact`.
    """
    return load_json(text) if exact or _orjson is None else _orjson.loads(text)


def dumps(value: Any) -> bytes:
    """The JSON text of a value, without white space."""
    if _orjson is not None:
        try:
            text: bytes = _orjson.dumps(value)
            return text
        except TypeError:  # numbers beyond 64 bits, text with lone surrogates
            pass
    return json.dumps(value, separators=(",", ":")).encode()


def quoted(text: str) -> bytes:
    """The JSON text of a string."""
    return encode_basestring_ascii(text).encode()
