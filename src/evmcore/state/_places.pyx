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
        if self.places == NULL or self.process != getpid():     # a thread of the parent may have held its lock
            return
        self.close_idle()
        del self.places

    def __len__(self) -> int:
        """The number of places that are not in use."""
        return self.places.free()

    @property
    def waiting(self) -> int:
        """The number of threads that wait for a place."""
        return self.places.waiting()

    @property
    def closed(self) -> bool:
        """Whether `close` was called: connections given back are not kept any more."""
        return self.places.closed()

    @property
    def foreign(self) -> bool:
        """Whether the places belong to another process, from which this one was forked."""
        return self.process != getpid()

    def take(self, double timeout=0.0) -> Connection | None:
        """A place: with an open connection if there is one, else None. Raises `IndexError` if all stay in use for
        `timeout` seconds."""
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
        """Closes idle connections, and from now on those that are given back."""
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
            if not self.places.give(connection):  # the caller closes it on the slow path
                with gil:
                    drop(connection)
            return NULL
        return connection

    cdef bint give_open(self, void* connection) noexcept nogil:
        if (<Connection>connection).fd < 0 or (<Connection>connection).era != self.era:
            return False
        return self.places.give(connection)


cdef void drop(void* connection) noexcept:
    """Closes a connection and releases the reference to it."""
    taken = <Connection>connection
    Py_DECREF(taken)
    taken.close()
