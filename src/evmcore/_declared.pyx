"""Parsing and looking up a given block access list; see `_declared.pxd`.

The parser accepts the encodings that `access_lists.BlockAccessList` accepts, and only in canonical form. For other input it does
not report the error: the caller uses the Python class for that.
"""
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._hash cimport keccak256
from evmcore._keyed_hash cimport HashKey, draw_key, hash_address, hash_slot
from evmcore._u256 cimport u_eq, u_from_be_n, u_lt

cdef HashKey hash_key
draw_key(&hash_key)


# ---------------------------------------------------------------------------------------------------- RLP

cdef struct Cursor:
    const uint8_t* data
    size_t at
    size_t end                    # of the list that is being read
    bint wrong                    # the other fields are then meaningless
    bint no_memory


cdef bint read_header(Cursor* c, bint* is_list, size_t* start, size_t* stop) noexcept nogil:
    """The next item of the list; its header must be the shortest one."""
    cdef uint8_t first
    cdef size_t length, size, i
    if c.wrong or c.at >= c.end:
        c.wrong = True
        return False
    first = c.data[c.at]
    start[0] = c.at + 1
    is_list[0] = first >= 0xc0
    if first < 0x80:
        start[0] = c.at
        length = 1
    else:
        length = first - (0xc0 if is_list[0] else 0x80)
        if length > 55:
            size = length - 55
            length = 0
            if size > c.end - start[0] or c.data[start[0]] == 0:
                c.wrong = True
                return False
            for i in range(size):
                length = (length << 8) | c.data[start[0] + i]
            start[0] += size
            if length < 56:
                c.wrong = True
                return False
        elif length == 1 and not is_list[0] and start[0] < c.end and c.data[start[0]] < 0x80:
            c.wrong = True
            return False
    if length > c.end - start[0]:
        c.wrong = True
        return False
    stop[0] = start[0] + length
    return True


cdef Cursor enter_list(Cursor* c) noexcept nogil:
    """A cursor over the members of the next item, which must be a list; the outer cursor moves behind the list."""
    cdef Cursor inner = c[0]
    cdef bint is_list
    cdef size_t start, stop
    if not read_header(c, &is_list, &start, &stop) or not is_list:
        c.wrong = True
        inner.wrong = True
        inner.end = inner.at
        return inner
    inner.at = start
    inner.end = stop
    c.at = stop
    return inner


cdef void leave_list(Cursor* c, const Cursor* inner, bint complete) noexcept nogil:
    """Takes over errors of the inner cursor. `complete`: all members must have been read."""
    if inner.wrong or (complete and inner.at != inner.end):
        c.wrong = True
    c.no_memory |= inner.no_memory


cdef size_t read_string(Cursor* c, const uint8_t** data) noexcept nogil:
    cdef bint is_list
    cdef size_t start, stop
    if not read_header(c, &is_list, &start, &stop) or is_list:
        c.wrong = True
        return 0
    data[0] = c.data + start
    c.at = stop
    return stop - start


cdef u256 read_number(Cursor* c, size_t most) noexcept nogil:
    """A number of at most `most` bytes, without leading zeros."""
    cdef const uint8_t* data = NULL
    cdef u256 value
    cdef size_t size = read_string(c, &data)
    cdef size_t i
    memset(&value, 0, sizeof(u256))
    if c.wrong or size > most or (size and data[0] == 0):
        c.wrong = True
        return value
    if size <= 8:
        for i in range(size):
            value.w[0] = (value.w[0] << 8) | data[i]
    else:
        u_from_be_n(&value, data, size)
    return value


# ---------------------------------------------------------------------------------------------------- the list

cdef bint reserve(void** items, size_t* capacity, size_t wanted, size_t item_size) noexcept nogil:
    cdef size_t bigger
    cdef void* moved
    if wanted <= capacity[0]:
        return True
    bigger = max(2 * capacity[0], wanted + 255)
    moved = realloc(items[0], bigger * item_size)
    if moved == NULL:
        return False
    items[0] = moved
    capacity[0] = bigger
    return True


