"""`bench --timeline`: every transaction is in the picture, workers do one thing at a time, commits are in order."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest

from evmcore.bench import parallel, picture, timeline
from evmcore.bench.timeline import Kind, Span, Timeline
from evmcore.stm import ParallelExecutor
from tests.commands import run_command
from tests.shared_files import shared_path

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["mixed", "swaps, one pair", "one counter", "transfers, one sender"]


def recorded(name: str, threads: int) -> tuple[Timeline, ParallelExecutor]:
    subject = parallel.workload_makers(1, False)[name]()
    executor = ParallelExecutor(threads, always=True)
    executor.recording = True
    counters = subject.execute_by(executor)
    took, lost, events = executor.timeline
    return (
        Timeline(name, counters.transactions, counters.threads, took, lost, timeline.spans_of(events)),
        executor,
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_transaction_is_run_and_made_final_once_and_in_order(name: str, threads: int) -> None:
    found, executor = recorded(name, threads)
    final = [span.transaction for span in sorted(found.of(Kind.COMMIT), key=lambda span: span.end)]
    assert final == list(range(found.transactions)) and found.lost == 0
    assert {span.transaction for span in found.runs} == set(range(found.transactions))
    assert len(found.runs) == executor.counters["runs"]
    assert len(found.of(Kind.REFUSED)) == executor.counters["reruns"]
    for span in found.of(Kind.COMMIT):
        runs = [run for run in found.runs if run.transaction == span.transaction and run.begin < span.end]
        assert max(run.end for run in runs) <= span.end and span.run == len(runs)


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_worker_does_one_thing_at_a_time(name: str, threads: int) -> None:
    found, _ = recorded(name, threads)
    assert {span.worker for span in found.spans} == set(range(found.threads))
    for worker in range(found.threads):
        own = sorted((span for span in found.spans if span.worker == worker), key=lambda span: (span.begin, span.end))
        assert all(0 <= span.begin <= span.end <= found.took for span in own)
        assert all(before.end <= after.begin for before, after in pairwise(own))


def test_nothing_is_recorded_unless_asked_for() -> None:
    subject = parallel.workload_makers(1, False)["one counter"]()
    executor = ParallelExecutor(2, always=True)
    subject.execute_by(executor)
    assert executor.timeline[1:] == (0, [])


def test_runs_are_numbered_and_reasons_given_in_words() -> None:
    events = [
        (0, "woke", None, 0, 5, None),
        (1, "met an estimate", 3, 10, 20, 2),
        (1, "ran ahead", 3, 30, 40, None),
        (0, "did not stand", 3, 50, 55, 6),
        (0, "ran again", 3, 55, 70, None),
        (0, "made final", 3, 70, 75, None),
        (0, "waited", None, 75, 90, None),
    ]
    found = timeline.spans_of(events)
    assert [(span.kind, span.run) for span in found] == [
        (Kind.WAKING, 0),
        (Kind.VAIN, 1),
        (Kind.AGAIN, 2),
        (Kind.REFUSED, 2),
        (Kind.AGAIN, 3),
        (Kind.COMMIT, 3),
        (Kind.WAIT, 0),
    ]
    assert found[1].note == "waits for transaction 2" and found[3].note == "a slot had changed"
    assert picture.words(found[5]) == "transaction 3: made final by worker 0\nworker 0, 0.1 us to 0.1 us, 0.0 us"


def boxes(root: ElementTree.Element, group: str) -> list[ElementTree.Element]:
    (found,) = [element for element in root.iter(f"{SVG}g") if element.get("id") == group]
    return list(found.iter(f"{SVG}rect"))


def test_the_picture_holds_every_transaction_and_says_what_it_shows() -> None:
    found, _ = recorded("mixed", 2)
    root = ElementTree.fromstring(picture.draw(found).encode())
    final = boxes(root, "commits")
    assert [int(box.get("data-transaction", "")) for box in final] == list(range(found.transactions))
    lefts = [float(box.get("x", "")) for box in final]
    assert lefts == sorted(lefts)
    width = float(root.get("width", ""))
    for worker in range(found.threads):
        own = boxes(root, f"worker-{worker}")
        assert len(own) == len([span for span in found.spans if span.worker == worker])
        for box in own:
            left, size = float(box.get("x", "")), float(box.get("width", ""))
            assert 0 < left <= left + size < width
            title = box.find(f"{SVG}title")
            assert title is not None and f"worker {worker}, " in (title.text or "")
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert "mixed: who ran what and when" in texts and "time since the workers were woken, us" in texts
    assert {kind.value for kind in Kind} <= set(texts)
    assert {"worker 0", "worker 1", "commits"} <= set(texts)


def test_names_are_escaped() -> None:
    spans = (Span(0, Kind.FIRST, 0, 10, 0, 1, note="<&>\"'"),)
    drawn = picture.draw(Timeline("<a & 'b\">", 1, 1, 10, 3, spans))
    root = ElementTree.fromstring(drawn.encode())
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert "<a & 'b\">: who ran what and when" in texts
    assert any("3 events not recorded" in text for text in texts)
    assert "first run (<&>\"')" in (boxes(root, "worker-0")[0][0].text or "")


@pytest.mark.parametrize(("took", "step"), [(1, 1), (10, 1), (11, 2), (999, 100), (7_098_000, 1_000_000)])
def test_the_axis_has_round_steps(took: int, step: int) -> None:
    assert picture.step_of(took) == step


# ---- the command


def test_the_command_draws_a_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "workload.svg"
    words = ("bench", "--timeline", str(file), "--filter", "one counter", "--threads", "3")
    code, out, errors = run_command(capsys, *words)
    assert (code, errors) == (0, "")
    assert "one counter: 120 transactions on 3 threads" in out and f"{file}: written" in out
    assert len(boxes(ElementTree.parse(file).getroot(), "commits")) == 120


@pytest.mark.parametrize("whole", [True, False])
def test_the_command_draws_a_real_block_from_a_directory_or_a_file(
    tmp_path: Path, whole: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = shared_path("blocks")
    file = tmp_path / "block.svg"
    where = [str(blocks), "--filter", "^19426587"] if whole else [str(blocks / "19426587.json.xz")]
    code, _, errors = run_command(capsys, "bench", "--timeline", str(file), "--blocks", *where)
    assert (code, errors) == (0, "")
    assert len(boxes(ElementTree.parse(file).getroot(), "commits")) == 37


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeline", "no/such/place.svg"], "--timeline: no/such/place.svg: a directory, or not in one that exists"),
        (["--timeline", "."], "--timeline: .: a directory"),
        (["--timeline", "/dev/full", "--filter", "one counter"], "/dev/full"),
        (
            ["--timeline", "x.svg", "--filter", "erc20,"],
            "names 3: erc20, clusters; erc20, interleaved; erc20, two people",
        ),
        (["--timeline", "x.svg", "--filter", "no such"], "names 0"),
        (["--timeline", "x.svg", "--threads", "1,2"], "--threads: one number with --timeline, got 2"),
        (["--timeline", "x.svg", "--parallel"], "not together with --parallel"),
        (["--timeline", "x.svg", "--filter", "empty block"], "invalid or has no transactions"),
    ],
)
def test_what_cannot_be_drawn_is_exit_code_2_and_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "/dev/full" in arguments and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    code, _, errors = run_command(capsys, "bench", *arguments)
    assert code == 2 and message in errors, errors
    assert len(errors.splitlines()) == 1
