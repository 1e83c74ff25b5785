"""State diffs: collecting them from a working set, reading them, composing and inverting them. Their data: `_diff_data`."""
from typing import NamedTuple

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from evmcore._code cimport Code
from evmcore._diff_codec cimport diff_from_bytes, diff_from_json, diff_to_bytes, diff_to_json
from evmcore._diff_data cimport (
    AccountChange, AccountState, SlotChange, absent_account, checked_account, checked_slot, no_memory, same_account, slot_before,
)
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._growing cimport free_array, new_array
from evmcore._state cimport AccountEntry, SlotEntry, WorkingSet, ws_code
from evmcore._u256 cimport u256, u256_to_int, u_eq, u_is_zero, u_zero

from evmcore.errors import InputError, StateError

cdef extern from "include/diff_order.h" namespace "evmcore" nogil:
    cdef struct Place:
        const uint8_t* address
        uint32_t number
        uint32_t part
    Place place_of(const uint8_t* address, const u256* key, uint32_t number, uint32_t part) noexcept
    void sort_places(Place* places, size_t count) noexcept

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch(const void* at, size_t size) noexcept

cdef enum:
    LOOK_AHEAD = 4                # entries, on the way to their places

AccountFields = NamedTuple("AccountFields", [("nonce", int), ("balance", int), ("code_hash", bytes)])
AccountDiff = NamedTuple(
    "AccountDiff", [("address", bytes), ("old", object), ("new", object), ("wiped", bool)]
)
SlotDiff = NamedTuple("SlotDiff", [("address", bytes), ("key", int), ("old", int), ("new", int)])


cdef inline bint same_hash(const uint8_t* a, const uint8_t* b) noexcept nogil:
    return memcmp(a, b, 32) == 0


cdef class StateDiff(DiffData):
    """Old and new value of every account field, storage slot and code that an execution changed.

    A *complete* diff can be undone exactly, joined and reversed: it includes the slots of wiped accounts that the
    execution never read, and the codes that the change removes. The diff of a block on a `MemoryState` is complete
    from the beginning; any other diff becomes complete when it is applied. A thread that reads a diff while another
    thread applies it sees the diff as it was before or as it is after that. Equality compares the changes; codes are
    compared by their hashes.

    `codes` maps the 32-byte hash of every code that the change adds or removes to the code.
    """

    @property
    def account_changes(self) -> list:
        """`AccountDiff` records by address. `old` and `new` are `AccountFields`, or None if the account does not exist."""
        cdef size_t i
        cdef AccountChange* change
        cdef StateDiff present = self.present()
        records = []
        for i in range(present.account_count):
            change = &present.accounts[i]
            records.append(AccountDiff(
                change.address[:20], account_fields(&change.old), account_fields(&change.new), bool(change.wiped)
            ))
        return records

    @property
    def storage_changes(self) -> list:
        """`SlotDiff` records by address and key; zero means that the slot is not set."""
        cdef size_t i
        cdef SlotChange* change
        cdef StateDiff present = self.present()
        records = []
        for i in range(present.slot_count):
            change = &present.slots[i]
            records.append(SlotDiff(
                change.address[:20], u256_to_int(&change.key), u256_to_int(&change.old), u256_to_int(&change.new)
            ))
        return records

    def __len__(self):
        """The number of accounts and slots that changed."""
        return self.account_count + self.slot_count

    def __repr__(self):
        return f"<StateDiff: {self.account_count} accounts, {self.slot_count} slots, {len(self.codes)} codes>"

    def __eq__(self, other):
        cdef StateDiff that
        cdef size_t i
        if not isinstance(other, StateDiff):
            return NotImplemented
        that = <StateDiff>other
        if self.account_count != that.account_count or self.slot_count != that.slot_count:
            return False
        for i in range(self.account_count):
            if not same_account_change(&self.accounts[i], &that.accounts[i]):
                return False
        for i in range(self.slot_count):
            if not same_slot_change(&self.slots[i], &that.slots[i]):
                return False
        return True

    __hash__ = None

    def invert(self) -> StateDiff:
        """The reverse diff: old and new exchanged. `self` must be complete."""
        cdef StateDiff back = StateDiff()
        cdef AccountChange* change
        cdef SlotChange* slot
        cdef size_t i
        if not back.reserve(self.account_count, self.slot_count):
            raise no_memory()
        for i in range(self.account_count):
            change = back.add_account()
            change[0] = self.accounts[i]
            change.old, change.new = change.new, change.old
        for i in range(self.slot_count):
            slot = back.add_slot()
            slot[0] = self.slots[i]
            slot.old, slot.new = slot.new, slot.old
        back.codes.update(self.codes)
        return back

    def compose(self, later) -> StateDiff:
        """One diff with the combined effect of `self` and then `later`. `self` must be complete.

        Raises `InputError` if `later` does not start from where `self` ends.
        """
        cdef StateDiff joined = StateDiff()
        later = diff_argument(later)
        compose_accounts(self, later, joined)
        compose_slots(self, later, joined)
        joined.codes.update(self.codes)
        joined.codes.update(later.codes)
        keep_named_codes(joined)
        return joined

    def to_bytes(self) -> bytes:
        """A compact binary form with version and checksum; equal diffs with equal codes give equal bytes."""
        return diff_to_bytes(self.present())

    @staticmethod
    def from_bytes(data) -> StateDiff:
        """The inverse of `to_bytes`. Raises `InputError` if the bytes are cut, damaged or of another version."""
        cdef StateDiff diff = StateDiff()
        diff_from_bytes(diff, data)
        return diff

    def to_json(self) -> dict:
        """The diff as JSON values: `accounts`, `storage` and `codes`, each with old and new where they differ."""
        return diff_to_json(self.present())

    @staticmethod
    def from_json(value) -> StateDiff:
        """The inverse of `to_json`. Raises `InputError` naming the malformed part."""
        cdef StateDiff diff = StateDiff()
        diff_from_json(diff, value)
        return diff

    def __reduce__(self):
        return StateDiff.from_bytes, (self.to_bytes(),)

    # ---- for who applies it

    cdef StateDiff present(self):
        cdef StateDiff seen = StateDiff()
        seen.borrow(self)
        return seen

    cdef StateDiff draft(self):
        cdef StateDiff made
        cdef size_t i
        for i in range(self.account_count):
            if self.accounts[i].wiped or not self.accounts[i].new.exists:
                made = StateDiff()
                made.copy_changes(self)
                return made
        return self.present()

    cdef void accept(self, StateDiff draft):
        if not draft.borrowed and draft.slot_count > self.slot_count:
            self.replace_changes(draft)