cdef ChangeRange read_changes(Declared* d, Cursor* outer, size_t most, bint of_code) noexcept nogil:
    """A list of [index, value], in ascending order of index."""
    cdef Cursor c = enter_list(outer)
    cdef Cursor pair
    cdef ChangeRange made
    cdef DeclaredChange* change
    made.first = <uint32_t>d.change_count
    made.count = 0
    while not c.wrong and c.at < c.end:
        if not reserve(<void**>&d.changes, &d.change_capacity, d.change_count + 1, sizeof(DeclaredChange)):
            c.no_memory = c.wrong = True
            break
        change = &d.changes[d.change_count]
        pair = enter_list(&c)
        change.index = <uint32_t>read_number(&pair, 4).w[0]
        change.code = NULL
        change.code_size = 0
        if of_code:
            change.code_size = read_string(&pair, &change.code)
            if not pair.wrong:
                keccak256(change.code, change.code_size, <uint8_t*>&change.value)
        else:
            change.value = read_number(&pair, most)
        leave_list(&c, &pair, True)
        if change.index > d.last or (made.count and (change - 1).index >= change.index):
            c.wrong = True
        if c.wrong:
            break
        d.changes_at[change.index] += 1
        d.change_count += 1
        made.count += 1
    leave_list(outer, &c, True)
    return made


cdef DeclaredSlot* add_slot(Declared* d, Cursor* c, uint32_t account, u256 key) noexcept nogil:
    cdef DeclaredSlot* slot
    if not reserve(<void**>&d.slots, &d.slot_capacity, <size_t>d.slot_count + 1, sizeof(DeclaredSlot)):
        c.no_memory = c.wrong = True
        return NULL
    slot = &d.slots[d.slot_count]
    d.slot_count += 1
    memset(slot, 0, sizeof(DeclaredSlot))
    slot.account = account
    slot.key = key
    return slot


cdef void read_slots(Declared* d, Cursor* outer, uint32_t account) noexcept nogil:
    """The changed slots, and the slots only read: both lists ascending, no slot in both."""
    cdef uint32_t first = d.slot_count
    cdef uint32_t middle, i
    cdef Cursor c = enter_list(outer)
    cdef Cursor entry
    cdef DeclaredSlot* slot
    cdef u256 key
    while not c.wrong and c.at < c.end:
        entry = enter_list(&c)
        key = read_number(&entry, 32)
        slot = add_slot(d, &entry, account, key)
        if slot != NULL:
            slot.changes = read_changes(d, &entry, 32, False)
            if slot.changes.count == 0:
                entry.wrong = True
        leave_list(&c, &entry, True)
        if not c.wrong and d.slot_count - first > 1 and not u_lt(&(slot - 1).key, &key):
            c.wrong = True
    leave_list(outer, &c, True)
    middle = d.slot_count
    i = first
    c = enter_list(outer)
    while not c.wrong and c.at < c.end:
        key = read_number(&c, 32)
        if c.wrong or (d.slot_count > middle and not u_lt(&d.slots[d.slot_count - 1].key, &key)):
            c.wrong = True
            break
        while i < middle and u_lt(&d.slots[i].key, &key):
            i += 1
        if i < middle and u_eq(&d.slots[i].key, &key):
            c.wrong = True
            break
        add_slot(d, &c, account, key)
    leave_list(outer, &c, True)


cdef void read_account(Declared* d, Cursor* outer) noexcept nogil:
    cdef Cursor c = enter_list(outer)
    cdef const uint8_t* address = NULL
    cdef DeclaredAccount* account
    if read_string(&c, &address) != 20 or c.wrong:
        outer.wrong = True
        return
    if not reserve(<void**>&d.accounts, &d.account_capacity, <size_t>d.account_count + 1, sizeof(DeclaredAccount)):
        outer.no_memory = outer.wrong = True
        return
    account = &d.accounts[d.account_count]
    memset(account, 0, sizeof(DeclaredAccount))
    memcpy(account.address, address, 20)
    if d.account_count and memcmp((account - 1).address, address, 20) >= 0:
        outer.wrong = True
        return
    account.first_slot = d.slot_count
    read_slots(d, &c, d.account_count)
    account.slot_count = d.slot_count - account.first_slot
    account.fields[<int>FIELD_BALANCE] = read_changes(d, &c, 32, False)
    account.fields[<int>FIELD_NONCE] = read_changes(d, &c, 8, False)
    account.fields[<int>FIELD_CODE] = read_changes(d, &c, 0, True)
    d.account_count += 1
    leave_list(outer, &c, True)


