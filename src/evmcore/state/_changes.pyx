"""The changes of one feed entry, natively. See `_changes.pxd`."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from evmcore._u256 cimport u256_to_int, u_byte_len, u_eq, u_to_be
from evmcore.state._cache_native cimport EXISTS, IS_ABSENT, NO_KEY

from evmcore.errors import ResourceError, StateCorrupted
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.state.layout import Record, show_key

cdef extern from "include/cache/crc32.h" namespace "evmcore::cache" nogil:
    uint32_t crc32(const uint8_t* data, size_t size) noexcept

cdef extern from "include/cache/layout.h" namespace "evmcore::cache" nogil:
    cdef struct NewCode:
        const uint8_t* hash
        const uint8_t* data
        size_t size
    cdef cppclass LayoutReader:
        const char* problem
        size_t at
        LayoutReader(const void* data, size_t size) noexcept
        bint changes(vector[ChangedAccount]& accounts, vector[ChangedSlot]& slots, vector[NewCode]& codes) except +

cdef enum:
    VERSION = 1                   # of records and of changes
    STORAGE_COMPLETE = 1          # flags of a record
    ABSENT = 2
    OLD_THERE = 1                 # flags of a changed account
    NEW_THERE = 2
    WIPED = 4
    NOT_KNOWN = 255


# ------------------------------------------------------------------------------------------------ numbers and records

cdef void put_integer(Bytes& out, uint64_t value, int size) noexcept nogil:
    cdef uint8_t[8] text
    cdef int i
    for i in range(size):
        text[i] = <uint8_t>(value >> (8 * (size - 1 - i)))
    out.add(text, size)


cdef inline size_t value_bytes(uint8_t* out, const u256* value) noexcept nogil:
    """Big-endian without leading zeros; returns the size. 32 bytes are written whatever the value."""
    cdef uint8_t[64] text
    cdef size_t size = u_byte_len(value)
    u_to_be(text, value)
    memset(text + 32, 0, 32)
    memcpy(out, text + 32 - size, 32)      # a constant size: no call, no loop
    return size


cdef inline size_t number_bytes(uint8_t* out, const u256* value) noexcept nogil:
    out[0] = <uint8_t>value_bytes(out + 1, value)
    return 1 + <size_t>out[0]


cdef inline size_t known_bytes(uint8_t* out, const SlotValue* value) noexcept nogil:
    if value.known:
        return number_bytes(out, &value.value)
    out[0] = NOT_KNOWN
    return 1


cdef void put_slot(Bytes& out, const ChangedSlot* slot) noexcept nogil:
    """Key, old and new value."""
    cdef uint8_t* place = <uint8_t*>out.room(3 * 33)
    cdef size_t size
    if place == NULL:
        return
    size = number_bytes(place, &slot.key)
    size += known_bytes(place + size, &slot.before)
    size += known_bytes(place + size, &slot.after)
    out.grew(size)


cdef void put_value(Bytes& out, const u256* value) noexcept nogil:
    """A slot's value as a part of a command: $<size>, then the value as in storage hashes."""
    cdef uint8_t* place = <uint8_t*>out.room(5 + 32 + 2)
    cdef size_t size = u_byte_len(value)
    cdef size_t at = 1
    if place == NULL:
        return
    place[0] = c"$"
    if size >= 10:
        place[1] = <uint8_t>(c"0" + size // 10)
        at = 2
    place[at] = <uint8_t>(c"0" + size % 10)
    memcpy(place + at + 1, b"\r\n", 2)
    at += 3 + value_bytes(place + at + 3, value)
    memcpy(place + at, b"\r\n", 2)
    out.grew(at + 2)


cdef void put_number(Bytes& out, const u256* value) noexcept nogil:
    cdef uint8_t[33] text
    out.add(text, number_bytes(text, value))


cdef void put_record(Bytes& out, const AccountRecord* record) noexcept nogil:
    """A record without version and checksum."""
    cdef uint64_t flags = STORAGE_COMPLETE if record.storage_complete else 0
    if record.presence == IS_ABSENT:
        flags |= ABSENT
    put_integer(out, flags, 1)
    put_integer(out, record.generation, 4)
    put_integer(out, record.slot_count, 8)
    put_integer(out, record.nonce, 8)
    out.add(record.code_hash, 32)
    put_number(out, &record.balance)


cdef void record_value(Bytes& out, const AccountRecord* record) noexcept nogil:
    put_integer(out, VERSION, 1)
    put_record(out, record)
    put_integer(out, crc32(<const uint8_t*>out.data(), out.size()), 4)


cdef bint same_record(const AccountRecord* a, const AccountRecord* b) noexcept nogil:
    return (
        a.presence == b.presence and a.storage_complete == b.storage_complete and a.generation == b.generation
        and a.slot_count == b.slot_count and a.nonce == b.nonce and u_eq(&a.balance, &b.balance)
        and memcmp(a.code_hash, b.code_hash, 32) == 0
    )


cdef object record_object(const AccountRecord* record):
    if record.presence == NO_KEY:
        return None
    return Record(
        record.nonce, u256_to_int(&record.balance), PyBytes_FromStringAndSize(<const char*>record.code_hash, 32),
        record.generation, record.slot_count, bool(record.storage_complete), record.presence == IS_ABSENT,
    )


cdef size_t decimal(uint8_t* out, uint64_t number) noexcept nogil:
    cdef uint8_t[20] text
    cdef size_t at = 20
    while True:
        at -= 1
        text[at] = <uint8_t>(c"0" + number % 10)
        number //= 10
        if number == 0:
            break
    memcpy(out, text + at, 20 - at)
    return 20 - at


cdef bytes storage_key(bytes prefix, const uint8_t* address, unsigned int generation):
    cdef uint8_t[MOST_NAME] name
    return prefix + b":s:" + PyBytes_FromStringAndSize(<const char*>name, storage_name(name, address, generation))


cdef size_t storage_name(uint8_t* out, const uint8_t* address, unsigned int generation) noexcept nogil:
    memcpy(out, address, 20)
    return 20 + (decimal(out + 20, generation) if generation else 0)


# ------------------------------------------------------------------------------------------------------- changes

cdef class ChangeSet:
    """The changes of one feed entry, natively (see `feed.Changes`)."""

    def __cinit__(self):
        self.codes = {}
        self.ahead = 0

    @property
    def codes(self) -> dict:
        """New codes by their hash."""
        return self.codes

    def __len__(self):
        return self.accounts.size()

    @property
    def slot_count(self) -> int:
        """The number of slots that change."""
        return self.slots.size()

    @staticmethod
    def decode(bytes data not None, bytes key not None) -> ChangeSet:
        """The changes in the field `d` of a feed entry of `key`. Raises `StateCorrupted`."""
        cdef ChangeSet changes = ChangeSet()
        cdef vector[NewCode] codes
        cdef LayoutReader* reader = new LayoutReader(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        cdef NewCode code
        try:
            if not reader.changes(changes.accounts, changes.slots, codes):
                raise StateCorrupted(
                    f"{show_key(key)}: feed entry: changes: {reader.problem.decode()}, at byte {reader.at}"
                )
        finally:
            del reader
        for code in codes:
            changes.codes[PyBytes_FromStringAndSize(<const char*>code.hash, 32)] = (
                PyBytes_FromStringAndSize(<const char*>code.data, code.size)
            )
        return changes

    def encode(self) -> bytes:
        """The field `d` of a feed entry."""
        cdef Bytes out
        self.encode_into(out)
        return PyBytes_FromStringAndSize(out.data(), out.size())

    cdef void encode_ahead(self, size_t first_slot, size_t count) noexcept nogil:
        cdef Section section
        cdef size_t i
        section.first_slot = first_slot
        section.at = self.text.size()
        for i in range(first_slot, first_slot + count):
            put_slot(self.text, &self.slots[i])
        section.size = self.text.size() - section.at
        self.sections.push_back(section)
        self.ahead = first_slot + count

    cdef bint is_ahead(self, const ChangedAccount* account) noexcept nogil:
        return account.slot_count != 0 and account.first_slot < self.ahead

    cdef int encode_into(self, Bytes& out) except -1:
        cdef bytes code_hash, code
        self.encode_accounts(out)
        put_integer(out, len(self.codes), 4)
        for code_hash, code in sorted(self.codes.items()):
            out.add(PyBytes_AS_STRING(code_hash), 32)
            put_integer(out, PyBytes_GET_SIZE(code), 4)
            out.add(PyBytes_AS_STRING(code), PyBytes_GET_SIZE(code))
        put_integer(out, crc32(<const uint8_t*>out.data(), out.size()), 4)
        if out.failed() or self.text.failed():
            raise ResourceError("no memory for a feed entry")
        return 0

    cdef void encode_accounts(self, Bytes& out) noexcept nogil:
        cdef const ChangedAccount* account
        cdef const Section* section
        cdef size_t next_section = 0
        cdef size_t i, j
        cdef uint64_t flags
        put_integer(out, VERSION, 1)
        put_integer(out, self.accounts.size(), 4)
        for i in range(self.accounts.size()):
            account = &self.accounts[i]
            flags = WIPED if account.wiped else 0
            flags |= OLD_THERE if account.before.presence != NO_KEY else 0
            flags |= NEW_THERE if account.after.presence != NO_KEY else 0
            out.add(account.address, 20)
            put_integer(out, flags, 1)
            if flags & OLD_THERE:
                put_record(out, &account.before)
            if flags & NEW_THERE:
                put_record(out, &account.after)
            put_integer(out, account.slot_count, 4)
            if self.is_ahead(account):
                # Accounts and sections are both sorted by address.
                while self.sections[next_section].first_slot != account.first_slot:
                    next_section += 1
                section = &self.sections[next_section]
                out.add(self.text.data() + section.at, section.size)
                continue
            for j in range(account.first_slot, account.first_slot + account.slot_count):
                put_slot(out, &self.slots[j])

    def invert(self, without=()) -> ChangeSet:
        """The reverse changes, of all accounts except `without`. Codes stay where they are."""
        cdef ChangeSet back = ChangeSet()
        cdef ChangedAccount account
        cdef ChangedSlot slot
        back.slots = self.slots
        for account in self.accounts:
            if without and PyBytes_FromStringAndSize(<const char*>account.address, 20) in without:
                continue
            account.before, account.after = account.after, account.before
            back.accounts.push_back(account)
        cdef size_t i
        for i in range(back.slots.size()):
            slot = back.slots[i]
            back.slots[i].before = slot.after
            back.slots[i].after = slot.before
        return back

    def records(self) -> list:
        """Each account's address, and its records before and after; None: there is no key."""
        cdef ChangedAccount* account
        cdef size_t i
        found = []
        for i in range(self.accounts.size()):
            account = &self.accounts[i]
            found.append((
                PyBytes_FromStringAndSize(<const char*>account.address, 20),
                record_object(&account.before), record_object(&account.after),
            ))
        return found

    def needed_codes(self) -> set:
        """Hashes of the codes that new records name and old records do not."""
        cdef ChangedAccount* account
        cdef size_t i
        needed = set()
        for i in range(self.accounts.size()):
            account = &self.accounts[i]
            if account.after.presence == EXISTS and memcmp(account.before.code_hash, account.after.code_hash, 32) != 0:
                needed.add(PyBytes_FromStringAndSize(<const char*>account.after.code_hash, 32))
        needed.discard(EMPTY_CODE_HASH)
        return needed
