"""The native half of a block: system calls, the DAO fork, withdrawals and rewards, and the arenas of its outcome.

Everything here runs without the GIL and touches no Python object.
"""
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING

from evmcore._access cimport access_end_part
from evmcore._code cimport Code
from evmcore._growing cimport free_array, free_retired, grow_array
from evmcore._interp cimport CALL, NO_MEMORY, STATE_FAILED, SUCCESS, Message, Outcome, execute
from evmcore._rules cimport CANCUN, PRAGUE
from evmcore._state cimport (
    LATER, SOON, ws_account, ws_add_balance, ws_ask_for_account, ws_begin, ws_code, ws_finish, ws_set_balance, ws_touch,
)
from evmcore._tx cimport GAS_PER_BLOB, TX_VALID, transaction_run
from evmcore._u256 cimport u_zero

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch(const void* at, size_t size)

cdef enum:
    SYSTEM_GAS = 30000000
    LOOK_AHEAD_DATA = 256         # bytes of a transaction's data that are prefetched

cdef uint8_t[20] SYSTEM_ADDRESS
cdef uint8_t[20] BEACON_ROOTS     # EIP-4788
cdef uint8_t[20] HISTORY_STORAGE  # EIP-2935

cdef int set_address(uint8_t* out, str digits) except -1:
    memcpy(out, PyBytes_AS_STRING(bytes.fromhex(digits)), 20)
    return 0

set_address(SYSTEM_ADDRESS, "fffffffffffffffffffffffffffffffffffffffe")
set_address(BEACON_ROOTS, "000f3df6d732807ef1319fb7b8bb8522d0beac02")
set_address(HISTORY_STORAGE, "0000f90827f1c53a10cb7a02335b175320002935")
set_address(WITHDRAWAL_REQUESTS, "00000961ef480eb55e80d19ad83579a64c007002")
set_address(CONSOLIDATION_REQUESTS, "0000bbddc7ce488642fb579f8b00f3a590007251")


# ------------------------------------------------------------ output arenas

cdef bint reserve(BlockOutput* output, void** items, size_t* capacity, size_t wanted, size_t item_size) noexcept nogil:
    return grow_array(items, capacity, wanted, item_size, False, &output.retired)


cdef bint output_reserve(BlockOutput* output, size_t transactions) noexcept nogil:
    return reserve(output, <void**>&output.records, &output.record_capacity, transactions, sizeof(TxRecord))


cdef bint append_data(BlockOutput* output, const uint8_t* data, size_t size) noexcept nogil:
    if not reserve(output, <void**>&output.data, &output.data_capacity, output.data_size + size, 1):
        return False
    if size:
        memcpy(output.data + output.data_size, data, size)
    output.data_size += size
    return True


cdef void output_release(BlockOutput* output) noexcept nogil:
    free_array(output.records)
    free_array(output.logs)
    free_array(output.data)
    free_retired(&output.retired)
    memset(output, 0, sizeof(BlockOutput))


# ------------------------------------------------------------ system calls

cdef BlockFailure system_call(
    Machine* machine, const BlockRules* rules, const uint8_t* address, const uint8_t* input, size_t size,
    Outcome* outcome, Status* status,
) noexcept nogil:
    """Calls a contract as the system does. Its outcome is left in `outcome`; the caller judges it."""
    cdef WorkingSet* ws = machine.ws
    cdef Message message
    cdef Code* code
    ws_begin(ws)
    memset(outcome, 0, sizeof(Outcome))
    code = ws_code(ws, ws_account(ws, address))
    if ws.failed:
        status[0] = NO_MEMORY if ws.no_memory else STATE_FAILED
        return BLOCK_ENGINE_FAILED
    if code.size == 0:
        return BLOCK_SYSTEM_CONTRACT_EMPTY
    memcpy(machine.env.origin, SYSTEM_ADDRESS, 20)
    machine.env.gas_price = rules.env.base_fee
    machine.env.blob_hash_count = 0
    memset(&message, 0, sizeof(Message))
    message.kind = CALL
    message.gas = SYSTEM_GAS
    memcpy(message.caller, SYSTEM_ADDRESS, 20)
    memcpy(message.target, address, 20)
    memcpy(message.code_address, address, 20)
    message.input = input
    message.input_size = size
    execute(machine, &message, outcome)
    ws_finish(ws)
    if ws.failed:
        status[0] = NO_MEMORY if ws.no_memory else STATE_FAILED
        return BLOCK_ENGINE_FAILED
    if outcome.status >= STATE_FAILED:
        status[0] = outcome.status
        return BLOCK_ENGINE_FAILED
    return BLOCK_OK if outcome.status == SUCCESS else BLOCK_SYSTEM_CALL_FAILED


