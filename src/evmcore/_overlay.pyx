"""A state reader in front of another one: replaces accounts, slots and block hashes of the state for a call."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING
from evmcore._code cimport Code, check_code_size, code_intern, code_release, code_retain
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._hash cimport keccak256
from evmcore._precompiles cimport PrecompileMove, precompile_at
from evmcore._rules cimport OSAKA
from evmcore._state cimport ABSENT, Ahead, AccountData, FOUND, Found, READ_FAILED, StateReader
from evmcore._u256 cimport u256, u256_from_int, u_eq, u_is_zero, u_lt, u_zero

from collections.abc import Mapping
from operator import itemgetter

from evmcore.errors import InputError, ResourceError
from evmcore.types import Account, shown, to_address, to_bytes, to_hash, to_uint, to_word

_FIELDS = frozenset({"balance", "nonce", "code", "state", "stateDiff"})


cdef class Overlay:
    """The overrides of a call, checked and sorted. Immutable once filled; readable from any thread."""

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.accounts.size()):
            code_release(self.accounts[i].code)

    cdef int add_accounts(self, object overrides) except -1:
        for address, fields in checked_overrides(overrides):
            self.add_account(address, fields)
        return 0

    cdef int add_account(self, bytes address, dict fields) except -1:
        cdef bytes code = fields.get("code")
        cdef OverlayAccount account
        memcpy(account.address, PyBytes_AS_STRING(address), 20)
        account.has_balance = "balance" in fields
        account.has_nonce = "nonce" in fields
        account.fresh_storage = "state" in fields
        account.any_nonzero = False
        account.nonce = 0
        u_zero(&account.balance)
        if account.has_balance:
            account.balance = u256_from_int(fields["balance"], "balance")
        if account.has_nonce:
            account.nonce = fields["nonce"]
        account.first_slot = self.slots.size()
        self.add_slots(fields.get("state", fields.get("stateDiff", {})), &account)
        account.slot_count = self.slots.size() - account.first_slot
        account.code = NULL
        if code is not None:
            keccak256(<const uint8_t*>PyBytes_AS_STRING(code), len(code), account.code_hash)
            account.code = code_intern(account.code_hash, <const uint8_t*>PyBytes_AS_STRING(code), len(code))
            if account.code == NULL:
                raise ResourceError(f"overrides[0x{address.hex()}]: no memory for {len(code)} bytes of code")
        self.accounts.push_back(account)
        self.view.accounts = self.accounts.data()
        self.view.account_count = self.accounts.size()
        self.view.slots = self.slots.data()
        return 0

    cdef int add_slots(self, dict slots, OverlayAccount* account) except -1:
        cdef OverlaySlot slot
        for number in sorted(slots):
            slot.key = u256_from_int(number, "slot")
            slot.value = u256_from_int(slots[number], "slot value")
            account.any_nonzero = account.any_nonzero or not u_is_zero(&slot.value)
            self.slots.push_back(slot)
        return 0

    cdef int add_hashes(self, object block_hashes, uint64_t number) except -1:
        """Adds the hashes that BLOCKHASH can reach from block `number`: those of the 256 blocks before it."""
        cdef uint64_t first = number - 256 if number > 256 else 0
        cdef OverlayHash entry
        if not isinstance(block_hashes, Mapping):
            got = type(block_hashes).__name__
            raise InputError(f"argument 'block_hashes': expected a mapping of number to hash, got {got}")
        if len(block_hashes) < 256:
            for candidate in block_hashes:
                if not isinstance(candidate, int):
                    got = f"{type(candidate).__name__} {shown(candidate)}"
                    raise InputError(f"argument 'block_hashes': expected numbers of blocks, got {got}")
        for candidate in sorted(block_hashes) if len(block_hashes) < 256 else range(first, number):
            if not first <= candidate < number:
                continue
            value = block_hashes.get(candidate)
            if value is not None:
                value = to_hash(value, f"block.block_hashes[{candidate}]")
                entry.number = candidate
                memcpy(entry.hash, PyBytes_AS_STRING(<bytes>value), 32)
                self.hashes.push_back(entry)
        self.view.hashes = self.hashes.data()
        self.view.hash_count = self.hashes.size()
        return 0


cdef class MovedPrecompiles:
    """Precompiles that are moved or removed. Immutable once filled; readable from any thread."""


cdef MovedPrecompiles moves_new(object moves):
    """From a mapping of a precompile's address to its new address, or to None."""
    cdef MovedPrecompiles moved = MovedPrecompiles.__new__(MovedPrecompiles)
    cdef PrecompileMove move
    cdef bytes address, target
    cdef list gone = []
    if not isinstance(moves, Mapping):
        got = type(moves).__name__
        raise InputError(f"argument 'precompile_moves': expected a mapping of address to address or None, got {got}")
    for source, destination in moves.items():
        address = to_address(source, "precompile_moves: address")
        move.number = precompile_at(<const uint8_t*>PyBytes_AS_STRING(address), OSAKA)
        if move.number == 0:
            raise InputError(f"argument 'precompile_moves': 0x{address.hex()} is not a precompile")
        gone.append(address)
        if destination is not None:
            target = to_address(destination, "precompile_moves: destination")
            memcpy(move.address, PyBytes_AS_STRING(target), 20)
            moved.entries.push_back(move)
    for address in gone:                  # after the moved ones: the first entry for an address counts
        memcpy(move.address, PyBytes_AS_STRING(address), 20)
        move.number = 0
        moved.entries.push_back(move)
    moved.moves.moves = moved.entries.data()
    moved.moves.count = moved.entries.size()
    return moved