cdef object account_fields(const AccountState* account):
    if not account.exists:
        return None
    return AccountFields(account.nonce, u256_to_int(&account.balance), account.code_hash[:32])


cdef bint same_account_change(const AccountChange* a, const AccountChange* b) noexcept nogil:
    return (
        memcmp(a.address, b.address, 20) == 0 and a.wiped == b.wiped
        and same_account(&a.old, &b.old) and same_account(&a.new, &b.new)
    )


cdef bint same_slot_change(const SlotChange* a, const SlotChange* b) noexcept nogil:
    return (
        memcmp(a.address, b.address, 20) == 0 and u_eq(&a.key, &b.key)
        and u_eq(&a.old, &b.old) and u_eq(&a.new, &b.new)
    )


# --------------------------------------------------------------------------------------------- collecting

cdef StateDiff diff_argument(object diff):
    if not isinstance(diff, StateDiff):
        raise InputError(f"argument 'diff': expected StateDiff, got {type(diff).__name__}")
    return <StateDiff>diff


cdef StateDiff diff_collect(WorkingSet* ws):
    cdef StateDiff diff = StateDiff()
    cdef WorkingSet** parts = <WorkingSet**>new_array(count_parts(ws) * sizeof(WorkingSet*))
    cdef Place* places = NULL
    try:
        if parts == NULL:
            raise no_memory()
        places = <Place*>new_array(list_parts(ws, parts) * sizeof(Place))
        if places == NULL:
            raise no_memory()
        collect_accounts(parts, count_parts(ws), diff, places)
        collect_slots(parts, count_parts(ws), diff, places)
    finally:
        free_array(places)
        free_array(parts)
    return diff


cdef uint32_t count_parts(const WorkingSet* ws) noexcept nogil:
    """The number of working sets: this one and those beside it."""
    cdef uint32_t count = 0
    while ws != NULL:
        count += 1
        ws = ws.beside
    return count


