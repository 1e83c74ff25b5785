"""State diffs as bytes and as JSON values. The binary form is described in `_diff_codec.pxd`."""
from collections.abc import Mapping
from zlib import crc32

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._diff_data cimport (
    AccountChange, AccountState, DiffData, SlotChange, absent_account, checked_account, checked_slot, same_account,
)
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._hash cimport keccak256
from evmcore._u256 cimport (
    u256, u256_from_int, u256_to_int, u_byte_len, u_eq, u_fits64, u_from_be_n, u_is_zero, u_lt, u_set64, u_to_be,
)

from evmcore.errors import InputError, ResourceError
from evmcore.types import to_address, to_bytes, to_hash, to_uint

cdef bytes MAGIC = b"EVMD"
cdef uint8_t VERSION = 1
cdef size_t CHECKSUM_SIZE = 4

cdef enum Flag:
    WIPED = 1
    EXISTED = 2
    EXISTS = 4
    NONCE_DIFFERS = 8
    BALANCE_DIFFERS = 16
    CODE_DIFFERS = 32
    ALL_FLAGS = 63


# ------------------------------------------------------------------------------------------------- bytes

@cython.auto_pickle(False)        # it would take `data` for text that ends with a zero byte
cdef class Writer:
    def __dealloc__(self):
        free(self.data)

    cdef uint8_t* room(self, size_t count) except NULL:
        cdef size_t capacity
        cdef void* bigger
        if self.capacity - self.size < count:
            capacity = self.capacity * 2 + count + 256
            bigger = realloc(self.data, capacity)
            if bigger == NULL:
                raise ResourceError("no memory to encode a state diff")
            self.data = <uint8_t*>bigger
            self.capacity = capacity
        self.size += count
        return self.data + self.size - count

    cdef int write_bytes(self, const uint8_t* data, size_t count) except -1:
        memcpy(self.room(count), data, count)
        return 0

    cdef int write_byte(self, uint8_t byte) except -1:
        self.room(1)[0] = byte
        return 0

    cdef int write_count(self, uint64_t value) except -1:
        while value >= 0x80:
            self.write_byte(<uint8_t>(value & 0x7f) | 0x80)
            value >>= 7
        return self.write_byte(<uint8_t>value)

    cdef int write_number(self, const u256* value) except -1:
        cdef uint8_t[32] word
        cdef int length = u_byte_len(value)
        u_to_be(word, value)
        self.write_byte(<uint8_t>length)
        return self.write_bytes(word + 32 - length, length)

    cdef int write_number64(self, uint64_t value) except -1:
        cdef u256 word
        u_set64(&word, value)
        return self.write_number(&word)

    cdef int write_code_hash(self, const uint8_t* code_hash) except -1:
        if memcmp(code_hash, EMPTY_CODE_HASH, 32) == 0:
            return self.write_byte(0)
        self.write_byte(32)
        return self.write_bytes(code_hash, 32)


cdef bytes diff_to_bytes(DiffData diff):
    cdef Writer out = Writer()
    cdef bytes code
    cdef uint32_t checksum
    cdef size_t i
    out.write_bytes(MAGIC, len(MAGIC))
    out.write_byte(VERSION)
    out.write_count(diff.account_count)
    for i in range(diff.account_count):
        encode_account(out, &diff.accounts[i])
    encode_slots(out, diff)
    out.write_count(len(diff.codes))
    for code_hash in sorted(diff.codes):
        code = diff.codes[code_hash]
        out.write_count(len(code))
        out.write_bytes(code, len(code))
    checksum = crc32(out.data[:out.size])
    return out.data[:out.size] + checksum.to_bytes(4, "big")


