"""Python's handlers of signals, as Ctrl-C has one, while the main thread works without Python: they run now and then, and what one
raises ends the work. Layer 0.
"""
from libc.stdint cimport uint32_t

from evmcore._asking cimport Asking

# Tells a work that it is to end.
ctypedef void (*EndWork)(void* work) noexcept nogil

cdef class Handlers:
    cdef Asking asking
    cdef EndWork end
    cdef void* work
    cdef object raised            # by the first handler that raised: the exception, or None

    cdef int done(self) except -1                # after the work: raises that

# From here to `done`, on one thread and properly nested. None in other threads than the main one, which handle no signals.
cdef Handlers handle_signals(EndWork end, void* work)

# Runs the handlers of signals that have come. None, or what one raised.
cdef object raised_by_handlers()

# The same for a work that holds what a handler may wait for, such as a lock: it runs in a thread of its own, if the caller is the
# main one, which runs the handlers meanwhile. What one raised is returned, once the work has ended: `stop` is raised for it.
cdef object run_aside(void (*work)(void* context) noexcept nogil, void* context, uint32_t* stop)
