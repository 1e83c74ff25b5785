"""Applying and undoing a state diff on the native store. See `_apply.pxd`.

The order keeps every check local: first the slots that wiping removes are listed, then accounts that stay or appear are
set, then slots, and last the removed accounts, which must have no slot left by then.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from evmcore._diff cimport StateDiff
from evmcore._diff_data cimport AccountChange, AccountState, SlotChange, absent_account, change_of_slot, same_account
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._hash cimport keccak256
from evmcore._u256 cimport u256, u256_to_int, u_eq, u_is_zero, u_zero
from evmcore.state._store cimport (
    Row, Store, row_code_hash, store_drop_record, store_find, store_keep_record, store_put, store_put_slot,
    store_remove, store_rewind,
)
from evmcore.state._tables cimport Slot, StoredCode, codes_add, codes_find, codes_release, slot_find

from evmcore.errors import InputError, ResourceError, StateError


cdef void apply_diff(
    Store* store, StateDiff diff, bint backward, const CodeBytes* codes, StoredCode** taken, ApplyResult* result,
) noexcept nogil:
    cdef size_t position = store.journal_count
    cdef size_t listed_slots = diff.slot_count
    cdef size_t i
    memset(taken, 0, diff.account_count * sizeof(StoredCode*))
    result.problem = APPLIED
    store_keep_record(store)
    if not run(store, diff, backward, codes, taken, listed_slots, result):
        store_rewind(store, position)
        diff.slot_count = listed_slots
        for i in range(diff.account_count):
            codes_release(&store.codes, taken[i])
            taken[i] = NULL
    else:
        note_listed(diff, listed_slots)
    store_drop_record(store)


cdef void note_listed(StateDiff diff, size_t listed_slots) noexcept nogil:
    """Sorts the diff after slots of wiped accounts were added behind the first `listed_slots`."""
    cdef size_t i
    if diff.slot_count == listed_slots:
        return
    for i in range(listed_slots, diff.slot_count):
        diff.accounts[diff.account_position(diff.slots[i].address)].wiped = True
    diff.sort()


cdef bint complete_diff(Store* store, StateDiff diff) noexcept nogil:
    cdef size_t listed_slots = diff.slot_count
    cdef ApplyResult result
    cdef size_t i
    for i in range(diff.account_count):
        if diff.accounts[i].wiped or not diff.accounts[i].new.exists:
            if not list_wiped_slots(store, diff, False, listed_slots, diff.accounts[i].address, &result):
                diff.slot_count = listed_slots
                return False
    note_listed(diff, listed_slots)
    return True


cdef bint run(
    Store* store, StateDiff diff, bint backward, const CodeBytes* codes, StoredCode** taken, size_t listed_slots,
    ApplyResult* result,
) noexcept nogil:
    cdef AccountChange* change
    cdef const AccountState* before
    cdef const AccountState* after
    cdef size_t i
    for i in range(diff.account_count):
        change = &diff.accounts[i]
        before = &change.new if backward else &change.old
        after = &change.old if backward else &change.new
        if not check_account(store, change.address, before, result):
            return False
        if change.wiped or not after.exists:
            if not list_wiped_slots(store, diff, backward, listed_slots, change.address, result):
                return False
            change = &diff.accounts[i]
        if after.exists and not set_account(store, change.address, before, after, &codes[i], &taken[i], result):
            return False
    for i in range(listed_slots):
        if not set_slot(store, &diff.slots[i], backward, result):
            return False
    for i in range(listed_slots, diff.slot_count):
        if not set_slot(store, &diff.slots[i], False, result):
            return False
    for i in range(diff.account_count):
        change = &diff.accounts[i]
        after = &change.old if backward else &change.new
        if not after.exists and not remove_account(store, change.address, &taken[i], result):
            return False
    return True


cdef bint fail(ApplyResult* result, ApplyProblem problem, const uint8_t* address) noexcept nogil:
    result.problem = problem
    memcpy(result.address, address, 20)
    return False


cdef bint check_account(
    Store* store, const uint8_t* address, const AccountState* expected, ApplyResult* result,
) noexcept nogil:
    cdef const Row* row = store_find(store, address)
    cdef AccountState found
    absent_account(&found)
    if row != NULL:
        found.exists = True
        found.nonce = row.nonce
        found.balance = row.balance
        memcpy(found.code_hash, row_code_hash(row), 32)
    if same_account(&found, expected):
        return True
    result.found_account = found
    result.expected_account = expected[0]
    return fail(result, ACCOUNT_DIFFERS, address)


cdef bint is_listed(StateDiff diff, size_t listed_slots, const uint8_t* address, const u256* key) noexcept nogil:
    cdef size_t at = change_of_slot(diff.slots, listed_slots, address, key)
    return at < listed_slots and memcmp(diff.slots[at].address, address, 20) == 0 and u_eq(&diff.slots[at].key, key)


cdef bint list_wiped_slots(
    Store* store, StateDiff diff, bint backward, size_t listed_slots, const uint8_t* address, ApplyResult* result,
) noexcept nogil:
    """Adds the slots that the diff does not list. Backward there must be none: a wiped account has only listed slots."""
    cdef const Row* row = store_find(store, address)
    cdef const Slot* slot
    cdef SlotChange* added
    cdef uint64_t i
    if row == NULL or row.slots.count == 0:
        return True
    for i in range(<uint64_t>row.slots.mask + 1):
        slot = &row.slots.cells[i]
        if u_is_zero(&slot.value) or is_listed(diff, listed_slots, address, &slot.key):
            continue
        if backward:
            result.key = slot.key
            result.found = slot.value
            u_zero(&result.expected)
            return fail(result, SLOT_DIFFERS, address)
        added = diff.add_slot()
        if added == NULL:
            return fail(result, NO_MEMORY, address)
        memcpy(added.address, address, 20)
        added.key = slot.key
        added.old = slot.value
        u_zero(&added.new)
    return True


cdef void take_code(const Row* row, StoredCode** taken) noexcept nogil:
    if row != NULL and row.code != NULL and row.code.data != NULL:
        row.code.refs += 1
        taken[0] = row.code


cdef bint set_account(
    Store* store, const uint8_t* address, const AccountState* before, const AccountState* after,
    const CodeBytes* given, StoredCode** taken, ApplyResult* result,
) noexcept nogil:
    cdef const Row* row = store_find(store, address)
    cdef StoredCode* code = NULL
    cdef bint done
    if memcmp(after.code_hash, before.code_hash, 32) != 0:
        take_code(row, taken)
    if memcmp(after.code_hash, EMPTY_CODE_HASH, 32) != 0:
        code = codes_find(&store.codes, after.code_hash)
        if code == NULL and given.data == NULL:
            result.expected_account = after[0]
            return fail(result, CODE_MISSING, address)
        code = codes_add(&store.codes, after.code_hash, given.data, given.size)
        if code == NULL:
            return fail(result, NO_MEMORY, address)
    done = store_put(store, address, after.nonce, &after.balance, code)
    codes_release(&store.codes, code)
    return done or fail(result, NO_MEMORY, address)


cdef bint set_slot(Store* store, const SlotChange* slot, bint backward, ApplyResult* result) noexcept nogil:
    cdef const Row* row = store_find(store, slot.address)
    cdef const u256* found = NULL
    cdef const u256* before = &slot.new if backward else &slot.old
    cdef const u256* after = &slot.old if backward else &slot.new
    if row != NULL:
        found = slot_find(&row.slots, &slot.key)
    result.key = slot.key
    if found == NULL:
        u_zero(&result.found)
    else:
        result.found = found[0]
    if not u_eq(&result.found, before):
        result.expected = before[0]
        return fail(result, SLOT_DIFFERS, slot.address)
    if row == NULL:
        result.found = after[0]
        return u_is_zero(after) or fail(result, SLOT_LEFT_OVER, slot.address)
    return store_put_slot(store, slot.address, &slot.key, after) or fail(result, NO_MEMORY, slot.address)


cdef bint remove_account(Store* store, const uint8_t* address, StoredCode** taken, ApplyResult* result) noexcept nogil:
    cdef const Row* row = store_find(store, address)
    cdef uint64_t i
    if row == NULL:
        return True
    if row.slots.count != 0:
        for i in range(<uint64_t>row.slots.mask + 1):
            if not u_is_zero(&row.slots.cells[i].value):
                result.key = row.slots.cells[i].key
                result.found = row.slots.cells[i].value
        return fail(result, SLOT_LEFT_OVER, address)
    take_code(row, taken)
    return store_remove(store, address) or fail(result, NO_MEMORY, address)


# ----------------------------------------------------------------------------------------- for the caller

cdef list codes_of(StateDiff diff, bint backward, CodeBytes* codes):
    """Fills in the code for each account change; returns the owners of the bytes."""
    cdef AccountChange* change
    cdef const AccountState* after
    cdef bytes code
    cdef uint8_t[32] digest
    cdef size_t i
    kept = []
    for i in range(diff.account_count):
        change = &diff.accounts[i]
        after = &change.old if backward else &change.new
        if memcmp(change.old.code_hash, change.new.code_hash, 32) == 0:
            continue                             # the state has it
        given = diff.codes.get(after.code_hash[:32])
        if given is None:
            continue
        if type(given) is bytes:
            keccak256(given, len(given), digest)
        if type(given) is not bytes or memcmp(digest, after.code_hash, 32) != 0:
            raise InputError(f"argument 'diff': codes[0x{after.code_hash[:32].hex()}] is not the code of that hash")
        code = given
        kept.append(code)
        codes[i].data = code
        codes[i].size = len(code)
    return kept


cdef str account_text(const AccountState* account):
    if not account.exists:
        return "absent"
    return f"nonce {account.nonce}, balance {u256_to_int(&account.balance)}, code hash 0x{account.code_hash[:32].hex()}"


cdef object apply_error(const ApplyResult* result, bint backward):
    doing = "undo" if backward else "apply"
    where = f"0x{result.address[:20].hex()}"
    if result.problem == NO_MEMORY:
        return ResourceError(f"no memory to {doing} a state diff")
    if result.problem == ACCOUNT_DIFFERS:
        return StateError(
            f"cannot {doing} the diff: account {where} is {account_text(&result.found_account)} in the state, "
            f"but {account_text(&result.expected_account)} in the diff"
        )
    if result.problem == CODE_MISSING:
        code_hash = result.expected_account.code_hash[:32].hex()
        return StateError(
            f"cannot {doing} the diff: the code of account {where}, hash 0x{code_hash}, is neither in the diff nor in "
            "the state"
        )
    slot = f"slot {u256_to_int(&result.key):#x} of {where}"
    if result.problem == SLOT_DIFFERS:
        return StateError(
            f"cannot {doing} the diff: {slot} is {u256_to_int(&result.found):#x} in the state, "
            f"but {u256_to_int(&result.expected):#x} in the diff"
        )
    return StateError(f"cannot {doing} the diff: {slot} would be {u256_to_int(&result.found):#x} in an absent account")
