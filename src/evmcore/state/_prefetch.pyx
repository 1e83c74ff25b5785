"""Predicts what calls will read. See `_prefetch.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp
from evmcore._code cimport Code, code_find, code_release
from evmcore._hash cimport keccak256
from evmcore._interp cimport Machine, hash_memo, hash_pair
from evmcore._state cimport AccountEntry, SlotEntry, WorkingSet
from evmcore._u256 cimport u256
from evmcore.state._cache_native cimport AccessBook, Basis, CallSeen, Lesson, Reader, StateKey, expect, expect_all, foresee

cdef uint8_t[32] NO_CODE_HASH
keccak256(NULL, 0, NO_CODE_HASH)


cdef class CallBook:
    """The accounts and slots that calls read, by code and function. Thread-safe."""

    def __cinit__(self):
        self.book = new AccessBook(keccak256)

    def __dealloc__(self):
        del self.book

    def figures(self) -> dict[str, int]:
        """The quality of the predictions over the calls that were learnt from: `read` values, of which `came_true` were
        predicted, out of `predicted`; and the number of known functions."""
        return {
            "functions": self.book.functions(),
            "predicted": self.book.predicted.load(),
            "came_true": self.book.came_true.load(),
            "read": self.book.read.load(),
        }


cdef int have_code(const uint8_t* code_hash) noexcept nogil:
    cdef Code* code = code_find(code_hash)
    code_release(code)
    return code != NULL


cdef void pair(void* machine, const uint8_t* data, u256* result) noexcept nogil:
    hash_pair(<Machine*>machine, data, result)


cdef CallSeen call_seen(Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
                        size_t size) noexcept nogil:
    cdef CallSeen call
    call.target = target
    call.sender = sender
    call.coinbase = machine.env.coinbase
    call.data = data
    call.size = size
    return call


cdef void predict_call(AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender,
                       const uint8_t* data, size_t size) noexcept nogil:
    cdef CallSeen call = call_seen(machine, target, sender, data, size)
    cdef Basis basis = expect(view[0], book[0], keccak256, call, pair, machine, have_code)
    # Values that were expected and are still missing, or could not be expected at all, can be learnt.
    if basis == Basis.NOTHING or view.rounds:
        view.surprised.store(True)
    elif basis == Basis.NAMESAKE:
        view.by_name.store(True)


cdef bint predict_all(AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender,
                      const uint8_t* data, size_t size, const StateKey& missed) noexcept nogil:
    cdef CallSeen call = call_seen(machine, target, sender, data, size)
    return expect_all(view[0], book[0], call, pair, machine, have_code, missed)


cdef void foresee_call(AccessBook* book, Reader* view, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
                       size_t size) noexcept nogil:
    cdef CallSeen call
    call.target = target
    call.sender = sender
    call.coinbase = NULL
    call.data = data
    call.size = size
    foresee(view[0], book[0], keccak256, call, have_code)


cdef void learn_call(AccessBook* book, Reader* view, Machine* machine, const uint8_t* target, const uint8_t* sender,
                     const uint8_t* data, size_t size) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef CallSeen call = call_seen(machine, target, sender, data, size)
    cdef AccountEntry* account
    cdef SlotEntry* slot
    cdef const uint8_t* code_hash
    cdef const uint8_t* target_code = NULL
    cdef const uint8_t* hashed = NULL
    cdef const u256* digest = NULL
    cdef size_t at
    cdef uint32_t i
    cdef Lesson lesson
    if not view.surprised.load():
        for i in range(1, ws.account_count):
            account = &ws.accounts[i]
            if account.loaded and account.base_exists and memcmp(account.address, target, 20) == 0:
                if book.knows(call, account.base.code_hash):
                    return                        # the other function was this one, at another address
    for i in range(1, ws.account_count):
        account = &ws.accounts[i]
        if not account.loaded:
            continue
        code_hash = NULL
        if account.base_exists and memcmp(account.base.code_hash, NO_CODE_HASH, 32) != 0:
            code_hash = account.base.code_hash
        if memcmp(account.address, target, 20) == 0:
            target_code = code_hash
        lesson.account(account.address, code_hash)
    if target_code == NULL:
        return                                    # a transfer
    for i in range(1, ws.slot_count):
        slot = &ws.slots[i]
        if slot.loaded:
            lesson.slot(ws.accounts[slot.account].address, &slot.key)
    if lesson.slots():
        at = hash_memo(machine, 0, &hashed, &digest)
        while at:
            lesson.hashed(hashed, digest)
            at = hash_memo(machine, at, &hashed, &digest)
    lesson.learn(book[0], call, target_code)
