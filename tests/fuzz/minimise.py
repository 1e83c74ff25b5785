"""Makes a case that shows a difference small: whatever can go while the difference stays, goes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Case = dict[str, Any]


def _without_chunk(code: str, size: int) -> Iterator[str]:
    """`code` (0x-hex) without each of its chunks of `size` bytes."""
    digits = code[2:]
    for start in range(0, len(digits), 2 * size):
        yield "0x" + digits[:start] + digits[start + 2 * size :]


def _smaller(case: Case) -> Iterator[Case]:
    """Cases a little smaller than `case`, the boldest cuts first."""

    def changed(change: Callable[[Case], None]) -> Case:
        new = copy.deepcopy(case)
        change(new)
        return new

    for address in case["pre"]:
        if address != case["transaction"]["sender"]:
            yield changed(lambda new, address=address: new["pre"].pop(address))
    if case["transaction"].get("accessLists", [[]])[0]:
        yield changed(lambda new: new["transaction"].update(accessLists=[[]]))
    texts = [("code", address) for address in case["pre"]] + [("data", "")]
    for size in (256, 64, 16, 4, 1):
        for kind, address in texts:
            text = case["pre"][address]["code"] if kind == "code" else case["transaction"]["data"][0]
            for shorter in _without_chunk(text, size) if len(text) > 2 else ():
                if kind == "code":
                    yield changed(lambda new, a=address, c=shorter: new["pre"][a].update(code=c))
                else:
                    yield changed(lambda new, c=shorter: new["transaction"].update(data=[c]))
    for address, account in case["pre"].items():
        for slot in account["storage"]:
            yield changed(lambda new, a=address, s=slot: new["pre"][a]["storage"].pop(s))


def minimise(case: Case, differs: Callable[[Case], bool], steps: int = 3000) -> Case:
    """The smallest case found in at most `steps` tries for which `differs` still holds."""
    progress = True
    while progress and steps > 0:
        progress = False
        for candidate in _smaller(case):
            steps -= 1
            if steps <= 0:
                break
            if differs(candidate):
                case, progress = candidate, True
                break
    return case
