"""The commands that bring the keys of a state from old to new. See `_commands.pxd`."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from evmcore._u256 cimport u256, u_is_zero, u_to_be
from evmcore.state._cache_native cimport EXISTS, NO_KEY
from evmcore.state._changes cimport MOST_NAME, put_value, record_value, same_record, storage_key, storage_name
from evmcore.state._requests cimport write_key, write_part
from evmcore.state._wire cimport Bytes

from evmcore.state import layout
from evmcore.state.planning import table_commands

cdef uint64_t LONGEST_LIST = layout.LONGEST_LIST

cdef enum:
    # Fields of one command: a server keeps the parts of a command in one block of memory.
    FIELDS_PER_COMMAND = 512


@cython.auto_pickle(False)
cdef class Commands:
    """Adds to a request, which begins with MULTI, the commands that change the state."""

    def __init__(self, Request request not None, bytes prefix not None):
        self.request = request
        self.prefix = prefix
        self.accounts = prefix + b":a:"
        self.storages = prefix + b":s:"

    def write_codes(self, ChangeSet changes not None) -> None:
        """Adds the commands for codes."""
        for code_hash, code in changes.codes.items():
            self.request.add(b"SET", b"%b:c:%b" % (self.prefix, code_hash), code)

    def write(self, ChangeSet changes not None) -> None:
        """Adds the commands for accounts and storage."""
        cdef ChangedAccount* account
        cdef size_t i
        for i in range(changes.accounts.size()):
            account = &changes.accounts[i]
            self.storage(account, changes.slots.data())
            if grows_long(account):
                key = storage_key(self.prefix, account.address, account.after.generation)
                self.request.extend(table_commands(key))
            self.record(account)

    def write_entry(self, ChangeSet changes not None, list place not None, list fields not None) -> None:
        """Adds the command of a feed entry: the words `place` and `fields`, then `d` with the changes."""
        cdef Request request = self.request
        cdef bytes word
        request.part.clear()
        changes.encode_into(request.part)
        request.command(len(place) + len(fields) + 2)
        for word in [*place, *fields, b"d"]:
            write_part(request.out, PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
        write_part(request.out, request.part.data(), request.part.size())

    def unexpected(self, list replies not None) -> object:
        """The index of the first reply that reports a number of fields other than the expected one."""
        cdef Effect effect
        for effect in self.effects:
            if replies[effect.command - 1] != effect.count:
                return effect.command - 1
        return None

    # ---- one account

    cdef int record(self, const ChangedAccount* account) except -1:
        cdef Request request = self.request
        cdef bint goes = account.after.presence == NO_KEY
        if not goes and same_record(&account.before, &account.after):
            return 0
        request.command(2 if goes else 3)
        write_part(request.out, b"DEL" if goes else b"SET", 3)
        write_key(request.out, PyBytes_AS_STRING(self.accounts), PyBytes_GET_SIZE(self.accounts), account.address, 20)
        if not goes:
            request.part.clear()
            record_value(request.part, &account.after)
            write_part(request.out, request.part.data(), request.part.size())
        return 0

    cdef int storage(self, const ChangedAccount* account, const ChangedSlot* slots) except -1:
        cdef bint comes = account.before.presence != EXISTS
        cdef bint goes = account.after.presence != EXISTS
        if account.wiped or (account.slot_count and (comes or goes)):
            self.unlink(account)
        if goes or not account.slot_count:
            return 0
        self.fields(account, slots, True)
        if not account.wiped:
            self.fields(account, slots, False)
        return 0

    cdef int unlink(self, const ChangedAccount* account) except -1:
        """Deletes the new hash, which should not exist: fields left by another program must not mix with it."""
        generations = set()
        if account.before.presence != NO_KEY:
            generations.add(account.before.generation)
        if account.after.presence != NO_KEY:
            generations.add(account.after.generation)
        self.request.add(
            b"UNLINK", *(storage_key(self.prefix, account.address, generation) for generation in sorted(generations))
        )
        return 0

    cdef int fields(self, const ChangedAccount* account, const ChangedSlot* slots, bint put) except -1:
        """Puts the slots that the hash has afterwards, or removes the others from it."""
        cdef Request request = self.request
        cdef const ChangedSlot* slot
        cdef Effect effect
        cdef uint8_t[MOST_NAME] name
        cdef size_t name_size = storage_name(name, account.address, account.after.generation)
        cdef size_t end = account.first_slot + account.slot_count
        cdef size_t left = 0
        cdef size_t now = 0
        cdef size_t i
        for i in range(account.first_slot, end):
            left += stays(account, &slots[i]) == put
        for i in range(account.first_slot, end):
            slot = &slots[i]
            if stays(account, slot) != put:
                continue
            if now == 0:
                now = left if left < FIELDS_PER_COMMAND else FIELDS_PER_COMMAND
                left -= now
                effect.command = request.count
                effect.count = 0
                request.command(2 + (2 * now if put else now))
                write_part(request.out, b"HSET" if put else b"HDEL", 4)
                write_key(
                    request.out, PyBytes_AS_STRING(self.storages), PyBytes_GET_SIZE(self.storages), name, name_size
                )
            put_name(request.out, &slot.key)
            if put:
                put_value(request.out, &slot.after.value)
            # HSET returns the number of new fields, HDEL the number of removed ones.
            effect.count += (account.wiped or not there_before(account, slot)) if put else there_before(account, slot)
            now -= 1
            if now == 0:
                self.effects.push_back(effect)
        return 0


cdef inline void put_name(Bytes& out, const u256* key) noexcept nogil:
    """A slot's name as a part of a command."""
    cdef char* place = out.room(39)
    if place == NULL:
        return
    memcpy(place, b"$32\r\n", 5)
    u_to_be(<uint8_t*>place + 5, key)
    memcpy(place + 37, b"\r\n", 2)
    out.grew(39)


cdef inline bint grows_long(const ChangedAccount* account) noexcept nogil:
    """Whether the hash gets more fields than a list should have."""
    if account.after.presence != EXISTS or account.after.slot_count <= LONGEST_LIST:
        return False
    return account.before.presence != EXISTS or account.wiped or account.before.slot_count <= LONGEST_LIST


cdef inline bint stays(const ChangedAccount* account, const ChangedSlot* slot) noexcept nogil:
    """Whether the slot has a field in the hash afterwards."""
    return slot.after.known and not (account.after.storage_complete and u_is_zero(&slot.after.value))


cdef inline bint there_before(const ChangedAccount* account, const ChangedSlot* slot) noexcept nogil:
    if account.before.presence != EXISTS or not slot.before.known:
        return False
    return not account.before.storage_complete or not u_is_zero(&slot.before.value)
