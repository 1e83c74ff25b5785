"""Connects the interpreter's C hooks to tracers with Python state."""
from libc.stdint cimport int64_t
from evmcore._interp cimport Machine, Message, Outcome, Status, Step, Tracer as Hooks

cdef class Tracer:
    cdef Hooks hooks
    cdef Machine* machine         # NULL while nothing runs
    cdef int64_t deadline_ns      # the machine's deadline, saved; a hook that raises sets the machine's to the past
    cdef object error             # the exception of a hook; None: none
    cdef size_t limit             # bytes of text that may be collected in a run; 0: no limit
    cdef size_t collected

    # The engine's side: called before the run, after it, and `finish` with the result if the run has one.
    cdef int attach(self, Machine* machine) except -1
    cdef int detach(self) except -1               # raises what a hook raised
    cdef void fail(self, object error) noexcept   # ends the run because of it

    # Counts collected text; TraceTooLarge if it is more than allowed.
    cdef int collect(self, size_t size) except -1

    # Methods that a tracer implements; called with the GIL. `finish` runs before the working set is reset.
    cdef bint wants_steps(self)
    cdef int start(self) except -1
    cdef int step(self, const Step* step) except -1
    cdef int enter(self, const Message* message) except -1
    cdef int leave(self, const Message* message, const Outcome* outcome) except -1
    cdef int finish(self, Machine* machine, int64_t gas_limit, int64_t gas_used, Status status, bytes output) except -1

cdef str hex_bytes(const unsigned char* data, Py_ssize_t size)        # "0x" and two digits a byte
cdef str status_text(Status status)                                   # geth's text for a failure; None on success
