"""Reads of a transaction whose block's access list is given; see `_listed_read.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport Code, code_intern
from evmcore._declared cimport (
    FIELD_BALANCE, FIELD_CODE, FIELD_NONCE, NONE, Declared, DeclaredAccount, DeclaredChange, DeclaredSlot,
    change_before, declared_account, declared_slot, wiped_before,
)
from evmcore._listed cimport ListedBlock, ListedWorker, is_kept, keep, may_keep
from evmcore._state cimport ABSENT, FOUND, READ_FAILED, AccountData, Found
from evmcore._stm cimport EMPTY_CODE_HASH
from evmcore._u256 cimport u256, u_is_zero, u_zero


cdef bint is_empty(const AccountData* account) noexcept nogil:
    return (
        account.nonce == 0 and u_is_zero(&account.balance) and memcmp(account.code_hash, EMPTY_CODE_HASH, 32) == 0
    )


cdef Found account_base(ListedBlock* block, DeclaredAccount* account, AccountData* out) noexcept nogil:
    """The account before the block, read once for all workers. `out` is filled in even if the account was absent."""
    cdef Found found
    if is_kept(&account.base_state):
        out[0] = account.base
        return FOUND if account.base_exists else ABSENT
    found = block.base.account(block.base.self, account.address, out)
    if found == READ_FAILED:
        return READ_FAILED
    if found == ABSENT:
        memset(out, 0, sizeof(AccountData))
        memcpy(out.code_hash, EMPTY_CODE_HASH, 32)
    if may_keep(&account.base_state):
        account.base = out[0]
        account.base_exists = found == FOUND
        keep(&account.base_state)
    return found


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    cdef const Declared* d = w.block.declared
    cdef uint32_t number = declared_account(d, address)
    cdef DeclaredAccount* account
    cdef const DeclaredChange* balance
    cdef const DeclaredChange* nonce
    cdef const DeclaredChange* code
    cdef Found found
    if number == NONE:
        w.undeclared = True
        return READ_FAILED
    account = &d.accounts[number]
    found = account_base(w.block, account, out)
    if found == READ_FAILED:
        return READ_FAILED
    w.reader.origin = <void*>(<size_t>number + 1)
    balance = change_before(d, &account.fields[<int>FIELD_BALANCE], w.index)
    nonce = change_before(d, &account.fields[<int>FIELD_NONCE], w.index)
    code = change_before(d, &account.fields[<int>FIELD_CODE], w.index)
    if account.cleared:
        out.has_storage = False
    if balance == NULL and nonce == NULL and code == NULL:
        return ABSENT if account.cleared else found
    if balance != NULL:
        out.balance = balance.value
    if nonce != NULL:
        out.nonce = nonce.value.w[0]
    if code != NULL:
        memcpy(out.code_hash, &code.value, 32)
        if wiped_before(d, account, w.index):
            out.has_storage = False
    return ABSENT if is_empty(out) else FOUND


cdef const DeclaredChange* slot_before(
    const Declared* d, const DeclaredAccount* account, const DeclaredSlot* slot, uint32_t index, u256* value
) noexcept nogil:
    cdef const DeclaredChange* change = change_before(d, &slot.changes, index)
    cdef uint32_t wiped = wiped_before(d, account, index)
    if change != NULL and change.index + 1 > wiped:
        value[0] = change.value
        return change
    if wiped:
        u_zero(value)
    return NULL


cdef bint slot_base(ListedBlock* block, DeclaredAccount* account, DeclaredSlot* slot, u256* value) noexcept nogil:
    cdef AccountData data
    cdef Found found
    if is_kept(&slot.base_state):
        value[0] = slot.base
        return True
    found = account_base(block, account, &data)
    if found == FOUND:
        found = block.base.storage(block.base.self, account.address, &slot.key, value)
    if found == READ_FAILED:
        return False
    if found == ABSENT:
        u_zero(value)
    if may_keep(&slot.base_state):
        slot.base = value[0]
        keep(&slot.base_state)
    return True


cdef Found read_storage(void* self, const uint8_t* address, const u256* key, u256* value) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    cdef const Declared* d = w.block.declared
    cdef uint32_t owner = declared_account(d, address)
    cdef uint32_t number = declared_slot(d, owner, key) if owner != NONE else NONE
    cdef DeclaredSlot* slot
    if number == NONE:
        w.undeclared = True
        return READ_FAILED
    slot = &d.slots[number]
    w.reader.origin = <void*>(<size_t>number + 1)
    if not slot_base(w.block, &d.accounts[owner], slot, value):
        return READ_FAILED
    slot_before(d, &d.accounts[owner], slot, w.index, value)
    return FOUND


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    cdef const Declared* d = w.block.declared
    cdef uint32_t number = declared_account(d, address)
    cdef const DeclaredChange* change
    if number == NONE:
        w.undeclared = True
        return NULL
    change = change_before(d, &d.accounts[number].fields[<int>FIELD_CODE], w.index)
    if change != NULL and memcmp(&change.value, code_hash, 32) == 0:
        return code_intern(code_hash, change.code, change.code_size)
    return w.block.base.code(w.block.base.self, address, code_hash)


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    cdef ListedWorker* w = <ListedWorker*>self
    if w.block.base.block_hash == NULL:
        return ABSENT
    return w.block.base.block_hash(w.block.base.self, number, out)


cdef void listed_reader_init(ListedWorker* w) noexcept nogil:
    w.reader.self = w
    w.reader.account = read_account
    w.reader.storage = read_storage
    w.reader.code = read_code
    w.reader.block_hash = read_block_hash
