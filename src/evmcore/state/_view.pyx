"""A diff over a backend, and plain reads from any backend. See `_view.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._code cimport Code, code_intern, code_release, code_retain
from evmcore._diff cimport StateDiff
from evmcore._diff_data cimport AccountChange, change_of_account, change_of_slot
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._state cimport ABSENT, AccountData, FOUND, Found, READ_FAILED
from evmcore._u256 cimport u256, u256_from_int, u256_to_int, u_eq, u_is_zero, u_zero
from evmcore.state._reader cimport Backend

from evmcore._diff import AccountFields
from evmcore.errors import ResourceError, StateError
from evmcore.types import to_address, to_uint


cdef class DiffView(Backend):
    """A read-only backend that answers as `base` would after `diff` had been applied to it.

    The inverted diffs of later blocks, joined by `StateDiff.compose`, give the state of an earlier block. A read costs two
    binary searches in the diff before it reaches the base. Nothing is checked here: `diff` must start from `base`, and must
    be complete (see `StateDiff`) if it wipes an account; completing it later changes nothing here.
    """

    def __cinit__(self, Backend base not None, StateDiff diff not None):
        cdef size_t i
        cdef const AccountChange* change
        cdef bytes code, code_hash
        self.base = base
        self.diff = diff
        diff.lent = True
        self.view.base = &base.reader
        self.view.accounts = diff.accounts
        self.view.account_count = diff.account_count
        self.view.slots = diff.slots
        self.view.slot_count = diff.slot_count
        self.view.codes = <Code**>calloc(diff.account_count + 1, sizeof(Code*))
        if self.view.codes == NULL:
            raise ResourceError("no memory for a view of a state")
        for i in range(diff.account_count):
            change = &diff.accounts[i]
            if memcmp(change.old.code_hash, change.new.code_hash, 32) == 0:
                continue
            code_hash = PyBytes_FromStringAndSize(<const char*>change.new.code_hash, 32)
            code = diff.codes.get(code_hash)
            if code is None:                      # no code, or a code that the base has too
                continue
            self.view.codes[i] = code_intern(change.new.code_hash, <const uint8_t*>PyBytes_AS_STRING(code), len(code))
            if self.view.codes[i] == NULL:
                raise ResourceError(f"no memory for {len(code)} bytes of code")
        self.hooks = base.hooks
        self.reader.self = &self.view
        self.reader.account = view_account
        self.reader.storage = view_storage
        self.reader.code = view_code
        self.reader.block_hash = view_block_hash

    def __init__(self, base, diff):
        pass

    def __dealloc__(self):
        cdef size_t i
        if self.view.codes != NULL:
            for i in range(self.view.account_count):
                code_release(self.view.codes[i])
            free(self.view.codes)

    cdef void begin_read(self) noexcept nogil:
        self.base.begin_read()

    cdef void end_read(self) noexcept nogil:
        self.base.end_read()

    cpdef object take_error(self):
        """The exception that made a read of the base fail, returned once; None if there is none."""
        return self.base.take_error()

    @property
    def roots_on_threads(self):
        """Whether the base computes its root on several threads."""
        return getattr(self.base, "roots_on_threads", False)

    def state_root(self, diff=None, threads=1) -> bytes:
        """The root of the state, or with `diff` the root after applying it; on at most `threads` native threads if the
        base can use them. `StateError` if the base cannot compute a root."""
        compute = getattr(self.base, "state_root", None)
        if compute is None:
            raise StateError(f"{type(self.base).__name__} cannot compute a state root")
        changed = self.diff if diff is None else self.diff.compose(diff)
        return compute(changed, threads) if self.roots_on_threads else compute(changed)

    def __repr__(self) -> str:
        return f"<DiffView: {self.diff!r} over {self.base!r}>"


# ---- the reader's side; `self` is the View

cdef size_t account_at(const View* view, const uint8_t* address) noexcept nogil:
    """The index of an account's change; `account_count` if there is none."""
    cdef size_t at = change_of_account(view.accounts, view.account_count, address)
    if at < view.account_count and memcmp(view.accounts[at].address, address, 20) == 0:
        return at
    return view.account_count


cdef bint lists_storage(const View* view, const uint8_t* address) noexcept nogil:
    """Whether some slot of the account gets a non-zero value."""
    cdef u256 zero
    cdef size_t i
    u_zero(&zero)
    i = change_of_slot(view.slots, view.slot_count, address, &zero)
    while i < view.slot_count and memcmp(view.slots[i].address, address, 20) == 0:
        if not u_is_zero(&view.slots[i].new):
            return True
        i += 1
    return False


