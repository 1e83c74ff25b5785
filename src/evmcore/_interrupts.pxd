"""Signals that come while a machine runs, as Ctrl-C does: Python handles them, and what it raises ends the run. Layer 7."""
from evmcore._interp cimport Machine

# For `Machine.interrupted`: asks Python now and then, which answers in the main thread only.
cdef bint python_interrupts(Machine* machine) noexcept nogil

# Raises `machine.interruption`, which is not NULL.
cdef int raise_it(Machine* machine) except -1


cdef inline int raise_interruption(Machine* machine) except -1:
    """After the run: raises what a handler raised meanwhile."""
    return 0 if machine.interruption == NULL else raise_it(machine)
