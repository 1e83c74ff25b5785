"""The interface of every state backend for compiled code: a `StateReader` table and the rules for using it from threads.

Thread rules
------------
- A *read section* lies between `begin_read` and `end_read`. While one is open, no writer changes the state, so all
  reads through `reader` are lock-free and see one consistent state. Open one for a whole call, batch or block, not per
  read.
- Sections are cheap (one atomic add each way) and may be nested. A section is opened and closed by the same thread; other
  native threads may read through `reader` while the section is open.
- Any number of sections may be open at once. A writer waits until they are closed and holds new ones back meanwhile,
  so writers do not starve. Writers wait without the GIL and never take it while they write: `begin_read` may be called
  with or without the GIL.
- A thread with an open read section must not write to the same backend: it would wait for itself. Backends raise
  `StateError` instead.
- Reads outside a section are allowed only while nothing writes.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from evmcore._interp cimport Machine
from evmcore._state cimport StateReader

# For a backend that observes the calls that run on it.
cdef struct RunHooks:
    void* self
    const int64_t* stop_at        # the machine stops at this time (see Machine.stop_at)
    # Called before a call or message that runs alone, not in a batch, on its thread; its arguments stay valid until `ended`.
    void (*began)(
        void* self, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data, size_t size
    ) noexcept nogil
    # Called after each call or message, on its thread, with the call (`target` NULL: a creation) and its machine.
    void (*ended)(
        void* self, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data, size_t size
    ) noexcept nogil

# The exceptions of failed reads. They cannot pass through native frames, so they are kept until they are taken, by the thread
# that read and the thread for which it did (see `_workers`). For use with the GIL.
cdef class ReadErrors:
    cdef dict kept
    cdef void keep(self, object error)
    cdef object take(self)        # the latest of this thread, or else of those that worked for it; None: there is none

cdef class Backend:
    cdef StateReader reader                           # valid as long as the Backend lives; filled by the subclass
    cdef RunHooks* hooks                              # NULL: none; valid as long as the Backend lives

    cdef void begin_read(self) noexcept nogil         # waits while a writer writes
    cdef void end_read(self) noexcept nogil
    # The Python exception that made a read fail (returned once), or None. Raise StateError from it after STATE_FAILED.
    cpdef object take_error(self)
    # Applies a diff. StateError if the state is read-only or not the one the diff starts from.
    cpdef object apply(self, object diff)