cdef Overlay overlay_new(StateReader* base):
    cdef Overlay overlay = Overlay.__new__(Overlay)
    overlay.view.base = base
    overlay.reader.self = &overlay.view
    if base.ask_for != NULL:
        overlay.reader.ask_for = ask_for_account
    overlay.reader.account = read_account
    overlay.reader.storage = read_storage
    overlay.reader.code = read_code
    overlay.reader.block_hash = read_block_hash
    return overlay


cpdef dict account_fields(object override, str name):
    """An override in normal form: a dict of the eth_call field names."""
    if isinstance(override, Account):
        return {"balance": override.balance, "nonce": override.nonce, "code": override.code, "state": override.storage}
    if not isinstance(override, Mapping):
        raise InputError(f"argument '{name}': expected a mapping of {', '.join(sorted(_FIELDS))}, or an Account, "
                         f"got {type(override).__name__}")
    return {field: value for field, value in override.items() if value is not None}


cdef list checked_overrides(object overrides):
    if not isinstance(overrides, Mapping):
        got = type(overrides).__name__
        raise InputError(f"argument 'overrides': expected a mapping of address to override, got {got}")
    cdef dict by_address = {}
    for key, override in overrides.items():
        address = to_address(key, "overrides: address")
        if address in by_address:
            raise InputError(f"argument 'overrides': address 0x{address.hex()} is given twice")
        by_address[address] = checked_fields(override, f"overrides[0x{address.hex()}]")
    return sorted(by_address.items(), key=itemgetter(0))


cdef dict checked_fields(object override, str name):
    """`account_fields`, with the values converted."""
    cdef dict fields = account_fields(override, name)
    unknown = fields.keys() - _FIELDS
    if unknown:
        raise InputError(f"argument '{name}': unknown field {min(map(str, unknown))!r}; "
                         f"fields are {', '.join(sorted(_FIELDS))}")
    if "state" in fields and "stateDiff" in fields:
        raise InputError(f"argument '{name}': give state (all slots) or stateDiff (some slots), not both")
    if "balance" in fields:
        fields["balance"] = to_uint(fields["balance"], f"{name}.balance")
    if "nonce" in fields:
        fields["nonce"] = to_uint(fields["nonce"], f"{name}.nonce", 64)
    if "code" in fields:
        fields["code"] = to_bytes(fields["code"], f"{name}.code")
        check_code_size(len(fields["code"]), f"{name}.code")
    for kind in ("state", "stateDiff"):
        if kind in fields:
            fields[kind] = checked_slots(fields[kind], name)
    return fields


cdef dict checked_slots(object slots, str name):
    if not isinstance(slots, Mapping):
        raise InputError(f"argument '{name}': state and stateDiff map slots to values, got {type(slots).__name__}")
    return {to_word(key, f"{name} slot"): to_word(value, f"{name} slot value") for key, value in slots.items()}


# ---- the reader's side; `self` is the OverlayView

cdef OverlayAccount* find_account(const OverlayView* overlay, const uint8_t* address) noexcept nogil:
    cdef size_t low = 0, high = overlay.account_count, middle
    cdef int order
    while low < high:
        middle = (low + high) // 2
        order = memcmp(overlay.accounts[middle].address, address, 20)
        if order == 0:
            return &overlay.accounts[middle]
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return NULL


cdef void ask_for_account(void* self, const uint8_t* address, Ahead when) noexcept nogil:
    cdef const StateReader* base = (<const OverlayView*>self).base
    base.ask_for(base.self, address, when)


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef StateReader* base = (<OverlayView*>self).base
    cdef OverlayAccount* account = find_account(<OverlayView*>self, address)
    cdef Found found = base.account(base.self, address, out)
    if account == NULL or found == READ_FAILED:
        return found
    if found == ABSENT:
        u_zero(&out.balance)
        out.nonce = 0
        out.has_storage = False
        memcpy(out.code_hash, EMPTY_CODE_HASH, 32)
    if account.has_balance:
        out.balance = account.balance
    if account.has_nonce:
        out.nonce = account.nonce
    if account.code != NULL:
        memcpy(out.code_hash, account.code_hash, 32)
    if account.fresh_storage:
        out.has_storage = account.any_nonzero
    elif account.any_nonzero:
        out.has_storage = True
    return FOUND


cdef Found read_storage(void* self, const uint8_t* address, const u256* slot, u256* value) noexcept nogil:
    cdef const OverlayView* overlay = <OverlayView*>self
    cdef StateReader* base = overlay.base
    cdef OverlayAccount* account = find_account(overlay, address)
    cdef size_t low, high, middle
    cdef OverlaySlot* entry
    if account != NULL:
        low = account.first_slot
        high = low + account.slot_count
        while low < high:
            middle = (low + high) // 2
            entry = &overlay.slots[middle]
            if u_eq(&entry.key, slot):
                value[0] = entry.value
                return FOUND
            if u_lt(&entry.key, slot):
                low = middle + 1
            else:
                high = middle
        if account.fresh_storage:
            u_zero(value)
            return ABSENT
    return base.storage(base.self, address, slot, value)


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef StateReader* base = (<OverlayView*>self).base
    cdef OverlayAccount* account = find_account(<OverlayView*>self, address)
    if account != NULL and account.code != NULL and memcmp(account.code_hash, code_hash, 32) == 0:
        code_retain(account.code)
        return account.code
    return base.code(base.self, address, code_hash)


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    cdef const OverlayView* overlay = <OverlayView*>self
    cdef StateReader* base = overlay.base
    cdef size_t low = 0, high = overlay.hash_count, middle
    while low < high:
        middle = (low + high) // 2
        if overlay.hashes[middle].number == number:
            memcpy(out, overlay.hashes[middle].hash, 32)
            return FOUND
        if overlay.hashes[middle].number < number:
            low = middle + 1
        else:
            high = middle
    return base.block_hash(base.self, number, out)
