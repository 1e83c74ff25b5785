"""The accounts and slots that a run read and changed, in the shape of geth's prestateTracer; taken from the working set."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp
from evmcore._code cimport Code, code_find, code_release
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._interp cimport Machine, Status
from evmcore._state cimport AccountData, AccountEntry, SlotEntry, WorkingSet, ws_account
from evmcore._u256 cimport u256, u256_to_int, u_eq, u_is_zero, u_to_be
from evmcore.tracing._hooks cimport Tracer, hex_bytes

from evmcore.errors import StateError

cdef enum:
    ACCOUNT_TEXT = 150            # approximate text size of an account without code and storage
    SLOT_TEXT = 140

cdef dict EMPTY = {"balance": "0x0"}


cdef class PrestateTracer(Tracer):
    """Collects the accounts and slots a run accessed; `result` is the answer of geth's prestateTracer.

    By default: address to balance, nonce, code and storage before the run. With `diff_mode`: {"pre", "post"}, the values
    that the run changed, before and after. Accounts that did not exist are left out, or shown as empty with
    `include_empty`; `code` and `storage` say whether these are shown. `result` is None until a run has ended.
    """

    def __init__(self, *, diff_mode=False, code=True, storage=True, include_empty=False):
        self.diff_mode = bool(diff_mode)
        self.with_code = bool(code)
        self.with_storage = bool(storage)
        self.include_empty = bool(include_empty)
        self.result = None

    cdef bint wants_steps(self):
        return False

    cdef int start(self) except -1:
        self.result = None
        return 0

    cdef int finish(self, Machine* machine, int64_t gas_limit, int64_t gas_used, Status status, bytes output) except -1:
        cdef WorkingSet* ws = machine.ws
        cdef AccountEntry* account
        cdef SlotEntry* slot
        cdef uint32_t i
        cdef dict pre = {}, post = {}, before, after
        cdef list names = []
        see(ws, machine.env.origin)                           # a call may not have read it
        if not self.diff_mode:
            see(ws, machine.env.coinbase)                     # shown even if no fee was paid to it
        for i in range(ws.account_count):
            account = &ws.accounts[i]
            names.append(hex_bytes(account.address, 20))
            if i and account.loaded:
                before = self.fields(ws, account.address, &account.base) if account.base_exists else {}
                if before == EMPTY or not account.base_exists:
                    before = dict(EMPTY) if self.include_empty and not self.diff_mode else {}
                if self.diff_mode:
                    after = self.new_fields(ws, account, before)
                    if after:
                        post[names[i]] = after
                    elif account.exists == account.base_exists and not slots_changed(ws, i):
                        continue
                if before:
                    pre[names[i]] = before
        for i in range(1, ws.slot_count if self.with_storage else 0):
            slot = &ws.slots[i]
            self.collect(SLOT_TEXT)
            if not slot.loaded or (self.diff_mode and u_eq(&slot.base, &slot.current)):
                continue
            account = &ws.accounts[slot.account]
            name = names[slot.account]
            if name in pre and not (self.diff_mode and u_is_zero(&slot.base)):
                pre[name].setdefault("storage", {})[word(&slot.key)] = word(&slot.base)
            if self.diff_mode and account.exists and slot.lifetime == account.lifetime and not u_is_zero(&slot.current):
                post.setdefault(name, {}).setdefault("storage", {})[word(&slot.key)] = word(&slot.current)
        self.result = {"pre": pre, "post": post} if self.diff_mode else pre
        return 0

    cdef dict fields(self, WorkingSet* ws, const uint8_t* address, const AccountData* data):
        cdef dict shown = {"balance": hex(u256_to_int(&data.balance))}
        if data.nonce:
            shown["nonce"] = data.nonce
        cdef str code = self.code_of(ws, address, data.code_hash)
        if code != "0x":
            shown["code"] = code
        return shown

    cdef dict new_fields(self, WorkingSet* ws, const AccountEntry* account, dict before):
        """The fields that differ from `before` after the run."""
        cdef dict after = {}
        if not account.exists:
            return after
        balance = hex(u256_to_int(&account.balance))
        if balance != before.get("balance", "0x0"):
            after["balance"] = balance
        if account.nonce != before.get("nonce", 0):
            after["nonce"] = account.nonce
        if not account.base_exists or memcmp(account.code_hash, account.base.code_hash, 32) != 0:
            code = self.code_of(ws, account.address, account.code_hash)
            if code != before.get("code", "0x"):
                after["code"] = code
        return after

    cdef str code_of(self, WorkingSet* ws, const uint8_t* address, const uint8_t* code_hash):
        cdef Code* code
        self.collect(ACCOUNT_TEXT)
        if not self.with_code or memcmp(code_hash, EMPTY_CODE_HASH, 32) == 0:
            return "0x"                           # no code is stored for that hash: no reader is asked for it
        code = code_find(code_hash)
        if code == NULL:
            code = ws.reader.code(ws.reader.self, address, code_hash)
        if code == NULL:
            raise StateError(f"the code {hex_bytes(code_hash, 32)} of account {hex_bytes(address, 20)} could not be read")
        try:
            self.collect(2 * code.size)
            return hex_bytes(code.raw, code.size)
        finally:
            code_release(code)


cdef int see(WorkingSet* ws, const uint8_t* address) except -1:
    ws_account(ws, address)
    if ws.failed:
        raise StateError(f"account {hex_bytes(address, 20)} could not be read")
    return 0


cdef bint slots_changed(const WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef uint32_t i
    for i in range(ws.slot_count):
        if ws.slots[i].account == account and ws.slots[i].loaded and not u_eq(&ws.slots[i].base, &ws.slots[i].current):
            return True
    return False


cdef str word(const u256* value):
    cdef uint8_t[32] data
    u_to_be(data, value)
    return hex_bytes(data, 32)
