"""Places for connections. See `_places.pxd`."""
from evmcore.state._wire cimport Connection

cdef extern from "unistd.h" nogil:
    int getpid()


cdef class Places:
    """`most` places, none of them open. What is done here is done under the GIL, and so all at once."""

    def __init__(self, Py_ssize_t most):
        self.idle = []
        self.unopened = most
        self.process = getpid()

    def __len__(self) -> int:
        """How many are not in use."""
        return len(self.idle) + self.unopened

    @property
    def foreign(self) -> bool:
        """Whether another process has made them, this one having been forked from it."""
        return self.process != getpid()

    def take(self) -> Connection | None:
        """A place: with a connection that is open if there is one, else None. Raises `IndexError` when all are in use."""
        if self.idle:
            return self.idle.pop()
        if self.unopened == 0:
            raise IndexError("all connections are in use")
        self.unopened -= 1
        return None

    def give(self, Connection connection) -> None:
        """Gives a place back, with the connection if it can be used again."""
        if connection is None:
            self.unopened += 1
        else:
            self.idle.append(connection)

    cdef Connection take_open(self):
        cdef Connection connection
        if not self.idle or self.process != getpid():
            return None
        connection = <Connection>self.idle.pop()
        if connection.era == self.era:
            return connection
        connection.close()
        self.unopened += 1
        return None

    cdef bint give_open(self, Connection connection):
        if connection.fd < 0 or connection.era != self.era or self.closed or self.waiting:
            return False
        self.idle.append(connection)
        return True