cdef Found view_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef const View* view = <const View*>self
    cdef size_t at = account_at(view, address)
    cdef const AccountChange* change
    cdef Found found
    if at == view.account_count:
        found = view.base.account(view.base.self, address, out)
        if found == FOUND and not out.has_storage:
            out.has_storage = lists_storage(view, address)
        return found
    change = &view.accounts[at]
    if not change.new.exists:
        return ABSENT
    out.has_storage = False
    # Storage that is not listed is the base's, unless it was wiped, or belongs to a code that is not there yet.
    if change.old.exists and not change.wiped and (
        memcmp(change.old.code_hash, change.new.code_hash, 32) == 0
        or memcmp(change.new.code_hash, EMPTY_CODE_HASH, 32) != 0
    ):
        if view.base.account(view.base.self, address, out) == READ_FAILED:
            return READ_FAILED
    if not out.has_storage:
        out.has_storage = lists_storage(view, address)
    out.nonce = change.new.nonce
    out.balance = change.new.balance
    memcpy(out.code_hash, change.new.code_hash, 32)
    return FOUND


cdef Found view_storage(void* self, const uint8_t* address, const u256* slot, u256* value) noexcept nogil:
    cdef const View* view = <const View*>self
    cdef size_t at = change_of_slot(view.slots, view.slot_count, address, slot)
    if at < view.slot_count and memcmp(view.slots[at].address, address, 20) == 0 and u_eq(&view.slots[at].key, slot):
        value[0] = view.slots[at].new
        return FOUND
    at = account_at(view, address)
    if at < view.account_count and (view.accounts[at].wiped or not view.accounts[at].new.exists):
        u_zero(value)
        return ABSENT
    return view.base.storage(view.base.self, address, slot, value)


cdef Code* view_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef const View* view = <const View*>self
    cdef size_t at = account_at(view, address)
    if at < view.account_count and view.codes[at] != NULL:
        if memcmp(view.accounts[at].new.code_hash, code_hash, 32) == 0:
            code_retain(view.codes[at])
            return view.codes[at]
    return view.base.code(view.base.self, address, code_hash)


cdef Found view_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    cdef const View* view = <const View*>self
    return view.base.block_hash(view.base.self, number, out)


# ---- plain reads from any backend

cdef object failed(Backend backend, str what):
    cause = backend.take_error()
    if cause is not None and not isinstance(cause, Exception):
        return cause                              # Ctrl-C, or an exit of the program: not a failure of the state
    error = StateError(f"{what} could not be read" + (f": {cause}" if cause is not None else ""))
    error.__cause__ = cause
    return error


cdef Found account_of(Backend backend, bytes address, AccountData* out) except *:
    cdef const uint8_t* key = <const uint8_t*>PyBytes_AS_STRING(address)
    cdef Found found
    with nogil:
        backend.begin_read()
        found = backend.reader.account(backend.reader.self, key, out)
        backend.end_read()
    if found == READ_FAILED:
        raise failed(backend, f"account 0x{address.hex()}")
    return found


def read_account(Backend backend not None, address):
    """Nonce, balance (wei) and code hash of an account of any backend, as `AccountFields`; None if it does not exist.

    Raises `StateError` if the account could not be read.
    """
    cdef AccountData data
    if account_of(backend, to_address(address, "address"), &data) == ABSENT:
        return None
    code_hash = PyBytes_FromStringAndSize(<const char*>data.code_hash, 32)
    return AccountFields(data.nonce, u256_to_int(&data.balance), code_hash)


def read_code(Backend backend not None, address) -> bytes:
    """The code of an account of any backend; empty if there is none. Raises `StateError` if it could not be read."""
    cdef AccountData data
    cdef bytes account = to_address(address, "address")
    cdef const uint8_t* key = <const uint8_t*>PyBytes_AS_STRING(account)
    cdef Code* code
    if account_of(backend, account, &data) == ABSENT or memcmp(data.code_hash, EMPTY_CODE_HASH, 32) == 0:
        return b""
    with nogil:
        backend.begin_read()
        code = backend.reader.code(backend.reader.self, key, data.code_hash)
        backend.end_read()
    if code == NULL:
        raise failed(backend, f"the code of 0x{account.hex()}")
    try:
        return PyBytes_FromStringAndSize(<const char*>code.raw, code.size)
    finally:
        code_release(code)


def read_storage(Backend backend not None, address, slot) -> int:
    """The value of a storage slot of any backend; zero if it is not set. `StateError` if it could not be read."""
    cdef bytes account = to_address(address, "address")
    cdef const uint8_t* key = <const uint8_t*>PyBytes_AS_STRING(account)
    cdef u256 number = u256_from_int(to_uint(slot, "slot"), "slot")
    cdef u256 value
    cdef Found found
    u_zero(&value)
    with nogil:
        backend.begin_read()
        found = backend.reader.storage(backend.reader.self, key, &number, &value)
        backend.end_read()
    if found == READ_FAILED:
        raise failed(backend, f"slot {slot:#x} of 0x{account.hex()}")
    return u256_to_int(&value) if found == FOUND else 0
