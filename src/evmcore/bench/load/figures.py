"""What an attack's answers add up to, under the names that flood's result files use.

flood counts every HTTP status 200 as a success; its *deep check* looks into the bodies. Both are here, and beside them
what flood cannot know: whether each answer was the right one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

from evmcore.bench.load.mixes import Request
from evmcore.bench.load.sending import SECOND, Answers

# Examples of wrong answers that are kept.
EXAMPLES: Final = 5
CATEGORIES: Final = ("all", "successful", "failed")


@dataclass
class Verdict:
    """What the bodies say, request by request, and how many answers were not the right ones."""

    invalid_json: bytearray
    rpc_error: bytearray
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def failed(self, index: int) -> bool:
        return bool(self.invalid_json[index] or self.rpc_error[index])


def judge(answers: Answers, requests: Sequence[Request]) -> Verdict:
    """Looks into every body. No answer at all (status 0) is an error, not a wrong answer."""
    verdict = Verdict(bytearray(len(answers)), bytearray(len(answers)))
    for index, status in enumerate(answers.status):
        if not status:
            continue
        request, body = requests[answers.pool[index]], answers.bodies[index]
        try:
            answer = json.loads(body)
        except ValueError:
            verdict.invalid_json[index] = status == 200
            problem: str | None = "not JSON"
        else:
            if status == 200:
                verdict.rpc_error[index] = not isinstance(answer, dict) or answer.get("result") is None
            problem = _problem(answer, request)
        if problem is not None:
            verdict.wrong += 1
            if len(verdict.examples) < EXAMPLES:
                asked, got = request.body[:300].decode(), body[:300].decode(errors="replace")
                verdict.examples.append(f"{problem}: HTTP {status} {got} to {asked}")
    return verdict


def _problem(answer: Any, request: Request) -> str | None:
    """What is wrong with an answer, if anything."""
    if not isinstance(answer, dict):
        return "not a JSON-RPC answer"
    if request.ident is not None and answer.get("id") != request.ident:
        return f"id {answer.get('id')!r:.40} for {request.ident}"
    error = answer.get("error")
    if request.codes:
        if not isinstance(error, dict) or error.get("code") not in request.codes:
            return f"no error {' or '.join(map(str, request.codes))}"
        if request.data is not None and error.get("data") != request.data:
            return "other revert data"
        return None
    if error is not None:
        return "an error"
    result = answer.get("result")
    if result is None if request.result is None else result != request.result:
        return "another result"
    return None


def quantile(ordered: Sequence[int], share: float) -> int:
    """Of sorted values, by the nearest rank."""
    return ordered[min(len(ordered) - 1, max(0, round(share * (len(ordered) - 1))))]


def _timestamp(answers: Answers, clock: int) -> str:
    moment = (answers.started + clock - answers.begun) / SECOND
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()


def datum(answers: Answers, rate: float | None, seconds: float, chosen: Sequence[int] | None = None) -> dict[str, Any]:
    """flood's figures of all requests or of those `chosen` (by number). Times are seconds, rates a second.

    Latencies are those of every request, failed ones too, from when it was due. `rate` is None for a closed loop.
    """
    indexes = range(len(answers)) if chosen is None else chosen
    made: dict[str, Any] = {"target_rate": rate, "target_duration": seconds, "requests": len(indexes)}
    if not indexes:
        nothing = (
            "actual_duration throughput success min mean p50 p90 p95 p99 max first_request_timestamp "
            "last_request_timestamp last_response_timestamp final_wait_time"
        )
        return made | {"actual_rate": 0, "status_codes": {}, "errors": []} | dict.fromkeys(nothing.split())
    due, done, status = answers.due, answers.done, answers.status
    latencies = sorted(done[index] - due[index] for index in indexes)
    first, last = due[indexes[0]], due[indexes[-1]]
    end = max(done[index] for index in indexes)
    successful = sum(status[index] == 200 for index in indexes)
    made |= {
        "actual_rate": (len(indexes) - 1) / max(last - first, 1) * SECOND if len(indexes) > 1 else 0.0,
        "actual_duration": (last - first) / SECOND,
        "throughput": successful / max(end - first, 1) * SECOND,
        "success": successful / len(indexes),
        "min": latencies[0] / SECOND,
        "mean": sum(latencies) / len(latencies) / SECOND,
        **{f"p{part}": quantile(latencies, part / 100) / SECOND for part in (50, 90, 95, 99)},
        "max": latencies[-1] / SECOND,
        "status_codes": {str(code): count for code, count in sorted(Counter(status[i] for i in indexes).items())},
        "errors": sorted({answers.errors[index] for index in indexes if index in answers.errors}),
        "first_request_timestamp": _timestamp(answers, first),
        "last_request_timestamp": _timestamp(answers, last),
        "last_response_timestamp": _timestamp(answers, end),
        "final_wait_time": (end - last) / SECOND,
    }
    return made


def deep_metrics(answers: Answers, verdict: Verdict, rate: float | None, seconds: float) -> dict[str, dict[str, Any]]:
    """flood's deep check: the same figures for all, for those with a result, and for the others."""
    good = [i for i, status in enumerate(answers.status) if status == 200 and not verdict.failed(i)]
    chosen = set(good)
    bad = [i for i in range(len(answers)) if i not in chosen]
    made = {}
    for category, indexes in zip(CATEGORIES, (range(len(answers)), good, bad), strict=True):
        figures = datum(answers, rate, seconds, indexes)
        figures["n_invalid_json_errors"] = sum(verdict.invalid_json[index] for index in indexes)
        figures["n_rpc_errors"] = sum(verdict.rpc_error[index] for index in indexes)
        made[category] = figures
    return made


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """flood writes a list for each figure, with one value for each rate."""
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}
