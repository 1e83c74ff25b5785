"""Requests of many commands as bytes. See `_requests.pxd`."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from evmcore.errors import InputError, ResourceError
from evmcore.state._wire cimport monotonic_now

# Bytes a second; a slower connection is closed.
cdef enum:
    SLOWEST = 32 * 1024


cdef int64_t deadline(double timeout, size_t size) noexcept:
    return monotonic_now() + <int64_t>((timeout + size / <double>SLOWEST) * 1e9)


cdef class Request:
    """Commands as bytes, to be sent together."""

    def __init__(self, commands=()):
        self.extend(commands)

    def __len__(self):
        return self.count

    @property
    def size(self) -> int:
        """Bytes to send."""
        return self.out.size()

    def clear(self) -> None:
        """Removes the commands; their memory is reused."""
        self.out.clear()
        self.count = self.sent = self.answered = 0

    def take_replies(self) -> int:
        """The number of replies that are due now; they count as taken."""
        cdef size_t count = self.count - self.answered
        self.answered = self.count
        return count

    cdef void command(self, size_t parts) noexcept nogil:
        write_command(self.out, parts)
        self.count += 1

    def add(self, *words) -> None:
        """Adds a command."""
        self.extend((words,))

    def extend(self, commands) -> None:
        """Adds commands."""
        cdef bytes word
        for words in commands:
            if len(words) == 0:
                raise InputError("commands: one without words")
            for given in words:
                if type(given) is not bytes:
                    raise InputError(f"commands: expected words that are bytes, got {type(given).__name__}")
            self.command(len(words))
            for word in words:
                write_part(self.out, PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
        if self.out.failed():
            raise ResourceError("no memory for a request to the Redis server")

    def words(self, size_t index) -> list:
        """The first two words of a command, for messages."""
        cdef size_t at = 0
        cdef size_t i
        if index >= self.count:
            raise InputError(f"index: there are {self.count} commands, counted from 0, got {index}")
        for i in range(index):
            self.skip(&at)
        if self.number(&at) < 2:
            return [self.word(&at)]
        return [self.word(&at), self.word(&at)]

    cdef size_t number(self, size_t* at) noexcept:
        """The number in the line at `at`, behind its mark."""
        cdef const char* text = self.out.data()
        cdef size_t number = 0
        at[0] += 1
        while text[at[0]] != c"\r":
            number = number * 10 + <size_t>(text[at[0]] - c"0")
            at[0] += 1
        at[0] += 2
        return number

    cdef bytes word(self, size_t* at):
        cdef size_t size = self.number(at)
        cdef size_t start = at[0]
        at[0] += size + 2
        return self.out.data()[start:start + size]

    cdef void skip(self, size_t* at) noexcept:
        cdef size_t parts = self.number(at)
        cdef size_t size
        while parts:
            size = self.number(at)
            at[0] += size + 2
            parts -= 1

    def send(self, Connection connection not None, double timeout) -> None:
        """Sends the commands that were not sent yet. Raises `StateUnavailable`, after which the connection is closed."""
        cdef size_t size = self.out.size() - self.sent
        if self.out.failed():
            raise ResourceError("no memory for a request to the Redis server")
        connection.send(self.out.data() + self.sent, size, deadline(timeout, size))
        self.sent += size

    def send_piece(self, Connection connection not None, double timeout, size_t most) -> int:
        """Sends whole commands of about `most` bytes and returns their number; their replies count as taken.

        Returns zero and sends nothing if no more than that is left. All commands sent before must have been answered.
        """
        cdef size_t at = self.sent
        cdef size_t count = 0
        if self.out.failed():
            raise ResourceError("no memory for a request to the Redis server")
        if self.out.size() - at <= most:
            return 0
        while at - self.sent < most and at < self.out.size():
            self.skip(&at)
            count += 1
        connection.send(self.out.data() + self.sent, at - self.sent, deadline(timeout, at - self.sent))
        self.sent = at
        self.answered += count
        return count

    def receive(self, Connection connection not None, double timeout) -> list:
        """The replies to the sent commands, as Python objects."""
        cdef size_t at = 0
        if self.count:
            connection.receive(self.count, deadline(timeout, self.out.size()))
        return [connection.reply(&at) for _ in range(self.count)]
