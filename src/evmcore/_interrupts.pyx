"""Signals while a machine runs; see `_interrupts.pxd`."""
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t

from evmcore._asking cimport ASK_EVERY_MS
from evmcore._handlers cimport raised_by_handlers
from evmcore._sync cimport monotonic_ns


cdef bint python_interrupts(Machine* machine) noexcept nogil:
    cdef int64_t now = monotonic_ns()
    cdef bint due = machine.asked_next != 0 and now >= machine.asked_next
    if due or machine.asked_next == 0:           # short calls never wait for the GIL
        machine.asked_next = now + ASK_EVERY_MS * <int64_t>1_000_000
    if not due:
        return False
    with gil:
        error = raised_by_handlers()
        if error is not None:
            Py_INCREF(error)
            machine.interruption = <void*>error
            return True
    return False


cdef int raise_it(Machine* machine) except -1:
    error = <object>machine.interruption
    machine.interruption = NULL
    Py_DECREF(error)                             # the machine's reference
    raise error
