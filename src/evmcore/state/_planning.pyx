"""The changes in Redis that a block's state diff makes, natively. See `_planning.pxd`."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy
from libcpp.algorithm cimport sort as sort_range

from evmcore._diff_data cimport AccountState
from evmcore._u256 cimport u256, u256_to_int, u_eq, u_from_be, u_is_zero, u_lt, u_to_be, u_zero
from evmcore.state._cache_native cimport EXISTS, IS_ABSENT, NO_KEY, parse_record, read_value, record_without_account
from evmcore.state._changes cimport MOST_NAME, ChangedAccount, SlotValue, same_record, storage_key, storage_name
from evmcore.state._requests cimport write_key, write_part
from evmcore.state._wire cimport Node

from evmcore.errors import InputError, StateCorrupted, StateError
from evmcore.state.layout import show_key

cdef struct Stored:
    u256 key
    SlotValue value


cdef bint stored_before(const Stored& a, const Stored& b) noexcept nogil:
    return u_lt(&a.key, &b.key)


cdef str fields_text(bint exists, uint64_t nonce, const u256* balance, const uint8_t* code_hash):
    if not exists:
        return "absent"
    digest = PyBytes_FromStringAndSize(<const char*>code_hash, 32).hex()
    return f"nonce {nonce}, balance {u256_to_int(balance)}, code hash 0x{digest}"


cdef str account_name(const Touched* account):
    return f"account 0x{PyBytes_FromStringAndSize(<const char*>account.address, 20).hex()}"


cdef inline bint is_there(const AccountRecord* record) noexcept nogil:
    return record.presence == EXISTS


cdef class Plan:
    """Turns one diff into changes: requests the stored values, compares them, and determines the changes."""

    def __init__(self, StateDiff diff not None, bytes prefix not None, size_t checked_slots, uint64_t seed=1):
        self.diff = diff.present()
        self.prefix = prefix
        self.changes = ChangeSet()
        self.changes.slots.reserve(diff.slot_count)
        self.group()
        self.choose(checked_slots, seed)

    @property
    def touched(self) -> int:
        """The number of accounts in the diff."""
        return self.touched.size()

    cdef int group(self) except -1:
        """Joins the diff's accounts and slots, both of which are sorted by address."""
        cdef Touched account
        cdef size_t i = 0
        cdef size_t j = 0
        cdef int order
        while i < self.diff.account_count or j < self.diff.slot_count:
            if i == self.diff.account_count:
                order = 1
            elif j == self.diff.slot_count:
                order = -1
            else:
                order = memcmp(self.diff.accounts[i].address, self.diff.slots[j].address, 20)
            account.change = NULL
            if order <= 0:
                account.change = &self.diff.accounts[i]
                account.address = &account.change.address[0]
                i += 1
            else:
                account.address = &self.diff.slots[j].address[0]
            account.first_slot = j
            while j < self.diff.slot_count and memcmp(self.diff.slots[j].address, account.address, 20) == 0:
                if j > account.first_slot and not u_lt(&self.diff.slots[j - 1].key, &self.diff.slots[j].key):
                    raise InputError("argument 'diff': slots are out of order")
                j += 1
            account.slot_count = j - account.first_slot
            account.tracked = False
            account.record = record_without_account(NO_KEY)
            account.asked = NOTHING
            account.asked_generation = 0
            account.asked_all = False
            account.reply = 0
            account.foreseen = False
            if self.touched.size() and memcmp(self.touched.back().address, account.address, 20) >= 0:
                raise InputError("argument 'diff': accounts are out of order")
            self.touched.push_back(account)
        return 0

    cdef void choose(self, size_t count, uint64_t seed) noexcept:
        """Chooses `count` slots to compare; every choice is equally likely."""
        cdef size_t total = self.diff.slot_count
        cdef size_t i
        cdef uint64_t number = seed | 1
        self.chosen.assign(total, count >= total)
        if count >= total:
            return
        for i in range(total):
            # xorshift64*; `count` of the remaining slots are still to be chosen.
            number ^= number >> 12
            number ^= number << 25
            number ^= number >> 27
            if (number * <uint64_t>0x2545F4914F6CDD1D >> 32) % (total - i) < count:
                self.chosen[i] = True
                count -= 1

    cdef bytes key(self, const Touched* account, uint32_t generation):
        return storage_key(self.prefix, account.address, generation)

    cdef bint is_destroyed(self, const Touched* account) noexcept:
        """Whether the diff destroys the account's storage."""
        return account.change != NULL and (account.change.wiped or not account.change.new.exists)

    # ---- records

    def ask_records(self, Request request not None) -> None:
        """Adds the command for the records of the diff's accounts."""
        cdef bytes prefix = self.prefix + b":a:"
        cdef size_t i
        if self.touched.empty():
            return
        request.command(1 + self.touched.size())
        write_part(request.out, b"MGET", 4)
        for i in range(self.touched.size()):
            write_key(request.out, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix), self.touched[i].address, 20)

    def take_records(self, Replies replies not None, size_t index, bint complete) -> None:
        """Reads the reply to `ask_records`."""
        cdef const Node* node
        cdef Touched* account
        cdef size_t i
        cdef const char* problem = NULL
        self.complete = complete
        if self.touched.empty():
            return
        node = replies.node(index)
        if node.type != c"*" or <size_t>node.number != self.touched.size():
            raise StateCorrupted("MGET: the Redis server sent another number of records than were asked for")
        for i in range(self.touched.size()):
            account = &self.touched[i]
            node += 1
            if node.type == c"$":
                if not parse_record(replies.bytes_of(node), <size_t>node.number, &account.record, &problem):
                    key = self.prefix + b":a:" + PyBytes_FromStringAndSize(<const char*>account.address, 20)
                    raise StateCorrupted(f"{show_key(key)}: {problem.decode()}")
            elif node.type != c"_":
                raise StateCorrupted("MGET: the Redis server sent something that is not a record")
            else:
                account.record = record_without_account(NO_KEY)
            account.tracked = complete or node.type == c"$"
            if account.tracked:
                self.check_fields(account)

    cdef int check_fields(self, const Touched* account) except -1:
        """Checks that the record is the one that the diff starts from."""
        cdef const AccountRecord* record = &account.record
        cdef const AccountState* old
        if account.change == NULL:
            if record.presence != EXISTS:
                raise StateError(
                    f"cannot apply the diff: slots of {account_name(account)} change, which is absent in the state"
                )
            return 0
        old = &account.change.old
        if old.exists == (record.presence == EXISTS) and (not old.exists or (
            old.nonce == record.nonce and u_eq(&old.balance, &record.balance)
            and memcmp(old.code_hash, record.code_hash, 32) == 0
        )):
            return 0
        found = fields_text(record.presence == EXISTS, record.nonce, &record.balance, record.code_hash)
        expected = fields_text(old.exists, old.nonce, &old.balance, old.code_hash)
        raise StateError(
            f"cannot apply the diff: {account_name(account)} is {found} in the state, but {expected} in the diff"
        )

    # ---- storage

    def ask_storage(self, Request request not None, dict generations=None) -> None:
        """Adds the commands for the storage of the accounts."""
        cdef Touched* account
        cdef size_t i, j, count
        cdef uint8_t[32] name
        cdef bytes prefix = self.prefix + b":s:"
        cdef uint8_t[MOST_NAME] key
        cdef size_t size
        cdef bint guessing = generations is not None
        for i in range(self.touched.size()):
            account = &self.touched[i]
            account.asked = NOTHING
            account.reply = request.count
            if guessing:
                account.asked_generation = 0
                if generations:
                    address = PyBytes_FromStringAndSize(<const char*>account.address, 20)
                    account.asked_generation = generations.get(address, 0)
                # A new account has no storage; for any other account, only the record has the generation.
                if account.change != NULL and not account.change.old.exists:
                    continue
            else:
                account.asked_generation = account.record.generation
                if not needs_storage(account):
                    continue
            size = storage_name(key, account.address, account.asked_generation)
            if self.is_destroyed(account) and (guessing or is_there(&account.record)):
                account.asked = WHOLE
                request.command(2)
                write_part(request.out, b"HGETALL", 7)
                write_key(request.out, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix), key, size)
                continue
            account.asked = COUNT
            request.command(2)
            write_part(request.out, b"HLEN", 4)
            write_key(request.out, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix), key, size)
            account.asked_all = not guessing and not account.record.storage_complete
            count = 0
            for j in range(account.first_slot, account.first_slot + account.slot_count):
                count += account.asked_all or self.chosen[j]
            if count == 0:
                continue
            request.command(2 + count)
            write_part(request.out, b"HMGET", 5)
            write_key(request.out, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix), key, size)
            for j in range(account.first_slot, account.first_slot + account.slot_count):
                if account.asked_all or self.chosen[j]:
                    u_to_be(name, &self.diff.slots[j].key)
                    write_part(request.out, name, 32)

    # ---- encoding before the stored values are known

    def foresee(self) -> None:
        """Encodes the slots of accounts that stay, assuming that the accounts are like most."""
        cdef Touched* account
        cdef size_t i
        for i in range(self.touched.size()):
            account = &self.touched[i]
            if account.slot_count == 0 or account.asked != COUNT or self.is_destroyed(account):
                continue
            account.foreseen_slot = self.changes.slots.size()
            account.growth = self.slots_of_diff(account)
            account.foreseen_count = self.changes.slots.size() - account.foreseen_slot
            account.foreseen = account.foreseen_count != 0
            if account.foreseen:
                self.changes.encode_ahead(account.foreseen_slot, account.foreseen_count)

    def forget_foreseen(self) -> None:
        """Discards the encoding, because the assumption was wrong."""
        cdef size_t i
        self.changes = ChangeSet()
        self.changes.slots.reserve(self.diff.slot_count)
        for i in range(self.touched.size()):
            self.touched[i].foreseen = False

    cdef int64_t slots_of_diff(self, const Touched* account) except? -1:
        """Adds the slots that the diff changes; returns by how many the account's number of slots grows."""
        cdef const SlotChange* slot
        cdef ChangedSlot entry
        cdef int64_t growth = 0
        cdef size_t j
        entry.before.known = True
        entry.after.known = True
        for j in range(account.first_slot, account.first_slot + account.slot_count):
            slot = &self.diff.slots[j]
            if u_eq(&slot.old, &slot.new):
                continue
            entry.key = slot.key
            entry.before.value = slot.old
            entry.after.value = slot.new
            growth += u_is_zero(&slot.old)
            growth -= u_is_zero(&slot.new)
            self.changes.slots.push_back(entry)
        return growth

    def answered(self) -> bool:
        """Whether the storage requested before the records were known is the right one."""
        cdef Touched* account
        cdef size_t i
        for i in range(self.touched.size()):
            account = &self.touched[i]
            if account.foreseen and not (account.tracked and is_there(&account.record)):
                return False
            if not needs_storage(account):
                account.asked = NOTHING
            elif account.asked == NOTHING or account.asked_generation != account.record.generation:
                return False
            elif (account.asked == WHOLE) != (self.is_destroyed(account) and is_there(&account.record)):
                return False
            elif account.asked == COUNT and not account.record.storage_complete:
                return False
        return True

    def generations(self) -> dict:
        """The generations of the accounts' storage that are not 0, once the records are known."""
        cdef size_t i
        return {
            PyBytes_FromStringAndSize(<const char*>self.touched[i].address, 20): self.touched[i].record.generation
            for i in range(self.touched.size()) if self.touched[i].record.generation
        }

    def finish(self, Replies replies not None) -> ChangeSet:
        """The changes, once the storage is known; without codes."""
        cdef size_t i
        self.changes.accounts.reserve(self.touched.size())
        for i in range(self.touched.size()):
            if self.touched[i].tracked:
                self.account(&self.touched[i], replies)
        return self.changes

    cdef int account(self, const Touched* account, Replies replies) except -1:
        cdef ChangedAccount changed
        cdef const AccountState* new
        cdef bint destroyed = is_there(&account.record) and self.is_destroyed(account)
        memcpy(changed.address, account.address, 20)
        changed.before = account.record
        changed.after = account.record
        changed.wiped = destroyed
        changed.first_slot = account.foreseen_slot if account.foreseen else self.changes.slots.size()
        if account.change != NULL:
            new = &account.change.new
            changed.after.nonce = new.nonce
            changed.after.balance = new.balance
            memcpy(changed.after.code_hash, new.code_hash, 32)
            changed.after.presence = EXISTS
            if destroyed or not is_there(&account.record):
                changed.after.storage_complete = True
            if destroyed and account.record.slot_count:
                changed.after.generation = account.record.generation + 1
        # `after.slot_count` becomes the number of slots afterwards.
        if destroyed:
            self.slots_destroyed(account, replies, &changed)
        elif account.foreseen:
            self.compare_chosen(account, self.stored_values(account, replies), replies)
            changed.after.slot_count += <uint64_t>account.growth
        else:
            self.slots_changed(account, replies, &changed)
        if account.change != NULL and not account.change.new.exists:
            if changed.after.slot_count:
                raise StateError(
                    f"cannot apply the diff: {account_name(account)} is absent after it, but has slots"
                )
            generation = changed.after.generation
            changed.after = record_without_account(NO_KEY if self.complete else IS_ABSENT)
            changed.after.generation = 0 if self.complete else generation
        changed.slot_count = (
            account.foreseen_count if account.foreseen else self.changes.slots.size() - changed.first_slot
        )
        if changed.slot_count or not same_record(&changed.before, &changed.after):
            self.changes.accounts.push_back(changed)
        return 0

    cdef const Node* stored_values(self, const Touched* account, Replies replies) except? NULL:
        """The array of the requested values, NULL if none were requested; compares the number of slots."""
        cdef const Node* count
        cdef const Node* values = NULL
        cdef size_t expected = 0
        cdef size_t j
        cdef uint64_t stored = 0
        if account.asked == COUNT:
            count = replies.node(account.reply)
            if count.type != c":":
                raise StateCorrupted("HLEN: the Redis server sent something that is not a number")
            stored = <uint64_t>count.number
            for j in range(account.first_slot, account.first_slot + account.slot_count):
                expected += account.asked_all or self.chosen[j]
            if expected:
                values = replies.node(account.reply + 1)
                if values.type != c"*" or <size_t>values.number != expected:
                    raise StateCorrupted("HMGET: the Redis server sent another number of values than were asked for")
        if stored != account.record.slot_count:
            self.lost(account, stored)
        return values

    cdef int compare_chosen(self, const Touched* account, const Node* value, Replies replies) except -1:
        """Checks that the chosen slots are those that the diff starts from. `value`: the array of their stored values."""
        cdef const SlotChange* slot
        cdef SlotValue stored
        cdef size_t j
        if value == NULL:
            return 0
        for j in range(account.first_slot, account.first_slot + account.slot_count):
            if self.chosen[j]:
                slot = &self.diff.slots[j]
                value += 1
                self.stored_value(account, &slot.key, value, replies, &stored)
                if not u_eq(&stored.value, &slot.old):
                    self.other_value(account, slot, &stored.value)
        return 0

    cdef int slots_changed(self, const Touched* account, Replies replies, ChangedAccount* changed) except -1:
        cdef const SlotChange* slot
        cdef const Node* value = self.stored_values(account, replies)
        cdef ChangedSlot entry
        cdef size_t j
        cdef bint complete = account.record.storage_complete
        for j in range(account.first_slot, account.first_slot + account.slot_count):
            slot = &self.diff.slots[j]
            entry.key = slot.key
            entry.before.value = slot.old
            entry.before.known = True
            entry.after.value = slot.new
            entry.after.known = True
            if value != NULL and (account.asked_all or self.chosen[j]):
                value += 1
                self.stored_value(account, &slot.key, value, replies, &entry.before)
            elif account.asked == NOTHING:
                u_zero(&entry.before.value)        # there is no storage
            if entry.before.known and not u_eq(&entry.before.value, &slot.old):
                self.other_value(account, slot, &entry.before.value)
            if complete:
                if not u_is_zero(&entry.before.value):
                    changed.after.slot_count -= 1
                if not u_is_zero(&slot.new):
                    changed.after.slot_count += 1
            elif not entry.before.known:
                changed.after.slot_count += 1
            if not entry.before.known or not u_eq(&entry.before.value, &slot.new):
                self.changes.slots.push_back(entry)
        return 0

    cdef int slots_destroyed(self, const Touched* account, Replies replies, ChangedAccount* changed) except -1:
        """Adds all slots that were stored, and all that the diff lists."""
        cdef vector[Stored] stored
        cdef Stored one
        cdef const Node* node = NULL
        cdef ChangedSlot entry
        cdef const SlotChange* slot
        cdef size_t i = 0
        cdef size_t j = account.first_slot
        cdef size_t end = account.first_slot + account.slot_count
        cdef bint was_stored, is_listed
        if account.asked == WHOLE:
            node = replies.node(account.reply)
            if node.type != c"*" or node.number % 2:
                raise StateCorrupted("HGETALL: the Redis server sent something that is not a hash")
            stored.reserve(<size_t>node.number // 2)
            for i in range(<size_t>node.number // 2):
                node += 1
                if node.type != c"$" or node.number != 32:
                    raise StateCorrupted(f"{show_key(self.key(account, account.asked_generation))}: a field is no slot")
                u_from_be(&one.key, <const uint8_t*>replies.bytes_of(node))
                node += 1
                self.stored_value(account, &one.key, node, replies, &one.value)
                stored.push_back(one)
            sort_range(stored.begin(), stored.end(), &stored_before)
        if stored.size() != account.record.slot_count:
            self.lost(account, stored.size())
        changed.after.slot_count = 0
        i = 0
        while i < stored.size() or j < end:
            slot = &self.diff.slots[j]
            was_stored = i < stored.size() and (j == end or not u_lt(&slot.key, &stored[i].key))
            is_listed = j < end and (i == stored.size() or not u_lt(&stored[i].key, &slot.key))
            entry.key = stored[i].key if was_stored else slot.key
            entry.before.known = was_stored or account.record.storage_complete
            u_zero(&entry.before.value)
            if was_stored:
                entry.before.value = stored[i].value.value
            entry.after.known = True
            u_zero(&entry.after.value)
            if is_listed:
                entry.after.value = slot.new
                if entry.before.known and not u_eq(&entry.before.value, &slot.old):
                    self.other_value(account, slot, &entry.before.value)
                j += 1
            if was_stored:
                i += 1
            if not u_is_zero(&entry.after.value):
                changed.after.slot_count += 1
            if was_stored or not entry.before.known or not u_eq(&entry.before.value, &entry.after.value):
                self.changes.slots.push_back(entry)
        return 0

    cdef int stored_value(
        self, const Touched* account, const u256* key, const Node* node, Replies replies, SlotValue* out
    ) except -1:
        """The stored value of a slot."""
        cdef uint8_t[32] name
        cdef const uint8_t* data
        out.known = True
        u_zero(&out.value)
        if node.type == c"_":
            out.known = account.record.storage_complete
            return 0
        data = <const uint8_t*>replies.bytes_of(node)
        if node.type == c"$" and read_value(data, <size_t>node.number, &out.value):
            if node.number or not account.record.storage_complete:
                return 0
        u_to_be(name, key)
        where = f"{show_key(self.key(account, account.asked_generation))}: slot 0x{name[:32].hex()}"
        if node.type == c"$" and node.number == 0:
            raise StateCorrupted(f"{where} is zero, which is not stored")
        size = <size_t>node.number if node.type == c"$" else 0
        raise StateCorrupted(
            f"{where} has the value 0x{data[:size].hex():.80}, at most 32 bytes without leading zeros are right"
        )

    cdef int lost(self, const Touched* account, uint64_t count) except -1:
        raise StateCorrupted(
            f"{show_key(self.key(account, account.record.generation))}: {count} slots, the account record has "
            f"{account.record.slot_count}: some are lost"
        )

    cdef int other_value(self, const Touched* account, const SlotChange* slot, const u256* found) except -1:
        raise StateError(
            f"cannot apply the diff: slot {u256_to_int(&slot.key):#x} of {account_name(account)} is "
            f"{u256_to_int(found):#x} in the state, but {u256_to_int(&slot.old):#x} in the diff"
        )


cdef bint needs_storage(const Touched* account) noexcept nogil:
    """Whether the account's change affects its storage."""
    if not account.tracked or account.record.presence == NO_KEY:
        return False
    return account.record.slot_count != 0 or account.slot_count != 0
