"""Lets compiled code read a state that is written in Python. See `adapter.pxd`.

Each read takes the GIL, calls the user's object and checks the answer: native code never trusts it. An exception is kept
until `take_error`.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from evmcore._code cimport Code, code_find, code_intern
from evmcore._hash cimport keccak256
from evmcore._state cimport ABSENT, FOUND, READ_FAILED, AccountData, Found
from evmcore._u256 cimport u256, u256_from_int, u256_to_int
from evmcore.state._reader cimport Backend, ReadErrors
from evmcore.state.memory cimport MemoryState

from collections.abc import Mapping

from evmcore.errors import InputError, ResourceError, StateError
from evmcore.state.base import AccountInfo, State
from evmcore.types import Account


cdef class PythonBackend(Backend):
    """The `Backend` around a `State` written in Python. `as_backend` makes it; there is no need to make one by hand."""

    def __cinit__(self, state):
        if not isinstance(state, State):
            raise InputError(f"argument 'state': expected a State, got {type(state).__name__}")
        self.state = state
        self.errors = ReadErrors()
        self.reader.self = <void*>self
        self.reader.account = read_account
        self.reader.storage = read_storage
        self.reader.code = read_code
        self.reader.block_hash = read_block_hash

    cpdef object take_error(self):
        """The exception of the last failed read in this thread (or in a worker thread of it), returned once."""
        return self.errors.take()

    cpdef object apply(self, object diff):
        """Lets the `State` apply a diff, if it can."""
        self.state.apply(diff)

    def prefetcher(self):
        """The `State`'s `prefetch`, if it defines one."""
        return self.state.prefetch if type(self.state).prefetch is not State.prefetch else None

    def __repr__(self) -> str:
        return f"<PythonBackend of {self.state!r}>"

    cdef int fill_account(self, bytes address, AccountData* out) except -2:
        account = self.state.account(address)
        cdef bytes code
        if account is None:
            return ABSENT
        if isinstance(account, AccountInfo):
            memcpy(out.code_hash, <const uint8_t*><bytes>account.code_hash, 32)
            out.has_storage = account.has_storage
        elif isinstance(account, Account):
            code = account.code
            keccak256(code, len(code), out.code_hash)
            out.has_storage = any(account.storage.values())
        else:
            raise wrong_answer(self.state, "account", "Account, AccountInfo or None", account)
        out.nonce = account.nonce
        out.balance = u256_from_int(account.balance, "balance")
        return FOUND

    cdef int fill_storage(self, bytes address, const u256* slot, u256* value) except -2:
        word = self.state.storage(address, u256_to_int(slot))
        if type(word) is not int or word < 0 or word.bit_length() > 256:
            raise wrong_answer(self.state, "storage", "an int in [0, 2**256)", word)
        value[0] = u256_from_int(word, "value")
        return FOUND

    cdef Code* find_code(self, bytes address, bytes code_hash) except NULL:
        cdef uint8_t[32] digest
        cdef bytes code
        cdef Code* found
        answer = self.state.code(address, code_hash)
        if not isinstance(answer, bytes):
            raise wrong_answer(self.state, "code", "bytes", answer)
        code = answer if type(answer) is bytes else bytes(answer)
        keccak256(code, len(code), digest)
        if digest[:32] != code_hash:
            raise StateError(
                f"{type(self.state).__name__}.code gave {len(code)} bytes of hash 0x{digest[:32].hex()} for "
                f"0x{address.hex()}, whose code has the hash 0x{code_hash.hex()}"
            )
        found = code_intern(digest, code, len(code))
        if found == NULL:
            raise ResourceError("no memory for a code")
        return found

    cdef int fill_block_hash(self, object number, uint8_t* out) except -2:
        answer = self.state.block_hash(number)
        if answer is None:
            return ABSENT
        if not isinstance(answer, bytes) or len(answer) != 32:
            raise wrong_answer(self.state, "block_hash", "32 bytes or None", answer)
        memcpy(out, <const uint8_t*><bytes>answer, 32)
        return FOUND


cdef object wrong_answer(object state, str method, str expected, object got):
    shown = repr(got)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return StateError(f"{type(state).__name__}.{method} must give {expected}, got {type(got).__name__}: {shown}")


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept with gil:
    backend = <PythonBackend>self
    try:
        return <Found>backend.fill_account(address[:20], out)
    except BaseException as error:
        backend.errors.keep(error)
        return READ_FAILED


cdef Found read_storage(void* self, const uint8_t* address, const u256* slot, u256* value) noexcept with gil:
    backend = <PythonBackend>self
    try:
        return <Found>backend.fill_storage(address[:20], slot, value)
    except BaseException as error:
        backend.errors.keep(error)
        return READ_FAILED


cdef Code* ask_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept with gil:
    backend = <PythonBackend>self
    try:
        return backend.find_code(address[:20], code_hash[:32])
    except BaseException as error:
        backend.errors.keep(error)
        return NULL


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef Code* code = code_find(code_hash)
    return code if code != NULL else ask_code(self, address, code_hash)


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept with gil:
    backend = <PythonBackend>self
    try:
        return <Found>backend.fill_block_hash(number, out)
    except BaseException as error:
        backend.errors.keep(error)
        return READ_FAILED


cpdef Backend as_backend(object state):
    """The `Backend` for a state argument.

    A `Backend` (such as `MemoryState`) is used itself, a `State` is adapted, a mapping is a geth-style alloc (or address
    to `Account`) for a new `MemoryState`. Raises `InputError` for anything else.
    """
    if isinstance(state, Backend):
        return state
    if isinstance(state, State):
        return PythonBackend(state)
    if isinstance(state, Mapping):
        return MemoryState(state)
    # A `RedisState` or one of its pins, which this module does not know.
    pinned = hasattr(state, "pin") or hasattr(state, "run")
    hint = "; of a pinned block, `run` passes one on: pin.run(lambda backend: ...)" if pinned else ""
    raise InputError(
        f"argument 'state': expected MemoryState, another Backend, a State or a mapping, got {type(state).__name__}{hint}"
    )