cdef int encode_account(Writer out, const AccountChange* change) except -1:
    cdef uint8_t flags = 0
    cdef const AccountState* old = &change.old
    cdef const AccountState* new = &change.new
    if change.wiped:
        flags |= WIPED
    if old.exists:
        flags |= EXISTED
    if new.exists:
        flags |= EXISTS
        if old.nonce != new.nonce:
            flags |= NONCE_DIFFERS
        if not u_eq(&old.balance, &new.balance):
            flags |= BALANCE_DIFFERS
        if memcmp(old.code_hash, new.code_hash, 32) != 0:
            flags |= CODE_DIFFERS
    out.write_bytes(change.address, 20)
    out.write_byte(flags)
    if old.exists:
        out.write_number64(old.nonce)
        out.write_number(&old.balance)
        out.write_code_hash(old.code_hash)
    if flags & NONCE_DIFFERS:
        out.write_number64(new.nonce)
    if flags & BALANCE_DIFFERS:
        out.write_number(&new.balance)
    if flags & CODE_DIFFERS:
        out.write_code_hash(new.code_hash)
    return 0


cdef int encode_slots(Writer out, DiffData diff) except -1:
    cdef size_t i
    cdef size_t first
    cdef size_t end
    cdef size_t groups = 0
    for i in range(diff.slot_count):
        if i == 0 or memcmp(diff.slots[i].address, diff.slots[i - 1].address, 20) != 0:
            groups += 1
    out.write_count(groups)
    first = 0
    while first < diff.slot_count:
        end = first + 1
        while end < diff.slot_count and memcmp(diff.slots[end].address, diff.slots[first].address, 20) == 0:
            end += 1
        out.write_bytes(diff.slots[first].address, 20)
        out.write_count(end - first)
        for i in range(first, end):
            out.write_number(&diff.slots[i].key)
            out.write_number(&diff.slots[i].old)
            out.write_number(&diff.slots[i].new)
        first = end
    return 0


cdef object corrupt(str problem):
    return InputError(f"argument 'data': not a state diff: {problem}")


@cython.auto_pickle(False)        # the same
cdef class Reader:
    cdef const uint8_t* take(self, size_t count, str what) except NULL:
        if self.size - self.at < count:
            raise corrupt(f"{what} at byte {self.at} needs {count} bytes, {self.size - self.at} are left")
        self.at += count
        return self.data + self.at - count

    cdef uint8_t read_byte(self, str what) except? 255:
        return self.take(1, what)[0]

    cdef uint64_t read_count(self, str what, size_t smallest) except? 0xffffffff:
        cdef uint64_t value = 0
        cdef uint8_t byte
        cdef int shift = 0
        while True:
            byte = self.read_byte(what)
            value |= <uint64_t>(byte & 0x7f) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 35:
                raise corrupt(f"the count of {what} before byte {self.at} is too long")
        if byte == 0 and shift:
            raise corrupt(f"the count of {what} before byte {self.at} is not of the fewest bytes")
        if value > (self.size - self.at) // smallest:
            raise corrupt(f"{value} {what} cannot be in the {self.size - self.at} bytes after byte {self.at}")
        return value

    cdef int read_number(self, u256* value, str what) except -1:
        cdef uint8_t length = self.read_byte(what)
        cdef const uint8_t* digits
        if length > 32:
            raise corrupt(f"{what} at byte {self.at - 1} has {length} bytes, at most 32 are right")
        if length == 0:
            u_set64(value, 0)
            return 0
        digits = self.take(length, what)
        if digits[0] == 0:
            raise corrupt(f"{what} before byte {self.at} has leading zeros")
        u_from_be_n(value, digits, length)
        return 0

    cdef uint64_t read_number64(self, str what) except? 0xffffffff:
        cdef u256 value
        self.read_number(&value, what)
        if not u_fits64(&value):
            raise corrupt(f"{what} before byte {self.at} is 2**64 or more")
        return value.w[0]

    cdef int read_code_hash(self, uint8_t* code_hash) except -1:
        cdef uint8_t length = self.read_byte("code hash")
        if length == 0:
            memcpy(code_hash, EMPTY_CODE_HASH, 32)
            return 0
        if length != 32:
            raise corrupt(f"a code hash at byte {self.at - 1} has {length} bytes, 0 or 32 are right")
        memcpy(code_hash, self.take(32, "code hash"), 32)
        if memcmp(code_hash, EMPTY_CODE_HASH, 32) == 0:
            raise corrupt(f"the hash of no code before byte {self.at} is written out")
        return 0