cdef size_t list_parts(WorkingSet* ws, WorkingSet** parts) noexcept nogil:
    """Fills `parts`. Returns the total number of accounts in all of them, or of slots if there are more slots."""
    cdef size_t accounts = 0, slots = 0
    cdef uint32_t part = 0
    while ws != NULL:
        parts[part] = ws
        part += 1
        accounts += ws.account_count
        slots += ws.slot_count
        ws = ws.beside
    return max(accounts, slots)


cdef int collect_accounts(WorkingSet** parts, uint32_t part_count, StateDiff diff, Place* places) except -1:
    cdef WorkingSet* ws
    cdef const AccountEntry* entry
    cdef AccountChange* change
    cdef size_t count = 0, at
    cdef uint32_t part, i
    for part in range(part_count):
        ws = parts[part]
        for i in range(1, ws.account_count):     # entry 0 is a placeholder
            entry = &ws.accounts[i]
            if not entry.loaded or (part and entry.past == 0) or not is_changed(entry):
                continue
            places[count] = place_of(entry.address, NULL, i, part)
            count += 1
            if entry.exists and not same_hash(entry.code_hash, entry.base.code_hash):
                if not same_hash(entry.code_hash, EMPTY_CODE_HASH):
                    diff.codes[entry.code_hash[:32]] = code_of(ws, i)
    if not diff.reserve(count, 0):
        raise no_memory()
    sort_places(places, count)
    for at in range(count):
        if at + LOOK_AHEAD < count:
            prefetch(account_at(parts, &places[at + LOOK_AHEAD]), sizeof(AccountEntry))
        entry = account_at(parts, &places[at])
        change = &diff.accounts[at]
        memcpy(change.address, entry.address, 20)
        change.wiped = is_wiped_entry(entry)
        set_state(&change.old, entry.base_exists, entry.base.nonce, &entry.base.balance, entry.base.code_hash)
        set_state(&change.new, entry.exists, entry.nonce, &entry.balance, entry.code_hash)
    diff.account_count = count
    return 0


cdef inline const AccountEntry* account_at(WorkingSet** parts, const Place* place) noexcept nogil:
    return &parts[place.part].accounts[place.number]


cdef inline bint is_wiped_entry(const AccountEntry* entry) noexcept nogil:
    return entry.base_exists and entry.lifetime != 0


cdef inline bint is_changed(const AccountEntry* entry) noexcept nogil:
    return is_wiped_entry(entry) or entry.exists != entry.base_exists or (entry.exists and not (
        entry.nonce == entry.base.nonce and u_eq(&entry.balance, &entry.base.balance)
        and same_hash(entry.code_hash, entry.base.code_hash)
    ))


cdef inline void set_state(
    AccountState* out, bint exists, uint64_t nonce, const u256* balance, const uint8_t* code_hash
) noexcept nogil:
    if not exists:
        absent_account(out)
        return
    out.exists = True
    out.nonce = nonce
    out.balance = balance[0]
    memcpy(out.code_hash, code_hash, 32)


cdef bytes code_of(WorkingSet* ws, uint32_t account):
    cdef bint keeps_seen = ws.keeps_seen
    cdef const Code* code
    ws.keeps_seen = False                        # nothing runs any more that would ask for it
    code = ws_code(ws, account)
    ws.keeps_seen = keeps_seen
    if code == NULL:
        raise StateError(f"the code of 0x{ws.accounts[account].address[:20].hex()} cannot be read")
    return code.raw[:code.size]


cdef int collect_slots(WorkingSet** parts, uint32_t part_count, StateDiff diff, Place* places) except -1:
    cdef const WorkingSet* ws
    cdef const SlotEntry* slot
    cdef SlotChange* change
    cdef u256 value
    cdef size_t count = 0, at
    cdef uint32_t part, i
    for part in range(part_count):
        ws = parts[part]
        for i in range(1, ws.slot_count):
            slot = &ws.slots[i]
            if not slot.loaded or (part and slot.past == 0):
                continue
            value = value_of(ws, slot)
            # Slots wiped with the account are not listed. Slots written since are, even if the value is the old one.
            if u_is_zero(&value) if ws.accounts[slot.account].lifetime != 0 else u_eq(&slot.base, &value):
                continue
            places[count] = place_of(ws.accounts[slot.account].address, &slot.key, i, part)
            count += 1
    if not diff.reserve(0, count):
        raise no_memory()
    sort_places(places, count)
    for at in range(count):
        if at + LOOK_AHEAD < count:
            prefetch(slot_at(parts, &places[at + LOOK_AHEAD]), sizeof(SlotEntry))
        slot = slot_at(parts, &places[at])
        change = &diff.slots[at]
        memcpy(change.address, places[at].address, 20)
        change.key = slot.key
        change.old = slot.base
        change.new = value_of(parts[places[at].part], slot)
    diff.slot_count = count
    return 0


