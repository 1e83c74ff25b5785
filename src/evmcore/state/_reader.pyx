"""The base class of all state backends. See `_reader.pxd` for the rules."""
from libc.stdint cimport uint8_t, uint64_t
from evmcore._code cimport Code
from evmcore._diff cimport diff_argument
from evmcore._state cimport READ_FAILED, AccountData, Found
from evmcore._u256 cimport u256
from evmcore._workers cimport employer, this_thread

from evmcore.errors import StateError, not_copied

cdef int MOST_ERRORS = 1024


cdef class ReadErrors:
    def __cinit__(self):
        self.kept = {}

    cdef void keep(self, object error):
        cdef tuple where = (this_thread(), employer())
        self.kept.pop(where, None)
        if len(self.kept) >= MOST_ERRORS:        # of runs that ended for another reason
            self.kept.pop(next(iter(self.kept)), None)
        self.kept[where] = error

    cdef object take(self):
        cdef object thread = this_thread()
        own = [where for where in list(self.kept) if where[0] == thread]
        # A worker that has just failed takes its own error, perhaps at this moment: the caller leaves it, unless it has none.
        taken = own or [where for where in list(self.kept) if where[1] == thread]
        error = None
        for where in taken:
            error = self.kept.pop(where, error)  # the latest: a run reports one
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