cdef int diff_from_bytes(DiffData diff, object data) except -1:
    cdef Reader source = Reader()
    cdef bytes held
    cdef size_t size
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(f"argument 'data': expected bytes, got {type(data).__name__}")
    held = bytes(data)
    if not held.startswith(MAGIC):
        raise corrupt(f"it starts with {held[:4]!r}, not {MAGIC!r}")
    size = len(held)
    if size < 5 + CHECKSUM_SIZE:
        raise corrupt(f"{size} bytes are too few")
    if held[4] != VERSION:
        raise corrupt(f"its version is {held[4]}, this package reads {VERSION}")
    size -= CHECKSUM_SIZE
    if crc32(held[:size]) != int.from_bytes(held[size:], "big"):
        raise corrupt("the checksum is wrong: it is cut or damaged")
    source.data = held
    source.size = size
    source.at = 5
    decode_accounts(source, diff)
    decode_slots(source, diff)
    decode_codes(source, diff)
    if source.at != source.size:
        raise corrupt(f"{source.size - source.at} bytes too many")
    return 0


cdef int decode_accounts(Reader source, DiffData diff) except -1:
    cdef uint64_t i
    cdef AccountChange* change
    cdef uint8_t flags
    for i in range(source.read_count("accounts", 21)):
        change = checked_account(diff.add_account())
        memset(change, 0, sizeof(AccountChange))
        memcpy(change.address, source.take(20, "address"), 20)
        if i and memcmp(diff.accounts[i - 1].address, change.address, 20) >= 0:
            raise corrupt(f"account 0x{change.address[:20].hex()} is out of order")
        flags = source.read_byte("flags")
        if flags > ALL_FLAGS or (not flags & EXISTS and flags > EXISTS):
            raise corrupt(f"account 0x{change.address[:20].hex()} has the flags {flags:#x}, which have no meaning")
        change.wiped = flags & WIPED != 0
        absent_account(&change.old)
        if flags & EXISTED:
            change.old.exists = True
            change.old.nonce = source.read_number64("nonce")
            source.read_number(&change.old.balance, "balance")
            source.read_code_hash(change.old.code_hash)
        absent_account(&change.new)
        if flags & EXISTS:
            change.new = change.old
            change.new.exists = True
            if flags & NONCE_DIFFERS:
                change.new.nonce = source.read_number64("nonce")
            if flags & BALANCE_DIFFERS:
                source.read_number(&change.new.balance, "balance")
            if flags & CODE_DIFFERS:
                source.read_code_hash(change.new.code_hash)
            if (
                (change.new.nonce != change.old.nonce) != (flags & NONCE_DIFFERS != 0)
                or u_eq(&change.new.balance, &change.old.balance) != (flags & BALANCE_DIFFERS == 0)
                or (memcmp(change.new.code_hash, change.old.code_hash, 32) != 0) != (flags & CODE_DIFFERS != 0)
            ):
                raise corrupt(f"account 0x{change.address[:20].hex()} has a field marked as changed that is not")
        if same_account(&change.old, &change.new) and not (change.wiped and change.old.exists):
            raise corrupt(f"account 0x{change.address[:20].hex()} does not change")
    return 0