cdef inline const SlotEntry* slot_at(WorkingSet** parts, const Place* place) noexcept nogil:
    return &parts[place.part].slots[place.number]


cdef inline u256 value_of(const WorkingSet* ws, const SlotEntry* slot) noexcept nogil:
    cdef const AccountEntry* entry = &ws.accounts[slot.account]
    cdef u256 nothing
    if slot.lifetime == entry.lifetime and entry.exists:
        return slot.current
    u_zero(&nothing)
    return nothing


# ------------------------------------------------------------------------------------------------ joining

cdef str describe_account(const AccountState* account):
    fields = account_fields(account)
    if fields is None:
        return "absent"
    return f"nonce {fields.nonce}, balance {fields.balance}, code hash 0x{fields.code_hash.hex()}"


cdef int compose_accounts(StateDiff first, StateDiff later, StateDiff joined) except -1:
    cdef size_t i = 0
    cdef size_t j = 0
    cdef int order
    cdef AccountChange change
    cdef AccountChange* a
    cdef AccountChange* b
    while i < first.account_count or j < later.account_count:
        a = &first.accounts[i]
        b = &later.accounts[j]
        order = 0
        if i == first.account_count:
            order = 1
        elif j == later.account_count:
            order = -1
        else:
            order = memcmp(a.address, b.address, 20)
        if order < 0:
            change = a[0]
            i += 1
        elif order > 0:
            change = b[0]
            j += 1
        else:
            if not same_account(&a.new, &b.old):
                raise InputError(
                    f"argument 'later': account 0x{a.address[:20].hex()} was left as {describe_account(&a.new)}, "
                    f"but the later diff starts from {describe_account(&b.old)}"
                )
            change = a[0]
            change.new = b.new
            # An account that was destroyed in between and did not exist at the start was not wiped.
            change.wiped = change.old.exists and (a.wiped or b.wiped)
            i += 1
            j += 1
        if change.wiped or not same_account(&change.old, &change.new):
            checked_account(joined.add_account())[0] = change
    return 0


cdef inline bint is_wiped(StateDiff diff, const uint8_t* address) noexcept nogil:
    cdef size_t at = diff.account_position(address)
    if at == diff.account_count or memcmp(diff.accounts[at].address, address, 20) != 0:
        return False
    return diff.accounts[at].wiped


cdef int compose_slots(StateDiff first, StateDiff later, StateDiff joined) except -1:
    cdef size_t i = 0
    cdef size_t j = 0
    cdef int order
    cdef SlotChange change
    cdef SlotChange* a
    cdef SlotChange* b
    while i < first.slot_count or j < later.slot_count:
        a = &first.slots[i]
        b = &later.slots[j]
        if i == first.slot_count:
            order = 1
        elif j == later.slot_count:
            order = -1
        elif slot_before(a[0], b[0]):
            order = -1
        else:
            order = slot_before(b[0], a[0])
        if order < 0:
            change = a[0]
            if is_wiped(later, a.address):
                u_zero(&change.new)
            i += 1
        elif order > 0:
            change = b[0]
            j += 1
        else:
            if not u_eq(&a.new, &b.old):
                raise InputError(
                    f"argument 'later': slot {u256_to_int(&a.key):#x} of 0x{a.address[:20].hex()} was left as "
                    f"{u256_to_int(&a.new):#x}, but the later diff starts from {u256_to_int(&b.old):#x}"
                )
            change = a[0]
            change.new = b.new
            i += 1
            j += 1
        if u_eq(&change.old, &change.new):
            if u_is_zero(&change.new) or not is_wiped(joined, change.address):
                continue
        checked_slot(joined.add_slot())[0] = change
    return 0


cdef int keep_named_codes(StateDiff diff) except -1:
    cdef size_t i
    named = set()
    for i in range(diff.account_count):
        if memcmp(diff.accounts[i].old.code_hash, diff.accounts[i].new.code_hash, 32) != 0:
            named.add(diff.accounts[i].old.code_hash[:32])
            named.add(diff.accounts[i].new.code_hash[:32])
    for code_hash in [known for known in diff.codes if known not in named]:
        del diff.codes[code_hash]
    return 0
