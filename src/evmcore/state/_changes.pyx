"""The changes of one feed entry, natively. See `_changes.pxd`."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from evmcore._u256 cimport u256_to_int, u_byte_len, u_eq, u_is_zero, u_to_be
from evmcore.state._cache_native cimport EXISTS, IS_ABSENT, NO_KEY, Presence
from evmcore.state._requests cimport write_part, write_size

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
    # Fields of one command, so that no single one holds the server up for long.
    FIELDS_PER_COMMAND = 4096


# ------------------------------------------------------------------------------------------------ numbers and records

cdef void put_integer(Bytes& out, uint64_t value, int size) noexcept nogil:
    cdef uint8_t[8] text
    cdef int i
    for i in range(size):
        text[i] = <uint8_t>(value >> (8 * (size - 1 - i)))
    out.add(text, size)


cdef inline size_t value_bytes(uint8_t* out, const u256* value) noexcept nogil:
    """Big-endian without leading zeros, into 32 bytes; gives the size."""
    cdef uint8_t[32] text
    cdef size_t size = u_byte_len(value)
    u_to_be(text, value)
    memcpy(out, text + 32 - size, size)
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


cdef size_t storage_suffix(uint8_t* out, const uint8_t* address, unsigned int generation) noexcept nogil:
    memcpy(out, b":s:", 3)
    memcpy(out + 3, address, 20)
    return 23 + (decimal(out + 23, generation) if generation else 0)


# ------------------------------------------------------------------------------------------------------- changes

cdef class ChangeSet:
    """What one feed entry changes, natively (see `layout.Changes`)."""

    def __cinit__(self):
        self.codes = {}

    @property
    def codes(self) -> dict:
        """New codes by their hash."""
        return self.codes

    def __len__(self):
        return self.accounts.size()

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
        self.encode_codes(out)
        return PyBytes_FromStringAndSize(out.data(), out.size())

    cdef void encode_into(self, Bytes& out) noexcept nogil:
        cdef const ChangedAccount* account
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
            for j in range(account.first_slot, account.first_slot + account.slot_count):
                put_slot(out, &self.slots[j])

    cdef int encode_codes(self, Bytes& out) except -1:
        cdef bytes code_hash, code
        put_integer(out, len(self.codes), 4)
        for code_hash, code in sorted(self.codes.items()):
            out.add(PyBytes_AS_STRING(code_hash), 32)
            put_integer(out, PyBytes_GET_SIZE(code), 4)
            out.add(PyBytes_AS_STRING(code), PyBytes_GET_SIZE(code))
        put_integer(out, crc32(<const uint8_t*>out.data(), out.size()), 4)
        if out.failed():
            raise ResourceError("no memory for a feed entry")
        return 0

    def invert(self, without=()) -> ChangeSet:
        """The changes that lead back, of all accounts but some. Codes stay where they are."""
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
        """Each account's address, its record before and after; None: there is no key."""
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
        """Hashes of the codes that new records name and old ones do not."""
        cdef ChangedAccount* account
        cdef size_t i
        needed = set()
        for i in range(self.accounts.size()):
            account = &self.accounts[i]
            if account.after.presence == EXISTS and memcmp(account.before.code_hash, account.after.code_hash, 32) != 0:
                needed.add(PyBytes_FromStringAndSize(<const char*>account.after.code_hash, 32))
        needed.discard(EMPTY_CODE_HASH)
        return needed

    # ---- commands

    def write(self, Request request not None, bytes prefix not None) -> None:
        """Adds the commands that bring the keys of accounts, storage and codes from old to new."""
        cdef ChangedAccount* account
        cdef size_t i
        cdef Bytes value
        cdef bytes key
        self.effects.clear()
        for code_hash, code in self.codes.items():
            request.add(b"SET", b"%b:c:%b" % (prefix, code_hash), code)
        for i in range(self.accounts.size()):
            account = &self.accounts[i]
            self.write_storage(request, account, prefix)
            key = b"%b:a:%b" % (prefix, PyBytes_FromStringAndSize(<const char*>account.address, 20))
            if account.after.presence == NO_KEY:
                request.add(b"DEL", key)
            elif not same_record(&account.before, &account.after):
                value.clear()
                put_integer(value, VERSION, 1)
                put_record(value, &account.after)
                put_integer(value, crc32(<const uint8_t*>value.data(), value.size()), 4)
                request.add(b"SET", key, PyBytes_FromStringAndSize(value.data(), value.size()))

    cdef void write_storage(self, Request request, const ChangedAccount* account, bytes prefix):
        """The commands for the storage hash of one account."""
        cdef bint comes = account.before.presence != EXISTS
        cdef bint goes = account.after.presence != EXISTS
        cdef uint8_t[40] suffix
        if account.wiped or (account.slot_count and (comes or goes)):
            # Of the new hash nothing should be there; what something else left behind must not mix with it.
            generations = set()
            if account.before.presence != NO_KEY:
                generations.add(account.before.generation)
            if account.after.presence != NO_KEY:
                generations.add(account.after.generation)
            keys = []
            for generation in sorted(generations):
                size = storage_suffix(suffix, account.address, generation)
                keys.append(prefix + PyBytes_FromStringAndSize(<const char*>suffix, size))
            request.add(b"UNLINK", *keys)
        if goes or not account.slot_count:
            return
        key = prefix + PyBytes_FromStringAndSize(
            <const char*>suffix, storage_suffix(suffix, account.address, account.after.generation)
        )
        self.write_fields(request, account, <const uint8_t*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    cdef void write_fields(self, Request request, const ChangedAccount* account, const uint8_t* key, size_t key_size):
        cdef const ChangedSlot* slot
        cdef uint8_t[32] value
        cdef Effect effect
        cdef size_t put = 0
        cdef size_t gone = 0
        cdef size_t i, left, now
        for i in range(account.first_slot, account.first_slot + account.slot_count):
            if stays(account, &self.slots[i]):
                put += 1
            elif not account.wiped:
                gone += 1
        left = put
        now = 0
        for i in range(account.first_slot, account.first_slot + account.slot_count):
            slot = &self.slots[i]
            if not stays(account, slot):
                continue
            if now == 0:
                now = left if left < FIELDS_PER_COMMAND else FIELDS_PER_COMMAND
                left -= now
                effect.command = request.count
                effect.count = 0
                self.effects.push_back(effect)
                request.command(2 + 2 * now)
                write_part(request.out, b"HSET", 4)
                write_part(request.out, key, key_size)
            now -= 1
            put_name(request.out, &slot.key)
            write_part(request.out, value, value_bytes(value, &slot.after.value))
            if account.wiped or not there_before(account, slot):
                self.effects[self.effects.size() - 1].count += 1
        left = gone
        now = 0
        if account.wiped:
            return
        for i in range(account.first_slot, account.first_slot + account.slot_count):
            slot = &self.slots[i]
            if stays(account, slot):
                continue
            if now == 0:
                now = left if left < FIELDS_PER_COMMAND else FIELDS_PER_COMMAND
                left -= now
                effect.command = request.count
                effect.count = 0
                self.effects.push_back(effect)
                request.command(2 + now)
                write_part(request.out, b"HDEL", 4)
                write_part(request.out, key, key_size)
            now -= 1
            put_name(request.out, &slot.key)
            if there_before(account, slot):
                self.effects[self.effects.size() - 1].count += 1

    def write_entry(self, Request request not None, list place not None, list fields not None) -> None:
        """Adds the command of a feed entry: the words `place` and `fields`, then `d` with the changes."""
        cdef bytes word
        request.part.clear()
        self.encode_into(request.part)
        self.encode_codes(request.part)
        request.command(len(place) + len(fields) + 2)
        for word in [*place, *fields, b"d"]:
            write_part(request.out, PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
        write_part(request.out, request.part.data(), request.part.size())

    def unexpected(self, list replies not None) -> object:
        """The index of the first reply that tells of another number of fields than the command had to change."""
        cdef Effect effect
        for effect in self.effects:
            if replies[effect.command - 1] != effect.count:
                return effect.command - 1
        return None


cdef inline void put_name(Bytes& out, const u256* key) noexcept nogil:
    """A slot's name as a part of a command."""
    cdef char* place = out.room(39)
    if place == NULL:
        return
    memcpy(place, b"$32\r\n", 5)
    u_to_be(<uint8_t*>place + 5, key)
    memcpy(place + 37, b"\r\n", 2)
    out.grew(39)


cdef inline bint stays(const ChangedAccount* account, const ChangedSlot* slot) noexcept nogil:
    """Whether the slot has a field in the hash afterwards."""
    return slot.after.known and not (account.after.storage_complete and u_is_zero(&slot.after.value))


cdef inline bint there_before(const ChangedAccount* account, const ChangedSlot* slot) noexcept nogil:
    if account.before.presence != EXISTS or not slot.before.known:
        return False
    return not account.before.storage_complete or not u_is_zero(&slot.before.value)