cdef BlockFailure collect_requests(
    Machine* machine, const BlockRules* rules, const uint8_t* address, BlockOutput* output, int which, Status* status
) noexcept nogil:
    """EIP-7002 and EIP-7251: the contract returns the requests; without the contract, the block is invalid."""
    cdef Outcome outcome
    cdef BlockFailure failure = system_call(machine, rules, address, NULL, 0, &outcome, status)
    if failure == BLOCK_SYSTEM_CONTRACT_EMPTY and rules.lax_requests:
        return BLOCK_OK
    if failure != BLOCK_OK:
        output.failed_contract = address
        output.failed_status = outcome.status
        return failure
    output.request_offset[which] = output.data_size
    output.request_size[which] = outcome.output_size
    if not append_data(output, outcome.output, outcome.output_size):
        status[0] = NO_MEMORY
        return BLOCK_ENGINE_FAILED
    return BLOCK_OK


# ------------------------------------------------------------ the three steps

cdef void drain_dao(Machine* machine, const BlockRules* rules) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef uint32_t account, recovery
    cdef u256 balance, nothing
    cdef size_t i
    u_zero(&nothing)
    ws_begin(ws)
    recovery = ws_account(ws, rules.recovery)
    for i in range(rules.drained_count):
        account = ws_account(ws, rules.drained + 20 * i)
        balance = ws.accounts[account].balance
        ws_set_balance(ws, account, &nothing)
        ws_add_balance(ws, recovery, &balance)
    ws_finish(ws)


cdef void block_enter(Machine* machine, const BlockRules* rules, const uint32_t* stop) noexcept nogil:
    machine.env = rules.env
    machine.revision = rules.revision
    machine.abort_flag = stop


cdef BlockFailure block_begin(Machine* machine, const BlockRules* rules, Status* status) noexcept nogil:
    cdef Outcome outcome
    cdef BlockFailure failure
    status[0] = SUCCESS
    if rules.drained_count:
        drain_dao(machine, rules)
    if rules.revision >= CANCUN:
        failure = system_call(machine, rules, BEACON_ROOTS, rules.beacon_root, 32, &outcome, status)
        if failure == BLOCK_ENGINE_FAILED:
            return failure
    if rules.revision >= PRAGUE:
        failure = system_call(machine, rules, HISTORY_STORAGE, rules.parent_hash, 32, &outcome, status)
        if failure == BLOCK_ENGINE_FAILED:
            return failure
    if machine.ws.failed:
        status[0] = NO_MEMORY if machine.ws.no_memory else STATE_FAILED
        return BLOCK_ENGINE_FAILED
    return BLOCK_OK


cdef bint block_keep_result(
    BlockOutput* output, TxRecord* record, const LogEntry* logs, uint32_t log_count, const uint8_t* log_data,
    const TxData* tx, const TxResult* result, const u256* gas_price,
) noexcept nogil:
    cdef size_t start = output.data_size
    cdef size_t i, data_size = 0
    if not reserve(output, <void**>&output.logs, &output.log_capacity, output.log_count + log_count, sizeof(LogEntry)):
        return False
    for i in range(log_count):
        data_size = max(data_size, logs[i].data_offset + logs[i].data_size)
    if not (append_data(output, log_data, data_size) and append_data(output, result.output, result.output_size)):
        return False
    record.has_state_root = False
    record.result = result[0]
    record.result.output = NULL
    record.type = tx.type
    record.gas_price = gas_price[0]
    record.first_log = output.log_count
    record.log_count = log_count
    record.data_start = start
    record.output_offset = start + data_size
    if log_count:
        memcpy(output.logs + output.log_count, logs, log_count * sizeof(LogEntry))
    for i in range(output.log_count, output.log_count + log_count):
        output.logs[i].data_offset += start
    output.log_count += log_count
    return True


cdef bint block_keep(
    BlockOutput* output, const LogEntry* logs, uint32_t log_count, const uint8_t* log_data, const TxData* tx,
    const TxResult* result, const u256* gas_price,
) noexcept nogil:
    cdef size_t number = output.record_count
    if not (
        reserve(output, <void**>&output.records, &output.record_capacity, number + 1, sizeof(TxRecord))
        and block_keep_result(output, &output.records[number], logs, log_count, log_data, tx, result, gas_price)
    ):
        return False
    block_count(output, tx, &output.records[number])
    if output.gate != NULL:
        output.gate.publish(output.record_count)
    return True


