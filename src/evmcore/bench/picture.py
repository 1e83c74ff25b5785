"""A `Timeline` as an SVG picture: a lane for each worker, one for the commits, a time axis. Plain text, no library."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from evmcore.bench.timeline import Kind, Span, Timeline

WIDTH = 1280
LEFT, RIGHT = 96, 24
TOP = 96
LANE, GAP = 40, 14
PLOT = WIDTH - LEFT - RIGHT
LEAST_WIDTH = 0.25  # of what is drawn: less is not seen
TICKS = 10

COLOURS = {
    Kind.FIRST: "#3b78c3",
    Kind.AGAIN: "#e08a1e",
    Kind.VAIN: "#c0392b",
    Kind.REFUSED: "#7d3c98",
    Kind.COMMIT: "#2e9e5b",
    Kind.WAIT: "#d9dde2",
    Kind.WAKING: "#f0e6c8",
}
# In the order of the legend. What comes later is drawn above.
DRAWN = (Kind.FIRST, Kind.AGAIN, Kind.VAIN, Kind.REFUSED, Kind.COMMIT, Kind.WAIT, Kind.WAKING)
WORKERS = ("#1f4e8c", "#b5651d", "#3f7d4e", "#8a3d76", "#4d4d4d", "#a08a1c", "#2b8c8c", "#8c2b2b")


def microseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1000:,.1f} us"


def step_of(took: int) -> int:
    """Nanoseconds between two marks of the axis: 1, 2 or 5 times a power of ten."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if took <= step * factor * TICKS:
                return step * factor
        step *= 10


def words(span: Span) -> str:
    """What a pointer held over a span is told."""
    of = "" if span.transaction is None else f"transaction {span.transaction}: "
    what = {
        Kind.FIRST: "first run",
        Kind.AGAIN: f"run {span.run}",
        Kind.VAIN: f"run {span.run}, ended early",
        Kind.COMMIT: f"made final by worker {span.worker}",
        Kind.REFUSED: f"run {span.run} did not stand",
    }.get(span.kind, span.kind.value)
    note = f" ({span.note})" if span.note else ""
    times = f"{microseconds(span.begin)} to {microseconds(span.end)}, {microseconds(span.end - span.begin)}"
    return f"{of}{what}{note}\nworker {span.worker}, {times}"


class Picture:
    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.unit = PLOT / max(1, timeline.took)
        self.commit_lane = TOP + timeline.threads * (LANE + GAP)
        self.axis = self.commit_lane + LANE + GAP
        self.height = self.axis + 76

    def x(self, nanoseconds: float) -> float:
        return LEFT + min(max(nanoseconds, 0), self.timeline.took) * self.unit

    def lane(self, worker: int) -> int:
        return TOP + worker * (LANE + GAP)

    def box(self, span: Span, y: float, height: float, colour: str) -> str:
        left = self.x(span.begin)
        width = max(self.x(span.end) - left, LEAST_WIDTH)
        of = "" if span.transaction is None else f' data-transaction="{span.transaction}"'
        return (
            f'<rect class="{span.kind.name.lower()}"{of} x="{left:.2f}" y="{y:g}" width="{width:.2f}" '
            f'height="{height:g}" fill="{colour}"><title>{escape(words(span))}</title></rect>'
        )

    def text(self, x: float, y: float, content: str, attributes: str = "") -> str:
        return f'<text x="{x:g}" y="{y:g}"{" " + attributes if attributes else ""}>{escape(content)}</text>'

    # ---- parts, from top to bottom

    def head(self) -> Iterator[str]:
        timeline = self.timeline
        yield self.text(LEFT, 28, f"{timeline.name}: who ran what and when", 'font-size="18" font-weight="600"')
        final = timeline.of(Kind.COMMIT)
        again, vain = len(timeline.of(Kind.AGAIN)), len(timeline.of(Kind.VAIN))
        facts = [
            f"{timeline.transactions} transactions, {len(final)} made final by the workers",
            f"{timeline.threads} workers",
            microseconds(timeline.took),
            f"{len(timeline.runs)} runs: {again} again, {vain} that met a value about to change",
        ]
        if timeline.lost:
            facts.append(f"{timeline.lost} events not recorded, for want of room")
        yield self.text(LEFT, 48, "; ".join(facts), 'fill="#444"')
        x = float(LEFT)
        for kind in DRAWN:
            yield f'<rect x="{x:g}" y="64" width="12" height="12" fill="{COLOURS[kind]}"/>'
            yield self.text(x + 17, 74, kind.value)
            x += 34 + 6.5 * len(kind.value)

    def grid(self) -> Iterator[str]:
        step = step_of(self.timeline.took)
        for mark in range(0, self.timeline.took + 1, step):
            x = self.x(mark)
            yield f'<line x1="{x:.2f}" y1="{TOP - 6}" x2="{x:.2f}" y2="{self.axis}" stroke="#e3e6ea"/>'
            label = f"{mark / 1000:,.0f}" if step >= 1000 else f"{mark / 1000:g}"
            yield self.text(round(x, 2), self.axis + 18, label, 'text-anchor="middle"')
        yield f'<line x1="{LEFT}" y1="{self.axis}" x2="{WIDTH - RIGHT}" y2="{self.axis}" stroke="#555"/>'
        yield self.text(
            LEFT + PLOT / 2, self.axis + 38, "time since the workers were woken, us", 'text-anchor="middle"'
        )
        note = "The lane of commits shows them all, coloured by worker. Point at a bar to read of it."
        yield self.text(LEFT, self.axis + 60, note, 'fill="#666"')

    def lanes(self) -> Iterator[str]:
        for worker in range(self.timeline.threads):
            y = self.lane(worker)
            colour = WORKERS[worker % len(WORKERS)]
            yield f'<rect x="{LEFT}" y="{y}" width="{PLOT}" height="{LANE}" fill="#fafbfc"/>'
            yield f'<rect x="{LEFT - 8}" y="{y}" width="4" height="{LANE}" fill="{colour}"/>'
            yield self.text(LEFT - 14, y + LANE / 2 + 4, f"worker {worker}", 'text-anchor="end"')
        y = self.commit_lane
        yield f'<rect x="{LEFT}" y="{y}" width="{PLOT}" height="{LANE}" fill="#fafbfc"/>'
        yield self.text(LEFT - 14, y + LANE / 2 + 4, "commits", 'text-anchor="end"')

    def spans(self) -> Iterator[str]:
        for worker in range(self.timeline.threads):
            yield f'<g id="worker-{worker}">'
            for span in self.timeline.spans:
                if span.worker == worker:
                    y, height = float(self.lane(worker)), float(LANE)
                    if span.kind in (Kind.WAIT, Kind.WAKING):
                        y, height = y + LANE * 0.35, LANE * 0.3
                    yield self.box(span, y, height, COLOURS[span.kind])
            yield "</g>"
        yield '<g id="commits">'
        for span in self.timeline.of(Kind.COMMIT):
            yield self.box(span, self.commit_lane, LANE, WORKERS[span.worker % len(WORKERS)])
        yield "</g>"


def draw(timeline: Timeline) -> str:
    """The picture, an SVG document."""
    picture = Picture(timeline)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{picture.height}" '
        f'viewBox="0 0 {WIDTH} {picture.height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">',
        f"<title>{escape(timeline.name)}: who ran what and when</title>",
        f'<rect width="{WIDTH}" height="{picture.height}" fill="white"/>',
        *picture.head(),
        *picture.lanes(),
        *picture.grid(),
        *picture.spans(),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
