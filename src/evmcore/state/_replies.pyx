"""Replies to a request in their buffer. See `_replies.pxd`."""
cimport cython
from libc.stdint cimport int64_t

from evmcore.state._wire cimport monotonic_now


@cython.auto_pickle(False)
cdef class Replies:
    """The replies to a request, until the next one is received on the same connection."""

    @staticmethod
    def receive(Connection connection not None, size_t count, double timeout) -> Replies:
        """Waits for `count` replies."""
        cdef Replies replies = Replies()
        cdef size_t at = 0
        cdef size_t left, i
        cdef const Node* node
        replies.connection = connection
        if count == 0:
            return replies
        connection.receive(count, monotonic_now() + <int64_t>(timeout * 1e9))
        replies.starts.reserve(count)
        for i in range(count):
            replies.starts.push_back(at)
            left = 1
            while left:
                node = &connection.wire.parser.nodes[at]
                left -= 1
                at += 1
                if node.type == c"*":
                    left += <size_t>node.number
        return replies

    def __len__(self):
        return self.starts.size()

    def __getitem__(self, Py_ssize_t index):
        cdef size_t at
        cdef Py_ssize_t count = <Py_ssize_t>self.starts.size()
        if index < 0:
            index += count
        if not 0 <= index < count:
            raise IndexError(index)
        at = self.starts[<size_t>index]
        return self.connection.reply(&at)

    def first_error(self) -> object:
        """The index of the first reply that is an error; errors inside arrays do not count."""
        cdef size_t i
        for i in range(self.starts.size()):
            if self.node(i).type == c"-":
                return i
        return None

    cdef const Node* node(self, size_t reply) noexcept:
        return &self.connection.wire.parser.nodes[self.starts[reply]]

    cdef const char* bytes_of(self, const Node* node) noexcept:
        return self.connection.wire.in_.data() + node.at
