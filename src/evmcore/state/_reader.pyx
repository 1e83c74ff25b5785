"""The base class of all state backends. See `_reader.pxd` for the rules."""
from libc.stdint cimport uint8_t, uint64_t
from evmcore._code cimport Code
from evmcore._diff cimport diff_argument
from evmcore._state cimport READ_FAILED, AccountData, Found
from evmcore._u256 cimport u256

from threading import get_ident

from evmcore.errors import StateError, not_copied

cdef int MOST_ERRORS = 1024


cdef class ReadErrors:
    def __cinit__(self):
        self.by_thread = {}

    cdef void keep(self, object error):
        if len(self.by_thread) >= MOST_ERRORS:   # left by native threads of batches, which reported one of them
            self.by_thread.clear()
        self.by_thread[get_ident()] = error

    cdef object take(self):
        error = self.by_thread.pop(get_ident(), None)
        if error is None:
            try:
                error = self.by_thread.popitem()[1]
            except KeyError:
                return None
        return error


cdef class Backend:
    """A state backend for compiled code. Subclasses: `MemoryState`, `PythonBackend`.

    Not for use from Python by itself: write a backend in Python by subclassing `evmcore.state.State`.
    """

    def __cinit__(self):
        self.reader.self = NULL
        self.reader.account = _no_account
        self.reader.storage = _no_storage
        self.reader.code = _no_code
        self.reader.block_hash = _no_block_hash

    def __reduce__(self):
        raise not_copied(self, "it reads what this process holds open; pickle what that is opened with")

    cdef void begin_read(self) noexcept nogil:
        pass

    cdef void end_read(self) noexcept nogil:
        pass

    cpdef object take_error(self):
        """The exception that made the last read fail, returned once; None if there is none."""
        return None

    cpdef object apply(self, object diff):
        """Applies `diff`. `StateError` here: the backend is read-only."""
        raise StateError(f"{type(self).__name__} is read-only: it has no way to apply a state diff")

    def complete(self, diff) -> None:
        """Makes a diff complete that starts from this state: adds the slots of wiped and removed accounts that it does not
        list, and the codes that it removes, so that it can be undone and joined before it is applied.

        Does nothing here, for a backend that cannot tell which slots an account has.
        """
        diff_argument(diff)

    def prefetcher(self):
        """A function of a list of addresses and a list of pairs of address and slot, that makes these quick to read; None,
        as here, if it would gain nothing. Called before the state is read, without an open read section."""
        return None

    def snapshot(self) -> int:
        """Remembers the present state; `StateError` here: the backend keeps no snapshots."""
        raise StateError(f"{type(self).__name__} does not support snapshots")

    def revert(self, snapshot: int) -> None:
        """Returns to a snapshot; `StateError` here: the backend keeps no snapshots."""
        raise StateError(f"{type(self).__name__} does not support snapshots")


# A backend that has no reader of its own fails every read: an absent answer would be a wrong one.
cdef Found _no_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    return READ_FAILED


cdef Found _no_storage(void* self, const uint8_t* address, const u256* slot, u256* value) noexcept nogil:
    return READ_FAILED


cdef Code* _no_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    return NULL


cdef Found _no_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    return READ_FAILED
