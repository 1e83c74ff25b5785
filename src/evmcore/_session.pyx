"""Blocks made step by step on one working set, over a state that is never written.

The working set is the session's memory: each transaction or block sees the changes of those before it, and nothing is
written to the state below. A session therefore costs what it accesses, however large the state is.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from evmcore._arguments cimport prepare_transaction, read_timeout
from evmcore._block_result cimport BlockResult, result_of
from evmcore._block_run cimport BlockRun, engine_error, failure_error, root_function
from evmcore._block_steps cimport BLOCK_OK, BlockFailure, BlockRules, block_begin, block_end, block_enter, block_keep
from evmcore._code cimport Code
from evmcore._diff cimport StateDiff, diff_collect
from evmcore._engine cimport fill_result
from evmcore._interp cimport Machine, NO_MEMORY, STATE_FAILED, SUCCESS, Status
from evmcore._outcome cimport KeptOutput
from evmcore._overlay cimport checked_overrides, moves_new
from evmcore._prepared cimport PreparedTransaction, transaction_error
from evmcore._results cimport TransactionResult
from evmcore._state cimport (
    AccountEntry, WorkingSet, ws_account, ws_begin, ws_code, ws_reset, ws_set_balance, ws_set_code, ws_set_nonce, ws_slot,
    ws_store, ws_wipe,
)
from evmcore._tx cimport ALL_CHECKS, GAS_PER_BLOB, TX_VALID, TxChecks, TxResult, transaction_run
from evmcore._u256 cimport u256, u256_from_int, u256_to_int
from evmcore.state._reader cimport Backend
from evmcore.state.adapter cimport as_backend
from evmcore.tracing._hooks cimport Tracer

from evmcore.blocks import Block
from evmcore.errors import InputError, not_copied
from evmcore.forks import chain_of, fork_of
from evmcore.types import to_address, to_uint


cdef class Session:
    """A state on which transactions are run and blocks are made without changing it.

    - `state`: a `MemoryState`, another backend or a `State`; `chain`: as for `execute_block`.
    - `timeout`: seconds from now, or a `TimeLimit`, after which running raises `ExecutionAborted`.

    `begin_block`, `run` for each transaction and `end_block` make one block. Its changes stay in the session: the next
    block starts from there. Between blocks, `override` changes accounts.

    The state must not be written to while the session lives: the session would see the old values of what it has read,
    and the new values of everything else. Not for use from several threads at once. After a `StateError`,
    `ResourceError` or `ExecutionAborted` the session can no longer be used.
    """

    def __cinit__(self, *args, **kwargs):
        self.making = BlockRun()
        self.machine = self.making.machine
        self.backend = Backend()              # without __init__ every read fails
        ws_reset(self.machine.ws, &self.backend.reader, 0)

    def __init__(self, state, chain="mainnet", *, timeout=None):
        if self.chain is not None:
            raise InputError("a Session is made once: make another one")
        self.chain = chain_of(chain)
        self.backend = self.making.backend = as_backend(state)
        self.machine.deadline_ns = read_timeout(timeout, &self.machine.abort_flag)
        self.limit = timeout
        self.machine.tracer = NULL
        if self.backend.hooks != NULL:
            self.machine.stop_at = self.backend.hooks.stop_at
        self.machine.unlimited_code_size = False
        ws_reset(self.machine.ws, &self.backend.reader, 0)

    def __reduce__(self):
        raise not_copied(self, "pickle what it changed, its `diff()`, and begin another on a state to which that was applied")

    # ---- what is there

    def account(self, address):
        """(nonce, balance in wei) of an account as the session sees it; zeros when it is absent."""
        cdef WorkingSet* ws = self.machine.ws
        cdef uint32_t account = self.load(to_address(address, "address"))
        return ws.accounts[account].nonce, u256_to_int(&ws.accounts[account].balance)

    cdef uint32_t load(self, bytes address) except? 0:
        cdef const uint8_t* key = <const uint8_t*>PyBytes_AS_STRING(address)
        cdef uint32_t account
        with nogil:
            self.backend.begin_read()
            account = ws_account(self.machine.ws, key)
            self.backend.end_read()
        self.check_read()
        return account

    def code(self, address) -> bytes:
        """The code of an account as the session sees it."""
        cdef uint32_t account = self.load(to_address(address, "address"))
        cdef Code* code
        with nogil:
            self.backend.begin_read()
            code = ws_code(self.machine.ws, account)
            self.backend.end_read()
        self.check_read()
        return PyBytes_FromStringAndSize(<const char*>code.raw, code.size)

    def diff(self) -> StateDiff:
        """All changes made by the session, as a diff against the state."""
        cdef StateDiff diff
        self.backend.begin_read()
        try:
            diff = diff_collect(self.machine.ws)
            self.backend.complete(diff)
        finally:
            self.backend.end_read()
        return diff

    def state_root(self) -> bytes:
        """The state root with all changes of the session. `StateError` if the backend cannot compute a root."""
        return root_function(self.backend)(self.diff())

    # ---- overrides

    def override(self, overrides):
        """Changes accounts: a mapping of address to an `Account`, or to a mapping with any of balance, nonce, code,
        state (all slots) and stateDiff (some slots). An account with any given field exists from then on. Raises
        `InputError` for invalid overrides; none of them is then applied."""
        if self.fork is not None:
            raise InputError("overrides: a block is being made; change accounts before it begins")
        checked = checked_overrides(overrides)
        ws_begin(self.machine.ws)             # one change after the other, as if of a transaction; nothing is cleared
        for address, fields in checked:
            self.override_account(address, fields)

    cdef int override_account(self, bytes address, dict fields) except -1:
        cdef WorkingSet* ws = self.machine.ws
        cdef uint32_t account, slot
        cdef u256 key, value
        cdef AccountEntry before
        cdef bytes code
        account = self.load(address)
        if "nonce" in fields:
            ws_set_nonce(ws, account, fields["nonce"])
        if "code" in fields:
            code = fields["code"]
            ws_set_code(ws, account, <const uint8_t*>PyBytes_AS_STRING(code), len(code))
        if "balance" in fields:
            value = u256_from_int(fields["balance"], "balance")
            ws_set_balance(ws, account, &value)
        if fields:
            ws.accounts[account].exists = True
        if "state" in fields:                 # another life of the same account
            before = ws.accounts[account]
            ws_wipe(ws, account)
            ws.accounts[account].exists = True
            ws.accounts[account].nonce = before.nonce
            ws.accounts[account].balance = before.balance
            ws.accounts[account].code = before.code
            memcpy(ws.accounts[account].code_hash, before.code_hash, 32)
        for number, content in fields.get("state", fields.get("stateDiff", {})).items():
            key = u256_from_int(number, "slot")
            value = u256_from_int(content, "slot value")
            with nogil:
                self.backend.begin_read()
                slot = ws_slot(ws, account, &key)
                self.backend.end_read()
            ws_store(ws, slot, &value)
        return self.check_read()

    def move_precompiles(self, moves):
        """Maps the address of a precompile to the address where code finds it, or to None to disable it. The moves hold
        until the next call of this method; an empty mapping puts all precompiles back."""
        self.machine.moves = NULL
        self.precompiles = moves_new(moves)
        if self.precompiles.moves.count:
            self.machine.moves = &self.precompiles.moves

    # ---- blocks

    def begin_block(self, block, *, fork=None, block_hashes=None, blob_base_fee=None, reward=None, lax_requests=False,
                    system_calls=True):
        """Begins a block with the header of `block` (a `Block`; results of execution such as roots and gas are
        ignored), its withdrawals and ommers, and runs the system calls.

        `fork`: replaces the fork of the chain. `block_hashes`: number to hash for BLOCKHASH, for numbers that the state
        does not know. `blob_base_fee` (wei): replaces the fee that follows from the header. `reward`: as in
        `execute_block`. `lax_requests`: a request contract without code makes no requests; otherwise the block is then
        invalid. `system_calls` False: skips the system calls, because the state already contains their effects.
        """
        cdef BlockFailure failure = BLOCK_OK
        cdef Status status = SUCCESS
        cdef bint with_calls = bool(system_calls)
        if not isinstance(block, Block):
            raise InputError(f"block: expected a Block, got {type(block).__name__}")
        if self.fork is not None:
            raise InputError("begin_block: the block before has not ended")
        header = block.header
        fork = (
            self.chain.fork_of(header.number, header.timestamp, header.difficulty) if fork is None else fork_of(fork)
        )
        free(self.making.rules.credits)
        memset(&self.making.rules, 0, sizeof(BlockRules))
        self.making.prepare(block, self.chain, fork, block_hashes, reward)
        self.making.rules.lax_requests = bool(lax_requests)
        if blob_base_fee is not None:
            self.making.rules.env.blob_base_fee = u256_from_int(to_uint(blob_base_fee, "blob_base_fee"), "blob_base_fee")
        self.machine.ws.reader = &self.making.overlay.reader
        self.machine.ws.revision = self.making.rules.revision
        self.new_output()
        with nogil:
            self.backend.begin_read()
            block_enter(self.machine, &self.making.rules, self.machine.abort_flag)
            if with_calls:
                failure = block_begin(self.machine, &self.making.rules, &status)
            self.backend.end_read()
        if failure != BLOCK_OK:
            raise failure_error(self.backend, failure, status, self.making.output)
        self.fork = fork

    @property
    def gas_left(self) -> int:
        """The part of the block's gas limit that is left."""
        return self.making.rules.env.gas_limit - self.making.output.gas_used

    @property
    def logs_seen(self) -> int:
        """The number of logs in the session so far, including those of reverted calls."""
        return self.machine.ws.logs_seen

    @property
    def blob_gas_used(self) -> int:
        """Blob gas of the block's transactions so far."""
        return self.making.output.blob_gas_used

    def run(
        self, tx, *, nonce=True, fees=True, blob_fee=True, eoa=True, gas_cap=True, blob_limit=True,
        show_transfers=False, tracer=None,
    ):
        """Runs a transaction (in any form that `EVM.transact` takes) as the block's next one.

        Each of these flags can switch a check off: `nonce`; `fees`, the maximum fee against the base fee; `blob_fee`,
        the same for blobs; `eoa`, whether the sender has code (EIP-3607); `gas_cap`, the gas limit against EIP-7825 and
        the block's; `blob_limit`, blobs against the block's limit. The sender always pays the gas, at the transaction's
        price, and the value. `show_transfers`: the result's logs include ether transfers as ERC-20 Transfer events of
        ERC-7528's address; the receipts do not.

        Returns a `TransactionResult` (without diff). Raises `InvalidTransaction` if the transaction may not be in the
        block; the block is then unchanged.
        """
        cdef PreparedTransaction prepared
        cdef TransactionResult result = TransactionResult.__new__(TransactionResult)
        cdef TxResult outcome
        cdef TxChecks checks = ALL_CHECKS
        cdef Tracer watcher = None
        cdef Machine* machine = self.machine
        cdef uint64_t blob_gas_left
        if self.fork is None:
            raise InputError("run: no block has begun")
        if tracer is not None:
            if not isinstance(tracer, Tracer):
                raise InputError(f"tracer: expected one of evmcore.tracing, got {type(tracer).__name__}")
            watcher = <Tracer>tracer
        prepared = prepare_transaction(tx, self.fork)
        checks.nonce = bool(nonce)
        checks.base_fee = bool(fees)
        checks.blob_fee = bool(blob_fee)
        checks.sender_is_eoa = bool(eoa)
        checks.gas_cap = bool(gas_cap)
        blob_gas_left = self.making.rules.blob_gas_limit - self.making.output.blob_gas_used
        if not blob_limit:
            blob_gas_left = <uint64_t>GAS_PER_BLOB * prepared.data.blob_hash_count
        machine.show_transfers = bool(show_transfers)
        if watcher is not None:
            watcher.attach(machine)
        with nogil:
            self.backend.begin_read()
            transaction_run(
                machine, &prepared.data, &checks, self.making.rules.env.gas_limit - self.making.output.gas_used, blob_gas_left,
                self.making.rules.max_blobs_per_tx, &outcome,
            )
            self.backend.end_read()
        machine.show_transfers = False
        if watcher is not None:
            watcher.detach()
        if outcome.status >= STATE_FAILED:
            raise engine_error(self.backend, outcome.status)
        if outcome.invalid != TX_VALID:
            raise transaction_error(
                outcome.invalid, self.making.output.record_count, &prepared.data, self.making.rules.revision,
                outcome.account_nonce,
            )
        fill_result(result, &outcome, machine)
        result.gas_spent = outcome.gas_spent
        if watcher is not None:
            self.backend.begin_read()         # a tracer may still ask the state for code
            try:
                watcher.finish(machine, prepared.data.gas_limit, outcome.gas_used, outcome.status, result.output)
            finally:
                self.backend.end_read()
        drop_transfers(machine.ws)
        if not block_keep(
            self.making.output, machine.ws.logs, machine.ws.log_count, machine.ws.log_data, &prepared.data, &outcome,
            &machine.env.gas_price,
        ):
            raise engine_error(self.backend, NO_MEMORY)
        return result

    def end_block(self, block):
        """Ends the block: pays out withdrawals or rewards and collects the requests.

        `block`: the block given to `begin_block`, with the transactions that have run. Returns its `BlockResult`, whose
        `diff` has all changes made by the session. Raises `InvalidBlock` as `execute_block` does.
        """
        cdef BlockFailure failure
        cdef BlockResult result
        cdef Status status = SUCCESS
        fork = self.fork
        if fork is None:
            raise InputError("end_block: no block has begun")
        if <size_t>len(block.transactions) != self.making.output.record_count:
            raise InputError(
                f"block: {len(block.transactions)} transactions, {self.making.output.record_count} have been run"
            )
        self.fork = None
        with nogil:
            self.backend.begin_read()
            failure = block_end(self.machine, &self.making.rules, self.making.output, &status)
            self.backend.end_read()
        if failure != BLOCK_OK:
            raise failure_error(self.backend, failure, status, self.making.output)
        self.making.diff = self.diff()
        result = result_of(self.making, block, self.chain, fork, 1)
        self.making.diff = None
        self.new_output()
        return result

    cdef int new_output(self) except -1:
        """The one before may belong to a result."""
        self.making.kept = KeptOutput()
        self.making.output = &self.making.kept.data
        return 0

    cdef int check_read(self) except -1:
        cdef WorkingSet* ws = self.machine.ws
        if ws.failed:
            raise engine_error(self.backend, NO_MEMORY if ws.no_memory else STATE_FAILED)
        return 0


cdef void drop_transfers(WorkingSet* ws) noexcept nogil:
    """Leaves the logs that are really there."""
    cdef uint32_t i, kept = 0
    for i in range(ws.log_count):
        if not ws.logs[i].is_transfer:
            if kept != i:
                ws.logs[kept] = ws.logs[i]
            kept += 1
    ws.log_count = kept