cdef void block_count(BlockOutput* output, const TxData* tx, TxRecord* record) noexcept nogil:
    output.gas_used += <uint64_t>record.result.gas_used
    output.blob_gas_used += <uint64_t>GAS_PER_BLOB * tx.blob_hash_count
    record.cumulative_gas_used = output.gas_used
    output.record_count += 1


cdef bint block_append_logs(BlockOutput* output, const BlockOutput* other) noexcept nogil:
    cdef size_t i, start = output.data_size
    if not (
        reserve(output, <void**>&output.logs, &output.log_capacity, output.log_count + other.log_count, sizeof(LogEntry))
        and append_data(output, other.data, other.data_size)
    ):
        return False
    if other.log_count:
        memcpy(output.logs + output.log_count, other.logs, other.log_count * sizeof(LogEntry))
    for i in range(output.log_count, output.log_count + other.log_count):
        output.logs[i].data_offset += start
    output.log_count += other.log_count
    return True


cdef void block_ask_for(
    const StateReader* reader, WorkingSet* ws, const TxData* soon, const TxData* later, const TxData* after
) noexcept nogil:
    if after != NULL:
        prefetch(after, sizeof(TxData))
    if later != NULL:
        prefetch(later.data, min(later.data_size, <size_t>LOOK_AHEAD_DATA))
        if reader.ask_for != NULL:
            reader.ask_for(reader.self, later.sender, LATER)
            reader.ask_for(reader.self, later.to, LATER)
        if ws != NULL:
            ws_ask_for_account(ws, later.sender)
            ws_ask_for_account(ws, later.to)
    if soon != NULL and reader.ask_for != NULL:
        reader.ask_for(reader.self, soon.sender, SOON)
        reader.ask_for(reader.self, soon.to, SOON)


cdef void block_ask_for_next(
    const StateReader* reader, WorkingSet* ws, TxData** txs, size_t at, size_t count
) noexcept nogil:
    block_ask_for(
        reader, ws, txs[at + AHEAD_SOON] if at + AHEAD_SOON < count else NULL,
        txs[at + AHEAD_LATER] if at + AHEAD_LATER < count else NULL,
        txs[at + AHEAD_OF_LATER] if at + AHEAD_OF_LATER < count else NULL,
    )


cdef BlockFailure block_transaction(
    Machine* machine, const BlockRules* rules, const TxData* tx, BlockOutput* output, TxInvalid* invalid, Status* status
) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef TxResult result
    cdef uint64_t blob_gas_left = rules.blob_gas_limit - output.blob_gas_used
    transaction_run(
        machine, tx, &rules.checks, rules.env.gas_limit - output.gas_used, blob_gas_left, rules.max_blobs_per_tx,
        &result,
    )
    if result.status >= STATE_FAILED:
        status[0] = result.status
        return BLOCK_ENGINE_FAILED
    if result.invalid != TX_VALID:
        invalid[0] = result.invalid
        output.account_nonce = result.account_nonce
        return BLOCK_TRANSACTION_INVALID
    # Accesses are noted before the transaction is published.
    if (output.notes != NULL and not access_end_part(output.notes, ws)) or not block_keep(
        output, ws.logs, ws.log_count, ws.log_data, tx, &result, &machine.env.gas_price
    ):
        status[0] = NO_MEMORY
        return BLOCK_ENGINE_FAILED
    return BLOCK_OK


cdef BlockFailure block_end(
    Machine* machine, const BlockRules* rules, BlockOutput* output, Status* status
) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef BlockFailure failure
    cdef uint32_t account
    cdef size_t i
    if rules.credit_count:
        ws_begin(ws)
        for i in range(rules.credit_count):
            account = ws_account(ws, rules.credits[i].address)
            ws_touch(ws, account)
            ws_add_balance(ws, account, &rules.credits[i].amount)
        ws_finish(ws)
    if rules.revision >= PRAGUE:
        failure = collect_requests(machine, rules, WITHDRAWAL_REQUESTS, output, 0, status)
        if failure != BLOCK_OK:
            return failure
        failure = collect_requests(machine, rules, CONSOLIDATION_REQUESTS, output, 1, status)
        if failure != BLOCK_OK:
            return failure
    if ws.failed:
        status[0] = NO_MEMORY if ws.no_memory else STATE_FAILED
        return BLOCK_ENGINE_FAILED
    return BLOCK_OK
