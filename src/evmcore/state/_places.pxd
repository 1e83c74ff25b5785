"""The places for connections that a process may have open at once: which are idle, and which are not open yet."""
from evmcore.state._wire cimport Connection

cdef class Places:
    cdef list idle                # open connections, the last one given back is the first to be taken
    cdef Py_ssize_t unopened
    cdef int process              # that made them
    cdef public int era           # connections of another one are not used any more
    cdef public int waiting       # threads, for a place
    cdef public bint closed       # what is given back is to be closed

    # The short way, which most requests go: an open connection, or None where the long way has to be gone; and whether
    # it was taken back, so that nothing is left to do.
    cdef Connection take_open(self)
    cdef bint give_open(self, Connection connection)
