"""What every state backend looks like to compiled code: a `StateReader` table and the rules for using it from threads.

Thread rules
------------
- A *read section* lies between `begin_read` and `end_read`. While one is open, no writer changes the state, so all
  reads through `reader` are lock-free and see one consistent state. Open one for a whole call, batch or block, not per
  read.
- Sections are cheap (one atomic add each way) and may be nested. Both calls come from the same thread; other native
  threads may read through `reader` under the cover of a section that stays open until they are done.
- Any number of sections may be open at once. A writer waits until they are closed and holds new ones back meanwhile,
  so writers do not starve. Writers wait without the GIL and never take it while they write: `begin_read` may be called
  with or without the GIL.
- A thread that has a read section open must not write to the same backend: it would wait for itself. Backends raise
  `StateError` instead.
- Reads outside a section are allowed only while nothing writes.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from evmcore._interp cimport Machine
from evmcore._state cimport StateReader

# For a backend that wants to know of the calls that run on it.
cdef struct RunHooks:
    void* self
    const int64_t* stop_at        # the machine stops then (see Machine.stop_at)
    # Before a call or message that runs alone, not in a batch, on its thread; what it is told stays until `ended`.
    void (*began)(
        void* self, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data, size_t size
    ) noexcept nogil
    # After each call or message, on its thread: what it was (`target` NULL: a creation), and the machine with all it touched.
    void (*ended)(
        void* self, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data, size_t size
    ) noexcept nogil

# The exceptions of reads that failed. They cannot pass through native frames, so they are kept by thread until they are
# taken. For use with the GIL.
cdef class ReadErrors:
    cdef dict by_thread
    cdef void keep(self, object error)
    cdef object take(self)        # this thread's, or one of its worker threads'; None: there is none

cdef class Backend:
    cdef StateReader reader                           # valid as long as the Backend lives; filled by the subclass
    cdef RunHooks* hooks                              # NULL: none; valid as long as the Backend lives

    cdef void begin_read(self) noexcept nogil         # waits while a writer writes
    cdef void end_read(self) noexcept nogil
    # The Python exception that made a read fail (given once), or None. Raise StateError from it after STATE_FAILED.
    cpdef object take_error(self)
    # Makes the changes of a diff permanent. StateError when the state is read-only or not the one the diff starts from.
    cpdef object apply(self, object diff)