cdef uint32_t* new_table(size_t count, uint32_t* mask) noexcept nogil:
    cdef size_t size = 64
    cdef uint32_t* table
    while size < 2 * count:
        size *= 2
    mask[0] = <uint32_t>(size - 1)
    table = <uint32_t*>malloc(size * sizeof(uint32_t))
    if table != NULL:
        memset(table, 0xff, size * sizeof(uint32_t))
    return table


cdef bint make_tables(Declared* d) noexcept nogil:
    cdef uint32_t i, at
    d.account_table = new_table(d.account_count, &d.account_mask)
    d.slot_table = new_table(d.slot_count, &d.slot_mask)
    if d.account_table == NULL or d.slot_table == NULL:
        return False
    for i in range(d.account_count):
        at = <uint32_t>hash_address(hash_key, d.accounts[i].address) & d.account_mask
        while d.account_table[at] != NONE:
            at = (at + 1) & d.account_mask
        d.account_table[at] = i
    for i in range(d.slot_count):
        at = <uint32_t>hash_slot(hash_key, d.slots[i].account, d.slots[i].key.w) & d.slot_mask
        while d.slot_table[at] != NONE:
            at = (at + 1) & d.slot_mask
        d.slot_table[at] = i
    return True


cdef Parsed declared_parse(Declared* declared, const uint8_t* data, size_t size, uint32_t last) noexcept nogil:
    cdef Cursor whole, c
    declared.last = last
    declared.changes_at = <uint32_t*>calloc(<size_t>last + 1, sizeof(uint32_t))
    if declared.changes_at == NULL:
        return PARSED_NO_MEMORY
    memset(&whole, 0, sizeof(Cursor))
    whole.data = data
    whole.end = size
    c = enter_list(&whole)
    while not c.wrong and c.at < c.end:
        read_account(declared, &c)
    leave_list(&whole, &c, True)
    if whole.no_memory:
        return PARSED_NO_MEMORY
    if whole.wrong or whole.at != whole.end:
        return PARSED_WRONG
    return PARSED if make_tables(declared) else PARSED_NO_MEMORY


cdef void declared_release(Declared* declared) noexcept nogil:
    free(declared.accounts)
    free(declared.slots)
    free(declared.changes)
    free(declared.changes_at)
    free(declared.account_table)
    free(declared.slot_table)
    memset(declared, 0, sizeof(Declared))


# ---------------------------------------------------------------------------------------------------- looking up

cdef uint32_t declared_account(const Declared* declared, const uint8_t* address) noexcept nogil:
    cdef uint32_t at = <uint32_t>hash_address(hash_key, address) & declared.account_mask
    cdef uint32_t number
    while True:
        number = declared.account_table[at]
        if number == NONE or memcmp(declared.accounts[number].address, address, 20) == 0:
            return number
        at = (at + 1) & declared.account_mask


cdef uint32_t declared_slot(const Declared* declared, uint32_t account, const u256* key) noexcept nogil:
    cdef uint32_t at = <uint32_t>hash_slot(hash_key, account, key.w) & declared.slot_mask
    cdef uint32_t number
    while True:
        number = declared.slot_table[at]
        if number == NONE or (
            declared.slots[number].account == account and u_eq(&declared.slots[number].key, key)
        ):
            return number
        at = (at + 1) & declared.slot_mask


cdef uint32_t wiped_before(const Declared* declared, const DeclaredAccount* account, uint32_t index) noexcept nogil:
    cdef const DeclaredChange* code
    if account.cleared:
        return 1
    if not declared.wipes or account.fields[<int>FIELD_CODE].count == 0:
        return 0
    code = change_before(declared, &account.fields[<int>FIELD_CODE], index)
    while code != NULL:
        if code.code_size == 0:
            return code.index + 1
        code = code - 1 if code > declared.changes + account.fields[<int>FIELD_CODE].first else NULL
    return 0
