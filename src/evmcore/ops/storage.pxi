# Accounts, storage and transient storage.

cdef inline int64_t charge_account(uint32_t account, int64_t price, int64_t gas, Frame* f) noexcept nogil:
    """EIP-2929 price of an access to an account, or the fork's fixed price before Berlin. -1: out of gas."""
    if f.prices.warm:
        price = GAS_WARM_ACCESS
        if ws_warm_account(f.ws, account) and not precompile_at(f.ws.accounts[account].address, f.machine.revision):
            price = GAS_COLD_ACCOUNT
    gas -= price
    return gas if gas >= 0 else fail(f, OUT_OF_GAS)

cdef uint32_t account_of(const u256* word, Frame* f) noexcept nogil:
    """Number of the account whose address is the low 20 bytes of `word`; not loaded."""
    cdef uint8_t[20] address
    u_to_address(address, word)
    return ws_account_unloaded(f.ws, address)

cdef inline int64_t unless_failed(int64_t gas, Frame* f) noexcept nogil:
    return gas if not f.ws.failed else fail(f, STATE_FAILED)

cdef int64_t op_balance(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    cdef uint32_t account = account_of(sp, f)
    gas = charge_account(account, f.prices.balance, gas, f)
    if gas < 0:
        return gas
    u_copy(sp, ws_balance(f.ws, account))
    return unless_failed(gas, f)

cdef int64_t op_extcodesize(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    cdef uint32_t account = account_of(sp, f)
    cdef Code* code
    gas = charge_account(account, f.prices.external, gas, f)
    if gas < 0:
        return gas
    code = ws_code(f.ws, account)
    if code == NULL:
        return fail(f, STATE_FAILED)
    u_set64(sp, code.size)
    return unless_failed(gas, f)

cdef int64_t op_extcodecopy(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    cdef uint32_t account = account_of(sp, f)
    cdef Code* code
    gas = charge_account(account, f.prices.external, gas, f)
    if gas >= 0:
        gas = charge_copy(sp - 1, gas, f)                     # before the account is accessed (EIP-7928)
    if gas < 0:
        return gas
    code = ws_code(f.ws, account)
    if code == NULL:
        return fail(f, STATE_FAILED)
    copy_padded(sp - 1, code.raw, code.size, f)
    return unless_failed(gas, f)

cdef int64_t op_extcodehash(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    """EIP-1052: zero for an account that does not exist or is empty (EIP-161)."""
    cdef uint32_t account = account_of(sp, f)
    gas = charge_account(account, f.prices.external_hash, gas, f)
    if gas < 0:
        return gas
    if ws_is_empty(f.ws, account):
        u_zero(sp)
    else:
        f.ws.accounts[account].uses |= USE_CODE
        u_from_be(sp, f.ws.accounts[account].code_hash)
    return unless_failed(gas, f)

cdef int64_t op_sload(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    cdef uint32_t slot = ws_slot_unloaded(f.ws, f.account, sp)
    cdef int64_t price = f.prices.sload
    if f.prices.warm and ws_warm_slot(f.ws, slot):
        price = GAS_COLD_SLOAD
    gas -= price
    if gas < 0:
        return fail(f, OUT_OF_GAS)
    if f.ws.slots[slot].seen != f.ws.epoch:
        ws_load_slot(f.ws, slot)
        if f.ws.failed:
            return fail(f, STATE_FAILED)
    u_copy(sp, &f.ws.slots[slot].current)
    return gas

cdef inline int64_t find_stored(const u256* sp, int64_t gas, Frame* f, uint32_t* slot) noexcept nogil:
    """The slot for SSTORE to write, loaded. Returns the gas or -1."""
    if f.is_static:
        return fail(f, WRITE_PROTECTION)
    if f.machine.revision >= ISTANBUL and gas <= GAS_SSTORE_SENTRY:
        return fail(f, OUT_OF_GAS)
    slot[0] = ws_slot(f.ws, f.account, sp)
    return unless_failed(gas, f)

cdef inline int64_t store_word(uint32_t slot, const u256* value, int64_t gas, Frame* f) noexcept nogil:
    cdef WorkingSet* ws = f.ws
    cdef const Prices* prices = f.prices
    cdef SlotEntry* entry = &ws.slots[slot]
    cdef int64_t price, refund
    price = GAS_COLD_SLOAD if prices.warm and ws_warm_slot(ws, slot) else 0
    refund = 0
    if not prices.net_sstore:
        if u_is_zero(&entry.current) and not u_is_zero(value):
            price = GAS_SSTORE_SET
        else:
            price = prices.sstore_reset
        if u_is_zero(value) and not u_is_zero(&entry.current):
            refund = prices.sstore_clears_refund
    elif u_eq(&entry.current, value):
        price += prices.sload
    elif u_eq(&entry.original, &entry.current):
        if u_is_zero(&entry.original):
            price += GAS_SSTORE_SET
        else:
            price += prices.sstore_reset
            if u_is_zero(value):
                refund = prices.sstore_clears_refund
    else:
        price += prices.sload
        if not u_is_zero(&entry.original):
            if u_is_zero(&entry.current):
                refund -= prices.sstore_clears_refund
            elif u_is_zero(value):
                refund += prices.sstore_clears_refund
        if u_eq(&entry.original, value):
            if u_is_zero(value):
                refund += GAS_SSTORE_SET - prices.sload
            else:
                refund += prices.sstore_reset - prices.sload
    gas -= price
    if gas < 0:
        return fail(f, OUT_OF_GAS)
    ws.refund += refund
    if not u_eq(&entry.current, value):
        ws_store(ws, slot, value)
    return gas

cdef int64_t op_sstore(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    cdef uint32_t slot = 0
    gas = find_stored(sp, gas, f, &slot)
    return store_word(slot, sp - 1, gas, f) if gas >= 0 else gas

cdef void op_tload(u256* sp, Frame* f) noexcept nogil:
    ws_tload(f.ws, f.account, sp, sp)

cdef int64_t op_tstore(u256* sp, int64_t gas, Frame* f) noexcept nogil:
    if f.is_static:
        return fail(f, WRITE_PROTECTION)
    ws_tstore(f.ws, f.account, sp, sp - 1)
    return unless_failed(gas, f)