cdef int decode_slots(Reader source, DiffData diff) except -1:
    cdef uint64_t group
    cdef uint64_t i
    cdef uint8_t[20] address
    cdef uint8_t[20] last
    cdef SlotChange* slot
    cdef u256 last_key
    for group in range(source.read_count("addresses with slots", 25)):
        memcpy(address, source.take(20, "address"), 20)
        if group and memcmp(last, address, 20) >= 0:
            raise corrupt(f"the slots of 0x{address[:20].hex()} are out of order")
        memcpy(last, address, 20)
        for i in range(source.read_count("slots", 3)):
            slot = checked_slot(diff.add_slot())
            memcpy(slot.address, address, 20)
            source.read_number(&slot.key, "slot")
            source.read_number(&slot.old, "slot value")
            source.read_number(&slot.new, "slot value")
            if i and not u_lt(&last_key, &slot.key):
                raise corrupt(f"slot {u256_to_int(&slot.key):#x} of 0x{address[:20].hex()} is out of order")
            last_key = slot.key
            check_slot(diff, slot)
        if diff.slot_count == 0 or memcmp(diff.slots[diff.slot_count - 1].address, address, 20) != 0:
            raise corrupt(f"0x{address[:20].hex()} is listed without slots")
    return 0


cdef int check_slot(DiffData diff, const SlotChange* slot) except -1:
    cdef size_t at
    if not u_eq(&slot.old, &slot.new):
        return 0
    at = diff.account_position(slot.address)
    if at < diff.account_count and memcmp(diff.accounts[at].address, slot.address, 20) == 0:
        if diff.accounts[at].wiped and not u_is_zero(&slot.new):
            return 0
    raise corrupt(f"slot {u256_to_int(&slot.key):#x} of 0x{slot.address[:20].hex()} does not change")


cdef int decode_codes(Reader source, DiffData diff) except -1:
    cdef uint64_t i
    cdef uint64_t size
    cdef uint8_t[32] digest
    cdef const uint8_t* code
    cdef bytes last = b""
    for i in range(source.read_count("codes", 1)):
        size = source.read_count("code bytes", 1)
        code = source.take(size, "code")
        keccak256(code, size, digest)
        if digest[:32] <= last:
            raise corrupt(f"the code of hash 0x{digest[:32].hex()} is out of order")
        last = digest[:32]
        diff.codes[last] = code[:size]
    return 0


# -------------------------------------------------------------------------------------------------- JSON

cdef object account_json(const AccountState* account):
    if not account.exists:
        return None
    return {
        "nonce": hex(account.nonce),
        "balance": hex(u256_to_int(&account.balance)),
        "codeHash": "0x" + account.code_hash[:32].hex(),
    }


cdef dict diff_to_json(DiffData diff):
    cdef AccountChange* change
    cdef SlotChange* slot
    cdef size_t i
    accounts = {}
    storage = {}
    for i in range(diff.account_count):
        change = &diff.accounts[i]
        entry = {"old": account_json(&change.old), "new": account_json(&change.new)}
        if change.wiped:
            entry["wiped"] = True
        accounts["0x" + change.address[:20].hex()] = entry
    for i in range(diff.slot_count):
        slot = &diff.slots[i]
        storage.setdefault("0x" + slot.address[:20].hex(), {})[f"0x{u256_to_int(&slot.key):064x}"] = {
            "old": f"0x{u256_to_int(&slot.old):064x}", "new": f"0x{u256_to_int(&slot.new):064x}"
        }
    codes = {"0x" + code_hash.hex(): "0x" + code.hex() for code_hash, code in sorted(diff.codes.items())}
    return {"accounts": accounts, "storage": storage, "codes": codes}


cdef object part(object value, str name, tuple fields):
    """A JSON object that has all of these fields and no others, except optional ones, marked by a question mark."""
    if not isinstance(value, Mapping):
        raise InputError(f"argument '{name}': expected an object, got {type(value).__name__}")
    if fields:
        needed = {field for field in fields if not field.endswith("?")}
        unknown = sorted(map(str, value.keys() - {field.rstrip("?") for field in fields}))
        missing = sorted(needed - value.keys())
        if missing:
            raise InputError(f"argument '{name}': the field {missing[0]!r} is missing")
        if unknown:
            raise InputError(f"argument '{name}': unknown field {unknown[0]!r}")
    return value


