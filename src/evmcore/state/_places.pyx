"""Places for connections. See `_places.pxd`."""
from cpython.ref cimport Py_DECREF, Py_INCREF
from evmcore.state._wire cimport Connection, monotonic_now

cdef extern from "unistd.h" nogil:
    int getpid()


cdef class Places:
    """`most` places, none of them open."""

    def __cinit__(self, Py_ssize_t most):
        self.places = new PlaceList(<size_t>most)
        self.process = getpid()

    def __dealloc__(self):
        if self.places == NULL or self.process != getpid():     # its lock may be held by a thread that is not here
            return
        self.close_idle()
        del self.places

    def __len__(self) -> int:
        """How many are not in use."""
        return self.places.free()

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return self.places.waiting()

    @property
    def closed(self) -> bool:
        """Whether connections are kept no more."""
        return self.places.closed()

    @property
    def foreign(self) -> bool:
        """Whether another process has made them, this one having been forked from it."""
        return self.process != getpid()

    def take(self, double timeout=0.0) -> Connection | None:
        """A place: with a connection that is open if there is one, else None. Raises `IndexError` when all stay in use
        for so many seconds."""
        cdef int64_t deadline = monotonic_now() + <int64_t>(timeout * 1e9)
        cdef void* connection = NULL
        cdef bint there
        with nogil:
            there = self.places.take(&connection, deadline)
        if not there:
            raise IndexError("all connections are in use")
        if connection == NULL:
            return None
        taken = <Connection>connection
        Py_DECREF(taken)                          # the list's reference
        return taken

    def give(self, Connection connection) -> None:
        """Gives a place back, with the connection if it can be used again; after `close` it is closed."""
        if connection is None:
            self.places.give(NULL)
            return
        Py_INCREF(connection)                     # the list's reference
        if not self.places.give(<void*>connection):
            drop(<void*>connection)

    def close(self) -> None:
        """Closes what is idle now, and what is given back from now on."""
        self.places.close()
        self.close_idle()

    cdef void close_idle(self) noexcept:
        cdef void* connection
        while True:
            connection = self.places.take_open()
            if connection == NULL:
                return
            drop(connection)
            self.places.give(NULL)

    cdef void* take_open(self) noexcept nogil:
        cdef void* connection
        if self.barred or self.process != getpid():
            return NULL
        connection = self.places.take_open()
        if connection != NULL and (<Connection>connection).era != self.era:
            if not self.places.give(connection):  # else who goes the long way closes it
                with gil:
                    drop(connection)
            return NULL
        return connection

    cdef bint give_open(self, void* connection) noexcept nogil:
        if (<Connection>connection).fd < 0 or (<Connection>connection).era != self.era:
            return False
        return self.places.give(connection)


cdef void drop(void* connection) noexcept:
    """Closes a connection and gives up the reference to it."""
    taken = <Connection>connection
    Py_DECREF(taken)
    taken.close()
