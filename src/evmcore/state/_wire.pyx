"""A connection to Redis whose socket is ours. See `_wire.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

import copy
import os
import select
import socket
import ssl

from evmcore.errors import ResourceError, StateCorrupted, StateUnavailable

# First words of error replies that do not mean corrupted data, and their meanings for the caller.
cdef dict MEANINGS = {
    "LOADING": "is loading its data after a start",
    "BUSY": "is kept busy by a script",
    "UNKILLABLE": "is kept busy by a script",
    "MASTERDOWN": "is a replica that has lost its primary",
    "CLUSTERDOWN": "is part of a cluster that is down",
    "TRYAGAIN": "is moving the key's slot",
    "MOVED": "is part of a cluster and does not hold this chain: give the address of the node that does",
    "ASK": "is part of a cluster and does not hold this chain: give the address of the node that does",
    "CROSSSLOT": "is part of a cluster that keeps this chain's keys apart",
    "NOAUTH": "wants a password",
    "WRONGPASS": "does not take the password",
    "NOPERM": "does not allow this user what reading needs (+@read +multi +exec on the chain's keys, and +info)",
    "READONLY": "is a replica that cannot be written to",
    "OOM": "has no memory left (maxmemory)",
    "MISCONF": "cannot save its data",
    "EXECABORT": "did not carry out the request",
}


cdef object refusal(str text, str doing):
    word = text.partition(" ")[0]
    if word == "WRONGTYPE":
        return StateCorrupted(f"{doing}: a key has another type than it should: {text}")
    meaning = MEANINGS.get(word, "answered with an error")
    return StateUnavailable(f"{doing}: the Redis server {meaning}: {text}")


def open_connection(client, str peer not None) -> Connection:
    """A connection that a redis-py client opens. Raises `StateUnavailable` (also for a refused password)."""
    from redis import exceptions
    pool = copy.copy(client.connection_pool)     # the client may have other users
    pool.connection_kwargs = {**pool.connection_kwargs, "protocol": 2}
    cdef Connection connection = Connection.__new__(Connection)
    owner = None
    try:
        owner = pool.make_connection()
        owner.connect()
    except (exceptions.RedisError, OSError) as error:
        if owner is not None:
            owner.disconnect()
        close_half_made(error)
        text = " ".join(str(error).split()) or type(error).__name__
        raise StateUnavailable(f"the Redis server at {peer} cannot be reached: {text}") from error
    connection.owner = owner
    sock = owner._sock
    if isinstance(sock, ssl.SSLSocket):
        connection.socket = sock
        sock.setblocking(False)
    elif not Wire.make_patient(sock.fileno()):
        owner.disconnect()
        raise StateUnavailable(f"the connection to the Redis server at {peer} cannot be set up")
    connection.fd = sock.fileno()
    connection.process = os.getpid()
    connection.peer = peer
    return connection


cdef int close_half_made(object error) except -1:
    """Closes the TLS socket that was being made when a connection failed.

    When the peer resets a connection before the handshake begins, `ssl.SSLSocket._create` of many versions of Python raises
    and leaves the socket open: only the traceback refers to it.
    """
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            made = trace.tb_frame.f_locals.get("self")
            if isinstance(made, ssl.SSLSocket):
                made.close()
            trace = trace.tb_next
        error = error.__context__
    return 0


cdef class Connection:
    """Made by `open_connection`. One thread at a time."""

    def __cinit__(self):
        self.wire = new Wire()
        self.fd = -1
        self.whole = -1

    def __dealloc__(self):
        del self.wire

    def close(self) -> None:
        """Closes the socket; does nothing if it is closed already."""
        owner, self.owner, self.socket = self.owner, None, None
        self.fd = -1
        if owner is not None and self.process == os.getpid():
            owner.disconnect()

    @property
    def closed(self) -> bool:
        """Whether the connection cannot be used any more."""
        return self.fd < 0

    def interrupt(self) -> None:
        """Shuts the socket down from any thread; a thread that waits on it then finds the connection closed."""
        owner = self.owner
        sock = owner._sock if owner is not None else None
        if sock is not None:
            try:
                # Not SSLSocket's own shutdown, which would let the waiting thread continue without TLS.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass

    cdef int exchange(self, size_t replies, int64_t deadline, const uint32_t* stop) except -1:
        cdef Io outcome
        self.opened()
        self.requests += 1
        self.bytes_out += self.wire.out.size()
        if self.socket is None:
            with nogil:
                outcome = self.wire.exchange(self.fd, replies, deadline, stop)
        elif self.wire.out.failed():
            outcome = Io.NO_MEMORY
        else:
            outcome = self.send_tls(self.wire.out.data(), self.wire.out.size(), deadline, stop)
            if outcome == Io.DONE:
                outcome = self.receive_tls(replies, deadline, stop)
        self.bytes_in += self.wire.in_.size()
        return self.outcome(outcome)

    cdef int send(self, const char* data, size_t size, int64_t deadline) except -1:
        cdef Io outcome
        self.opened()
        self.requests += 1
        self.bytes_out += size
        if self.socket is None:
            with nogil:
                outcome = self.wire.send_all(self.fd, data, size, deadline, NULL)
        else:
            outcome = self.send_tls(data, size, deadline, NULL)
        return self.outcome(outcome)

    cdef int receive(self, size_t replies, int64_t deadline) except -1:
        cdef Io outcome
        self.opened()
        if self.socket is None:
            with nogil:
                outcome = self.wire.receive(self.fd, replies, deadline, NULL)
        else:
            outcome = self.receive_tls(replies, deadline, NULL)
        self.bytes_in += self.wire.in_.size()
        return self.outcome(outcome)

    cdef Io send_plain(self, int64_t deadline) noexcept nogil:
        if self.wire.out.failed():
            return Io.NO_MEMORY
        self.requests += 1
        self.bytes_out += self.wire.out.size()
        return self.wire.send_all(self.fd, self.wire.out.data(), self.wire.out.size(), deadline, NULL)

    cdef Io receive_plain(self, size_t replies, int64_t deadline) noexcept nogil:
        cdef Io outcome = self.wire.receive(self.fd, replies, deadline, NULL)
        self.bytes_in += self.wire.in_.size()
        return outcome

    cdef int opened(self) except -1:
        if self.fd < 0:
            raise StateUnavailable("the connection to the Redis server is closed")
        return 0

    cdef int outcome(self, Io outcome) except -1:
        """Handles the result of sending or receiving: closes the connection and raises unless it succeeded."""
        if outcome == Io.DONE:
            return 0
        self.close()
        if outcome == Io.STOPPED:
            return 1
        if outcome == Io.NO_MEMORY:
            raise ResourceError("no memory for a request to the Redis server, or for its reply")
        if outcome == Io.TIMED_OUT:
            problem = "does not answer in time"
        elif outcome == Io.CLOSED:
            problem = "closed the connection"
        elif outcome == Io.MALFORMED:
            problem = "sent something that is not a reply; is it a Redis server?"
        else:
            problem = f"cannot be reached: {os.strerror(self.wire.error)}"
        raise StateUnavailable(f"the Redis server at {self.peer} {problem}")

    cdef Io send_tls(self, const char* data, size_t size, int64_t deadline, const uint32_t* stop):
        """Like `Wire.send_all`, through the Python socket that encrypts."""
        cdef size_t sent = 0
        view = memoryview(PyBytes_FromStringAndSize(data, size))
        try:
            while sent < size:
                try:
                    sent += self.socket.send(view[sent:])
                    continue
                except ssl.SSLWantReadError:
                    ready = self.wait_tls(select.POLLIN, deadline, stop)
                except ssl.SSLWantWriteError:
                    ready = self.wait_tls(select.POLLOUT, deadline, stop)
                if ready is None:
                    return Io.STOPPED
                if not ready:
                    return Io.TIMED_OUT
        except OSError as error:
            self.wire.error = error.errno or 0
            return Io.FAILED
        return Io.DONE

    cdef Io receive_tls(self, size_t replies, int64_t deadline, const uint32_t* stop):
        """Like `Wire.receive`."""
        cdef Io taken
        self.wire.in_.clear()
        self.wire.parser.start(replies)
        try:
            while True:
                try:
                    received = self.socket.recv(65536)
                except ssl.SSLWantReadError:
                    ready = self.wait_tls(select.POLLIN, deadline, stop)
                except ssl.SSLWantWriteError:
                    ready = self.wait_tls(select.POLLOUT, deadline, stop)
                else:
                    if not received:
                        return Io.CLOSED
                    self.wire.in_.add(PyBytes_AS_STRING(received), len(received))
                    if self.wire.in_.failed():
                        return Io.NO_MEMORY
                    taken = self.wire.parsed()
                    if taken != Io.STOPPED:
                        return taken
                    continue
                if ready is None:
                    return Io.STOPPED
                if not ready:
                    return Io.TIMED_OUT
        except OSError as error:
            self.wire.error = error.errno or 0
            return Io.FAILED

    cdef object wait_tls(self, int what, int64_t deadline, const uint32_t* stop):
        poll = select.poll()
        poll.register(self.fd, what)
        while True:
            if stop != NULL and stop[0]:
                return None
            left = (deadline - monotonic_now()) // 1_000_000
            if left <= 0:
                return False
            if poll.poll(min(left, 50) if stop != NULL else left):
                return True

    # ---- for uses off the hot path: commands and replies as Python objects

    def request(self, commands, double timeout, str doing="") -> list:
        """Sends commands (sequences of bytes) together; returns the reply to each.

        Strings are returned as bytes, integers as int, arrays as lists, nil as None. Raises for the first reply that is an
        error, also inside an array (such as EXEC's).
        """
        cdef bytes data = b"".join([
            b"*%d\r\n%b" % (len(command), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in command]))
            for command in commands
        ])
        cdef size_t at = 0
        self.wire.out.clear()
        self.wire.out.add(PyBytes_AS_STRING(data), len(data))
        self.exchange(len(commands), monotonic_now() + <int64_t>(timeout * 1e9), NULL)
        replies = [self.reply(&at) for _ in commands]
        for reply in replies:
            raise_errors(reply, doing)
        return replies

    cdef object reply(self, size_t* at):
        cdef Node node = self.wire.parser.nodes[at[0]]
        at[0] += 1
        if node.type == b"_":
            return None
        if node.type == b":":
            return node.number
        if node.type == b"*":
            return [self.reply(at) for _ in range(node.number)]
        data = PyBytes_FromStringAndSize(self.wire.in_.data() + node.at, node.number)
        return ErrorReply(data.decode("utf-8", "backslashreplace")) if node.type == b"-" else data

    def __repr__(self) -> str:
        return f"<Connection to {self.peer}{', closed' if self.fd < 0 else ''}>"


class ErrorReply(str):
    """An error reply of Redis."""


cdef int raise_errors(object reply, str doing) except -1:
    if isinstance(reply, ErrorReply):
        raise refusal(str(reply), doing or "reading from Redis")
    if isinstance(reply, list):
        for element in reply:
            raise_errors(element, doing)
    return 0