cdef int account_from_json(object value, str name, AccountState* account) except -1:
    cdef bytes code_hash
    absent_account(account)
    if value is None:
        return 0
    part(value, name, ("nonce", "balance", "codeHash"))
    account.exists = True
    account.nonce = to_uint(value["nonce"], name + ".nonce", 64)
    account.balance = u256_from_int(to_uint(value["balance"], name + ".balance"), name)
    code_hash = to_hash(value["codeHash"], name + ".codeHash")
    memcpy(account.code_hash, <const uint8_t*>code_hash, 32)
    return 0


cdef int diff_from_json(DiffData diff, object value) except -1:
    cdef AccountChange change
    cdef SlotChange slot
    cdef bytes address
    cdef uint8_t[32] digest
    cdef bytes code
    part(value, "diff", ("accounts", "storage", "codes"))
    for key, entry in part(value["accounts"], "diff.accounts", ()).items():
        name = f"diff.accounts[{key}]"
        address = to_address(key, name)
        memcpy(change.address, <const uint8_t*>address, 20)
        part(entry, name, ("old", "new", "wiped?"))
        if not isinstance(entry.get("wiped", False), bool):
            raise InputError(f"argument '{name}.wiped': expected true or false")
        change.wiped = entry.get("wiped", False)
        account_from_json(entry["old"], name + ".old", &change.old)
        account_from_json(entry["new"], name + ".new", &change.new)
        checked_account(diff.add_account())[0] = change
    for key, slots in part(value["storage"], "diff.storage", ()).items():
        address = to_address(key, f"diff.storage[{key}]")
        memcpy(slot.address, <const uint8_t*>address, 20)
        for slot_key, entry in part(slots, f"diff.storage[{key}]", ()).items():
            name = f"diff.storage[{key}][{slot_key}]"
            part(entry, name, ("old", "new"))
            slot.key = u256_from_int(to_uint(slot_key, name), name)
            slot.old = u256_from_int(to_uint(entry["old"], name + ".old"), name)
            slot.new = u256_from_int(to_uint(entry["new"], name + ".new"), name)
            checked_slot(diff.add_slot())[0] = slot
    for key, entry in part(value["codes"], "diff.codes", ()).items():
        code = to_bytes(entry, f"diff.codes[{key}]")
        keccak256(code, len(code), digest)
        if to_hash(key, f"diff.codes[{key}]") != digest[:32]:
            raise InputError(f"argument 'diff.codes[{key}]': the code has the hash 0x{digest[:32].hex()}")
        diff.codes[digest[:32]] = code
    diff.sort()
    return check_listed_once(diff)


cdef int check_listed_once(DiffData diff) except -1:
    """Rejects JSON keys that are different spellings of one address or slot."""
    cdef size_t i
    for i in range(diff.account_count):
        if i and memcmp(diff.accounts[i - 1].address, diff.accounts[i].address, 20) == 0:
            raise InputError(f"argument 'diff.accounts': 0x{diff.accounts[i].address[:20].hex()} is there twice")
        if same_account(&diff.accounts[i].old, &diff.accounts[i].new) and not (
            diff.accounts[i].wiped and diff.accounts[i].old.exists
        ):
            raise InputError(f"argument 'diff.accounts': 0x{diff.accounts[i].address[:20].hex()} does not change")
    for i in range(diff.slot_count):
        check_slot(diff, &diff.slots[i])
        if i and memcmp(diff.slots[i - 1].address, diff.slots[i].address, 20) == 0:
            if u_eq(&diff.slots[i - 1].key, &diff.slots[i].key):
                raise InputError(
                    f"argument 'diff.storage': slot {u256_to_int(&diff.slots[i].key):#x} of "
                    f"0x{diff.slots[i].address[:20].hex()} is there twice"
                )
    return 0
