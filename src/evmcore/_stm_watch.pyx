"""What the workers of a parallel block did; see `_stm_watch.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from evmcore._stm cimport Event, Watch, kCommitting, kRefused, kRunning, kWaiting, ticks
from evmcore._stm_block cimport Block
from evmcore._sync cimport monotonic_ns

DEEDS = (
    "ran ahead", "met an estimate", "ran again", "ran at the frontier", "made final", "did not stand", "waited", "ran in a bin"
)


cdef void clocks_open(Block* block) noexcept nogil:
    block.opened_ns = monotonic_ns()
    block.opened = ticks()


cdef void clocks_close(Block* block) noexcept nogil:
    block.closed = ticks()
    block.took = monotonic_ns() - (block.bins.opened_ns if block.binned else block.opened_ns)


cdef double scale(const Block* block):
    """Nanoseconds per tick."""
    return <double>block.took / <double>max(block.closed - begin_of(block), <uint64_t>1)


cdef uint64_t begin_of(const Block* block):
    return block.bins.opened if block.binned else block.opened


cdef int64_t span(uint64_t begin, uint64_t end, double unit):
    """Nanoseconds; never negative, even if the clocks of two cores differ by a little."""
    return <int64_t>(<double>(end - begin) * unit) if end > begin else 0


cdef int threads_of(const Block* block):
    cdef int i, came = 0
    for i in range(block.worker_count):
        came += block.workers[i].tally.watch.since != 0
    if came == 0 and block.binned:
        for i in range(block.threads):
            came += block.bins.watches[i].since != 0
    return came


cdef dict phases_of(const Block* block):
    cdef dict phases = no_phases()
    cdef double unit = scale(block)
    cdef uint64_t until = block.opened if block.opened else block.closed
    cdef int i
    if block.binned:
        phases["opening"] = block.bins.opened_ns - block.started
        for i in range(block.threads):
            add_phases(phases, &block.bins.watches[i], block.bins.opened, until, unit)
    elif block.opened:
        phases["opening"] = block.opened_ns - block.started
    for i in range(block.worker_count):
        add_phases(phases, &block.workers[i].tally.watch, block.opened, block.closed, unit)
    return phases


cdef dict no_phases():
    return dict.fromkeys(("opening", "waking", "running", "committing", "waiting"), 0)


cdef int add_phases(dict phases, const Watch* watch, uint64_t opened, uint64_t closed, double unit) except -1:
    if watch.since == 0:
        return 0
    phases["waking"] += span(opened, watch.came, unit)
    phases["running"] += span(0, watch.spent[<int>kRunning], unit)
    phases["committing"] += span(0, watch.spent[<int>kCommitting], unit)
    # A worker that has ended waits for the others.
    phases["waiting"] += span(0, watch.spent[<int>kWaiting], unit) + span(watch.since, closed, unit)
    return 0


cdef size_t add_events(list events, const Block* block, int worker, const Watch* watch, size_t before, bint woke) except? 0:
    """Appends a worker's events; returns how many others there was no room for. `before`: transactions before the first
    one of these."""
    cdef const Event* event
    cdef double unit = scale(block)
    cdef uint64_t begin = begin_of(block)
    cdef size_t n, deed
    if watch.since == 0 or watch.events == NULL:
        return 0
    if woke:
        events.append((worker, "woke", None, 0, span(begin, watch.came, unit), None))
    for n in range(watch.events.count()):
        event = &watch.events.at(n)
        deed = event.deed
        detail = None
        if deed == <size_t>kRefused:
            detail = <int>event.detail
        elif event.detail:
            detail = <int>(event.detail + before) - 1
        events.append((
            worker, DEEDS[deed], <int>(event.tx + before) - 1 if event.tx else None,
            span(begin, event.begin, unit), span(begin, event.end, unit), detail,
        ))
    return watch.events.lost()


cdef tuple timeline_of(const Block* block):
    cdef list events = []
    cdef size_t lost = 0
    cdef bint woke
    cdef int i
    for i in range(block.threads if block.binned else 0):
        lost += add_events(events, block, i, &block.bins.watches[i], 0, True)
    for i in range(block.worker_count):
        # A worker that came while transactions ran in bins woke only once.
        woke = not block.binned or block.bins.watches[i].since == 0
        lost += add_events(events, block, i, &block.workers[i].tally.watch, block.before, woke)
    # A worker may end some nanoseconds after the leader, who stopped the clock.
    return (max(block.took, max([event[4] for event in events], default=0)), lost, events)
