"""Python's signal handlers during native work; see `_handlers.pxd`."""
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint32_t

from evmcore._asking cimport ASK_EVERY_MS, begin_asking, end_asking
from evmcore._sync cimport raise_flag

from threading import get_ident, main_thread

from evmcore.errors import ResourceError

cdef extern from "include/aside.h" namespace "evmcore" nogil:
    cppclass Aside:
        Aside(void (*work)(void* context) noexcept nogil, void* context) except +
        bint wait(int ms)
        bint is_lost()


cdef class Handlers:
    cdef int done(self) except -1:
        end_asking(&self.asking)
        if self.raised is not None:
            error, self.raised = self.raised, None
            raise error
        return 0


cdef bint is_main_thread():
    return get_ident() == main_thread().ident


cdef Handlers handle_signals(EndWork end, void* work):
    cdef Handlers handlers
    if not is_main_thread():
        return None
    handlers = Handlers.__new__(Handlers)
    handlers.end = end
    handlers.work = work
    begin_asking(&handlers.asking, run_handlers, <void*>handlers)
    return handlers


cdef object raised_by_handlers():
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        return error
    return None


cdef void run_handlers(void* work) noexcept nogil:
    with gil:
        handlers = <Handlers>work
        error = raised_by_handlers()
        if error is not None:
            if handlers.raised is None:
                handlers.raised = error
            handlers.end(handlers.work)


cdef object run_aside(void (*work)(void* context) noexcept nogil, void* context, uint32_t* stop):
    cdef Aside* aside
    cdef bint ended = False
    raised = None
    if not is_main_thread():
        with nogil:
            work(context)
        return None
    with nogil:
        aside = new Aside(work, context)
    try:
        while True:
            with nogil:
                ended = aside.wait(ASK_EVERY_MS)
            if ended:
                break
            error = raised_by_handlers()
            if error is not None:
                raised = error if raised is None else raised
                raise_flag(stop)
        if aside.is_lost():
            raise ResourceError("the process was forked by a signal's handler, and the thread that was at work is not in it")
    finally:
        with nogil:
            del aside
    return raised
