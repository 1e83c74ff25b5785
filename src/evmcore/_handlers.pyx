"""Python's handlers of signals during native works; see `_handlers.pxd`."""
from cpython.exc cimport PyErr_CheckSignals

from evmcore._asking cimport begin_asking, end_asking

from threading import get_ident, main_thread


cdef class Handlers:
    cdef int done(self) except -1:
        end_asking(&self.asking)
        if self.raised is not None:
            error, self.raised = self.raised, None
            raise error
        return 0


cdef Handlers handle_signals(EndWork end, void* work):
    cdef Handlers handlers
    if get_ident() != main_thread().ident:
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
