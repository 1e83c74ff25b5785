"""JSON with and without orjson gives the same."""

from __future__ import annotations

from typing import Any

import pytest

from evmcore.service import jsontext


@pytest.fixture(params=["orjson", "standard library"], autouse=True)
def which(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "orjson":
        pytest.importorskip("orjson")
    else:
        monkeypatch.setattr(jsontext, "_orjson", None)


@pytest.mark.parametrize(
    "value", [None, True, 0, -5, 1.5, "", 'a"\\\n\x00\u2603\U0001f600', [], {}, [1, [2, {"x": None}]], {"a": [{}]}]
)
def test_values_survive(value: Any) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value


def test_what_orjson_cannot_write_is_written_all_the_same() -> None:
    assert jsontext.loads(jsontext.dumps(2**70)) == pytest.approx(2**70)
    assert b"ud800" in jsontext.dumps(["\ud800"])


def test_texts_are_quoted() -> None:
    for text in ("0xff", 'a"\\\n\x00', "\u2603", "\ud800"):
        assert jsontext.quoted(text) == jsontext.dumps(text) or jsontext.loads(jsontext.quoted(text)) == text


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[1,]", b"nul", b"1 2", b'"\n"'])
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)
