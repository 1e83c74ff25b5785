"""Times of a block's transactions, and which of them depend on each other through shared storage slots."""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from evmcore._interp cimport Machine, Status
from evmcore._state cimport SlotEntry, WorkingSet
from evmcore._sync cimport monotonic_ns
from evmcore._u256 cimport u_eq
from evmcore.tracing._hooks cimport Tracer


cdef class DependencyTracer(Tracer):
    """Pass to `execute_block` as `tracer`: measures each transaction, and the longest chain of transactions of which
    each accesses a storage slot that the one before changed. The interpreter runs at full speed meanwhile.

    `times`: nanoseconds of each transaction. `critical_path`: nanoseconds of the slowest chain, a lower bound for any
    number of cores if every transaction waits for the values it accesses. Balances are left out, because most of them
    are only added to.
    """

    def __init__(self):
        self.times = []

    def __dealloc__(self):
        free(self.written_at)

    cdef bint wants_steps(self):
        return False

    cdef int attach(self, Machine* machine) except -1:
        machine.tracer = NULL
        self.begun = monotonic_ns()
        return 0

    cdef int detach(self) except -1:
        self.took = monotonic_ns() - self.begun
        return 0

    cdef int make_room(self, uint32_t slots) except -1:
        cdef int64_t* bigger
        cdef uint32_t capacity
        if slots <= self.capacity:
            return 0
        capacity = 2 * slots
        bigger = <int64_t*>realloc(self.written_at, capacity * sizeof(int64_t))
        if bigger == NULL:
            raise MemoryError
        memset(bigger + self.capacity, 0, (capacity - self.capacity) * sizeof(int64_t))
        self.written_at = bigger
        self.capacity = capacity
        return 0

    cdef int finish(self, Machine* machine, int64_t gas_limit, int64_t gas_used, Status status, bytes output) except -1:
        cdef WorkingSet* ws = machine.ws
        cdef SlotEntry* slot
        cdef int64_t ready = 0
        cdef uint32_t i
        self.make_room(ws.slot_count)
        for i in range(1, ws.slot_count):
            slot = &ws.slots[i]
            if slot.seen == ws.epoch and self.written_at[i] > ready:
                ready = self.written_at[i]
        ready += self.took
        for i in range(ws.changed_slot_count):
            slot = &ws.slots[ws.changed_slots[i]]
            if not u_eq(&slot.current, &slot.original):
                self.written_at[ws.changed_slots[i]] = ready
        self.critical_path = max(self.critical_path, ready)
        self.times.append(self.took)
        return 0
