"""Runs Python's signal handlers, such as Ctrl-C's, now and then while the main thread works without Python. An exception that a
handler raises ends the work. Layer 0.
"""
from libc.stdint cimport uint32_t

from evmcore._asking cimport Asking

# Tells the work to end.
ctypedef void (*EndWork)(void* work) noexcept nogil

cdef class Handlers:
    cdef Asking asking
    cdef EndWork end
    cdef void* work
    cdef object raised            # the exception of the first handler that raised, or None

    cdef int done(self) except -1                # call after the work: raises that exception

# Begins; ended by `done`, on the same thread and properly nested. None in threads other than the main one, which handle no
# signals.
cdef Handlers handle_signals(EndWork end, void* work)

# Runs the handlers of pending signals. Returns None, or the exception that one raised.
cdef object raised_by_handlers()

# The same for work that holds something a handler may wait for, such as a lock. If the caller is the main thread, the work runs in a
# separate thread and the main thread runs the handlers meanwhile. If a handler raises, `stop` is set, and the exception is returned
# once the work has ended.
cdef object run_aside(void (*work)(void* context) noexcept nogil, void* context, uint32_t* stop)
