"""The Python facade's compiled half: one object that answers calls and runs transactions on a state."""
from libc.stdint cimport int64_t, uint32_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._block_run cimport engine_error, read_failure
from evmcore._arguments cimport (
    fill_call, fill_environment, prepare_call, prepare_transaction, read_address, read_bytes, read_gas, read_timeout,
    read_word,
)
from evmcore._batch cimport Batch, Settings, batch_new, end_batch, settings_message, settings_run
from evmcore._code cimport check_code_size
from evmcore._diff cimport diff_collect
from evmcore._handlers cimport Handlers, handle_signals
from evmcore._interrupts cimport python_interrupts, raise_interruption
from evmcore._interp cimport CALL, CREATE, Machine, Message, Outcome, STATE_FAILED, SUCCESS, Status
from evmcore._machines cimport FOR_CALLS, machine_give, machine_or_error
from evmcore._overlay cimport MovedPrecompiles, Overlay, moves_new, overlay_new
from evmcore._prepared cimport PreparedTransaction, transaction_error
from evmcore._results cimport CallResult, TransactionResult
from evmcore._tx cimport (
    ALL_CHECKS, CALL_CHECKS, GAS_PER_BLOB, MAX_BLOBS_PER_TX, TX_VALID, TxChecks, TxData, TxResult,
)
from evmcore._u256 cimport u256
from evmcore.state._reader cimport Backend
from evmcore.state.adapter cimport PythonBackend, as_backend
from evmcore.tracing._hooks cimport Tracer

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from evmcore import estimates
from evmcore._interp import dispatch_build
from evmcore.errors import ExecutionAborted, InputError, ResourceError, StateError, not_copied
from evmcore.forks import Fork, chain_of
from evmcore.threads import thread_count
from evmcore.types import BlockEnv, shown, to_bytes


# Unsigned, but the sender must own the value.
cdef TxChecks DEPLOY_CHECKS = CALL_CHECKS
DEPLOY_CHECKS.balance = True
DEPLOY_CHECKS.forgotten = False

cdef tuple EMPTY = ()


cdef bytes read_code_argument(object code):
    cdef bytes data = to_bytes(code, "code")
    check_code_size(len(data), "code")
    return data


cdef Tracer read_tracer(object tracer):
    if not isinstance(tracer, Tracer):
        raise InputError(f"argument 'tracer': expected one of evmcore.tracing, got {type(tracer).__name__}")
    return <Tracer>tracer


cdef int fill_result(CallResult result, const TxResult* outcome, Machine* machine) except -1:
    result.ended = outcome.status
    result.gas_used = outcome.gas_used
    result.gas_refund = outcome.gas_refund
    result.output = PyBytes_FromStringAndSize(<const char*>outcome.output, outcome.output_size)
    if outcome.is_create and outcome.status == SUCCESS:
        result.created_address = PyBytes_FromStringAndSize(<const char*>outcome.created, 20)
    if machine.ws.log_count:
        result.keep_logs(machine.ws)
    return 0


cdef class EVM:
    """Answers calls and runs transactions on `state`, as if in `block`, by the rules of `fork`.

    - `state`: a `MemoryState`, a `State` of your own, or a geth-style alloc for a new `MemoryState`.
    - `fork`: a `Fork` or its name; or a chain (`ChainConfig`, "mainnet", ...), of which the fork at `block` is used.
    - `block`: the block environment that code sees, and the gas limit of transactions; by default an empty `BlockEnv`.
    - `chain_id`: for CHAINID and signatures; by default the chain's own, 1 for a fork.
    - `unlimited_code_size`: lifts the limits of EIP-170 and EIP-3860, as development chains do.
    - `switch_dispatch`: runs the interpreter's switch build, which is slower (for debugging; same results).

    Raises `InputError` for a bad argument. An EVM is immutable; `with_block` makes another one for another block. Its
    attributes are `state` (as given; if an alloc was given, the `MemoryState` made from it), `fork` (a `Fork`), `block`
    (a `BlockEnv`) and `chain_id`.

    Threads: any number of threads may run `call`, `message` and `call_many` at once, on one EVM or several. The GIL is
    released meanwhile, and each run sees one consistent state. Transactions on one EVM are applied one after the
    other. If two EVMs (or anything else) write to one state at once, the later writer gets a `StateError` instead of a
    wrong result.
    """
    def __cinit__(self, *args, **kwargs):
        self.backend = Backend()              # without __init__ every read fails
        self.settings.reader = &self.backend.reader
        self.applying = threading.RLock()

    def __init__(self, state, fork="osaka", block=None, chain_id=None, *, unlimited_code_size=False,
                 switch_dispatch=False):
        if self.block is not None:                # calls may be running
            raise InputError("an EVM is made once: make another one, or one for another block by `with_block`")
        if block is None:
            block = BlockEnv()
        elif not isinstance(block, BlockEnv):
            raise InputError(f"argument 'block': expected a BlockEnv, got {type(block).__name__}")
        chain = chain_of(fork, chain_id)
        self.backend = as_backend(state)
        self.state = (<PythonBackend>self.backend).state if isinstance(self.backend, PythonBackend) else self.backend
        self.fork = chain.fork_at(block.number, block.timestamp)
        self.chain_id = chain.chain_id
        self.blob_schedule = chain.blob_schedule_at(block.number, block.timestamp)
        self.settings.revision = self.fork.revision
        self.settings.unlimited_code_size = bool(unlimited_code_size)
        self.settings.switch_dispatch = bool(switch_dispatch) or dispatch_build() == "switch"
        if self.blob_schedule is not None:
            self.settings.blob_gas_limit = self.blob_schedule.max * <uint64_t>GAS_PER_BLOB
            self.settings.max_blobs_per_tx = MAX_BLOBS_PER_TX if self.fork >= Fork.OSAKA else self.blob_schedule.max
        self.set_block(block)

    cdef int set_block(self, object block) except -1:
        self.block = block
        fill_environment(&self.settings.env, block, self.chain_id, self.settings.revision, self.blob_schedule)
        self.settings.reader = &self.backend.reader
        self.settings.hooks = self.backend.hooks
        self.hashes = None
        if block.block_hashes:
            self.hashes = overlay_new(&self.backend.reader)
            self.hashes.add_hashes(block.block_hashes, block.number)
            self.settings.reader = &self.hashes.reader
        return 0

    def with_block(self, block):
        """The same EVM in another block: a `BlockEnv`, or a mapping of the fields that change. The fork stays the same."""
        if isinstance(block, Mapping):
            unknown = block.keys() - set(BlockEnv.__dataclass_fields__)
            if unknown:
                raise InputError(f"argument 'block': unknown field {min(map(str, unknown))!r}; "
                                 f"fields are {', '.join(BlockEnv.__dataclass_fields__)}")
            block = replace(self.block, **block)
        elif not isinstance(block, BlockEnv):
            got = type(block).__name__
            raise InputError(f"argument 'block': expected a BlockEnv or a mapping of its fields, got {got}")
        cdef EVM other = type(self).__new__(type(self))
        other.state = self.state
        other.backend = self.backend
        other.fork = self.fork
        other.chain_id = self.chain_id
        other.blob_schedule = self.blob_schedule
        other.applying = self.applying
        other.settings = self.settings
        other.set_block(block)
        return other

    def __reduce__(self):
        raise not_copied(
            self, "pickle its state and block and the fork or chain it was made for, and make another of them"
        )

    def __repr__(self):
        fork = self.fork.name.lower()
        return f"EVM({self.state!r}, fork={fork!r}, block={self.block.number}, chain_id={self.chain_id})"

    # ---- calls: nothing is changed

    def call(self, to, data=b"", *, sender=None, value=0, gas=None, gas_price=0, access_list=(), blob_hashes=(),
             authorization_list=(), overrides=None, block=None, precompile_moves=None, timeout=None, tracer=None):
        """Run an unsigned transaction and return its outcome (eth_call); the state stays unchanged.

        - `to`: 20-byte address, or None to run `data` as init code; `sender`: by default the zero address.
        - `value` and `gas_price` in wei. The call does not check the sender's balance (missing `value` is credited for
          the call), nonce and code, nor the base fee. GASPRICE returns `gas_price`, but no gas is paid for.
        - `gas`: the gas limit, by default the block's. Both this limit and the result's `gas_used` include the intrinsic
          gas; `gas_used` is the gas a transaction would pay for: refunds subtracted, at least the EIP-7623 floor. For
          execution alone see `message`.
        - `access_list`, `blob_hashes`, `authorization_list`: as in a `Transaction` of type 1, 3 or 4.
        - `overrides`: maps an address to the account that the call sees there: an `Account`, or a mapping with any of
          balance, nonce, code, state (all slots) and stateDiff (some slots).
        - `block`: replaces the EVM's block for this call, as in `with_block`.
        - `precompile_moves`: maps the address of a precompile to the address where the call finds it, or to None to
          disable it; the account at the precompile's own address is then an ordinary one.
        - `timeout`: seconds after which `ExecutionAborted` is raised, or a `TimeLimit`. In the main thread, signal
          handlers run during the call; an exception they raise (KeyboardInterrupt) ends the call too.
        - `tracer`: one of `evmcore.tracing`.

        Returns a `CallResult`, also for a revert or an exceptional halt. Raises `InputError` for a bad argument,
        `InvalidTransaction` if no such transaction could run (gas below the intrinsic gas, init code too large),
        `StateError` if the state could not be read and `ResourceError` if memory ran out.
        """
        cdef TxData tx
        cdef Settings settings
        cdef Overlay overlay
        cdef PreparedTransaction prepared
        cdef MovedPrecompiles moves = None if precompile_moves is None else moves_new(precompile_moves)
        cdef bytes payload
        if block is not None:
            return self.with_block(block).call(
                to, data, sender=sender, value=value, gas=gas, gas_price=gas_price, access_list=access_list,
                blob_hashes=blob_hashes, authorization_list=authorization_list, overrides=overrides,
                precompile_moves=precompile_moves, timeout=timeout, tracer=tracer)
        payload = fill_call(&tx, to, data, sender, value, gas, gas_price, self.settings.env.gas_limit)
        if access_list or blob_hashes or authorization_list:
            prepared = prepare_call(&tx, payload, access_list, blob_hashes, authorization_list)
            tx = prepared.data
        if overrides is None:
            return self.answer(&self.settings, &tx, moves, timeout, tracer)
        settings = self.settings
        overlay = overlay_new(settings.reader)
        overlay.add_accounts(overrides)
        settings.reader = &overlay.reader
        return self.answer(&settings, &tx, moves, timeout, tracer)

    cdef CallResult answer(
        self, const Settings* settings, const TxData* tx, MovedPrecompiles moves, object timeout, object tracer
    ):
        cdef CallResult result = CallResult.__new__(CallResult)
        cdef TxResult outcome
        cdef Tracer watcher = None if tracer is None else read_tracer(tracer)
        cdef const uint32_t* abort_flag
        cdef int64_t deadline = read_timeout(timeout, &abort_flag)
        cdef Machine* machine = machine_or_error(FOR_CALLS)
        try:
            machine.abort_flag = abort_flag
            machine.deadline_ns = deadline
            machine.interrupted = python_interrupts
            if watcher is not None:
                watcher.attach(machine)
            if moves is not None:
                machine.moves = &moves.moves
            with nogil:
                self.backend.begin_read()
                if settings.hooks != NULL and not tx.is_create:
                    settings.hooks.began(settings.hooks.self, machine, tx.to, tx.sender, tx.data, tx.data_size)
                settings_run(settings, machine, tx, &CALL_CHECKS, tx.gas_limit, &outcome)
                self.backend.end_read()
            if watcher is not None:
                watcher.detach()
            raise_interruption(machine)
            if outcome.invalid != TX_VALID or outcome.status >= STATE_FAILED:
                self.check(&outcome, tx, None)
            fill_result(result, &outcome, machine)
            if watcher is not None:
                self.finish(watcher, machine, tx.gas_limit, outcome.gas_used, result)
        finally:
            machine_give(machine, FOR_CALLS)
        return result

    cdef int finish(self, Tracer watcher, Machine* machine, int64_t gas, int64_t gas_used, CallResult result) except -1:
        self.backend.begin_read()               # a tracer may still ask the state for code
        try:
            watcher.finish(machine, gas, gas_used, result.ended, result.output)
        finally:
            self.backend.end_read()
        return 0

    def message(self, to, data=b"", *, sender=None, value=0, gas=None, gas_price=0, code=None, is_static=False,
                overrides=None, timeout=None, tracer=None):
        """Run one message call (or, with `to` None, creation) by itself; the state stays unchanged.

        Unlike `call` this is not a transaction: no intrinsic gas, no refund, no floor, no checks. The code gets all of
        `gas`. The result's `gas_used` is the gas that execution took, and `gas_refund` is the refund counter, which is
        not subtracted. `code` runs in place of the code at `to`, also where `overrides` replaces that; `is_static`
        forbids state changes as STATICCALL does. The other arguments, the result and the errors are as in `call`.
        """
        cdef Message message
        cdef Outcome outcome
        cdef Settings seen
        cdef const Settings* settings = &self.settings
        cdef Overlay over_code = None, over_all = None
        cdef u256 price
        cdef bytes payload = read_bytes(data, "data")
        cdef CallResult result = CallResult.__new__(CallResult)
        cdef Tracer watcher = None if tracer is None else read_tracer(tracer)
        cdef const uint32_t* abort_flag
        cdef int64_t deadline = read_timeout(timeout, &abort_flag)
        cdef Machine* machine
        memset(&message, 0, sizeof(Message))
        message.kind = CREATE if to is None else CALL
        message.is_static = bool(is_static)
        message.gas = read_gas(gas, settings.env.gas_limit, "gas")
        message.input = <const uint8_t*>PyBytes_AS_STRING(payload)
        message.input_size = len(payload)
        read_word(&message.value, value, "value")
        read_word(&price, gas_price, "gas_price")
        if sender is not None:
            read_address(message.caller, sender, "sender")
        if to is not None:
            read_address(message.target, to, "to")
            memcpy(message.code_address, message.target, 20)
        if code is not None or overrides is not None:
            seen = self.settings
            settings = &seen
        if code is not None and to is None:
            raise InputError("argument 'code': a creation runs `data`; give `to` to run code in its place")
        if overrides is not None:
            over_all = overlay_new(seen.reader)
            over_all.add_accounts(overrides)
            seen.reader = &over_all.reader
        if code is not None:                      # before the overrides, which may be of the same account
            over_code = overlay_new(seen.reader)
            target = PyBytes_FromStringAndSize(<char*>message.target, 20)
            over_code.add_account(target, {"code": read_code_argument(code)})
            seen.reader = &over_code.reader
        machine = machine_or_error(FOR_CALLS)
        try:
            machine.abort_flag = abort_flag
            machine.deadline_ns = deadline
            machine.interrupted = python_interrupts
            if watcher is not None:
                watcher.attach(machine)
            with nogil:
                self.backend.begin_read()
                if settings.hooks != NULL and message.kind == CALL:
                    settings.hooks.began(
                        settings.hooks.self, machine, message.target, message.caller, message.input, message.input_size
                    )
                settings_message(settings, machine, &message, &price, &outcome)
                self.backend.end_read()
            if watcher is not None:
                watcher.detach()
            raise_interruption(machine)
            self.check_status(outcome.status)
            result.ended = outcome.status
            result.gas_used = message.gas - outcome.gas_left
            result.gas_refund = machine.ws.refund
            result.output = PyBytes_FromStringAndSize(<const char*>outcome.output, outcome.output_size)
            if to is None and outcome.status == SUCCESS:
                result.created_address = PyBytes_FromStringAndSize(<const char*>outcome.created, 20)
            if machine.ws.log_count:
                result.keep_logs(machine.ws)
            if watcher is not None:
                self.finish(watcher, machine, message.gas, result.gas_used, result)
        finally:
            machine_give(machine, FOR_CALLS)
        return result

    def call_many(self, calls, *, threads=None, overrides=None, block=None, timeout=None):
        """Run many calls on native threads without the GIL; each call runs independently on the current state.

        Each call is a `Call`, a tuple in its order (to, data, sender, value, gas, gas_price, access_list), or a mapping
        of these names. `threads`: the maximum number of threads, as for `execute_block`; by default one for each core.
        `overrides`, `block` and `timeout` (for the whole batch) are as in `call`.

        Returns the `CallResult`s in the order of the calls; they do not depend on the number of threads. Raises as
        `call` does, for the first call in order that could not be run; `InvalidTransaction.index` is the index of that
        call.
        """
        if block is not None:
            return self.with_block(block).call_many(calls, threads=threads, overrides=overrides, timeout=timeout)
        cdef Py_ssize_t count, first, i, ended
        cdef unsigned int workers
        cdef Overlay overlay
        cdef Batch batch
        cdef Handlers handlers
        cdef Settings settings = self.settings
        cdef const uint32_t* abort_flag
        cdef int64_t deadline
        cdef list items, results = []
        if not isinstance(calls, Iterable):
            raise InputError(f"argument 'calls': expected calls in a list, got {type(calls).__name__}")
        items = list(calls)
        count = len(items)
        workers = min(thread_count("auto" if threads is None else threads), max(count, 1))
        if overrides is not None:
            overlay = overlay_new(settings.reader)
            overlay.add_accounts(overrides)
            settings.reader = &overlay.reader
        deadline = read_timeout(timeout, &abort_flag)
        batch = batch_new(min(count, SLICE), self.backend, &settings, deadline, abort_flag)
        for first in range(0, count, SLICE):
            for i in range(first, min(first + SLICE, count)):
                add_call(batch, items[i], i)
            handlers = handle_signals(end_batch, <void*>batch)
            with nogil:
                self.backend.begin_read()
                batch.run(workers)
                self.backend.end_read()
            if handlers is not None:
                handlers.done()
            ended = batch.count
            for i in range(ended):
                if batch.jobs[i].result.invalid == TX_VALID and batch.jobs[i].result.status == STATE_FAILED:
                    raise read_failure(batch.failures.get(i))
                self.check(&batch.jobs[i].result, &batch.jobs[i].tx, first + i)
                results.append(batch.result(i))
            batch.clear()
        return results

    def estimate_gas(self, to, data=b"", **arguments):
        """The least gas limit with which a call succeeds: `evmcore.estimates.estimate_gas`."""
        return estimates.estimate_gas(self, to, data, **arguments)

    def create_access_list(self, to, data=b"", **arguments):
        """The accounts and slots a call accesses, as an EIP-2930 list: `evmcore.estimates.create_access_list`."""
        return estimates.create_access_list(self, to, data, **arguments)

    # ---- transactions: the state is changed

    def transact(self, tx, *, timeout=None, tracer=None):
        """Run a transaction with all checks and apply it to the state.

        `tx`: a `Transaction`, signed or with its `sender` given, or an encoded one (bytes or 0x-hex). It may use the
        whole gas limit of the block; fees go to the block's coinbase. `timeout` and `tracer` are as in `call`.

        Returns a `TransactionResult`, also if the transaction reverted or halted (it has then paid for its gas). Raises
        `InvalidTransaction` with the reason if the transaction may not be in a block, and the errors of `call`; the
        state is then unchanged.
        """
        cdef PreparedTransaction prepared = prepare_transaction(tx, self.fork)
        return self.apply(&prepared.data, &ALL_CHECKS, timeout, tracer)

    def deploy(self, init_code, *, sender=None, value=0, gas=None, timeout=None, tracer=None):
        """Create a contract by running `init_code`, and apply the creation to the state.

        Works like an unsigned transaction from `sender` (by default the zero address) with the right nonce and a gas
        price of zero. `value` in wei is taken from the sender; `gas` is the gas limit, by default the block's.

        Returns a `TransactionResult`, whose `created_address` is the contract's address, None if the creation failed.
        Raises as `transact` does.
        """
        cdef TxData tx
        cdef int64_t limit = self.settings.env.gas_limit
        payload = fill_call(&tx, None, read_bytes(init_code, "init_code"), sender, value, gas, 0, limit)
        return self.apply(&tx, &DEPLOY_CHECKS, timeout, tracer)

    cdef TransactionResult apply(self, const TxData* tx, const TxChecks* checks, object timeout, object tracer):
        cdef TransactionResult result = TransactionResult.__new__(TransactionResult)
        cdef TxResult outcome
        cdef Tracer watcher = None if tracer is None else read_tracer(tracer)
        cdef const uint32_t* abort_flag
        cdef int64_t deadline = read_timeout(timeout, &abort_flag)
        cdef Machine* machine
        with self.applying:
            machine = machine_or_error(FOR_CALLS)
            try:
                machine.abort_flag = abort_flag
                machine.deadline_ns = deadline
                machine.interrupted = python_interrupts
                if watcher is not None:
                    watcher.attach(machine)
                with nogil:
                    self.backend.begin_read()
                    settings_run(&self.settings, machine, tx, checks, self.settings.env.gas_limit, &outcome)
                    self.backend.end_read()
                if watcher is not None:
                    watcher.detach()
                raise_interruption(machine)
                self.check(&outcome, tx, None)
                fill_result(result, &outcome, machine)
                result.gas_spent = outcome.gas_spent
                result.diff = diff_collect(machine.ws)
                if watcher is not None:
                    self.finish(watcher, machine, tx.gas_limit, outcome.gas_used, result)
                self.backend.apply(result.diff)
            finally:
                machine_give(machine, FOR_CALLS)
        return result

    def snapshot(self):
        """Remember the current state; returns the snapshot to pass to `revert`. Calls the state's own `snapshot`."""
        return getattr(self.state, "snapshot", self.backend.snapshot)()

    def revert(self, snapshot):
        """Restore the state of `snapshot`; later snapshots are forgotten."""
        getattr(self.state, "revert", self.backend.revert)(snapshot)

    # ---- what went wrong

    cdef int check(self, const TxResult* result, const TxData* tx, object index) except -1:
        if result.invalid != TX_VALID:
            raise transaction_error(result.invalid, index, tx, self.settings.revision, result.account_nonce)
        return self.check_status(result.status)

    cdef int check_status(self, Status status) except -1:
        if status < STATE_FAILED:
            return 0
        raise engine_error(self.backend, status)


# Calls of a batch that are prepared, run and answered together, so that their memory stays in the cache.
cdef enum:
    SLICE = 1024

cdef dict CALL_DEFAULTS = {
    "to": None, "data": b"", "sender": None, "value": 0, "gas": None, "gas_price": 0, "access_list": (),
}


cdef int add_call(Batch batch, object call, Py_ssize_t index) except -1:
    """Adds one of `call_many`'s calls to the batch."""
    cdef TxData tx
    cdef Py_ssize_t given
    cdef object payload, access_list
    cdef PreparedTransaction prepared
    if not isinstance(call, (tuple, list)) and isinstance(call, Mapping):
        unknown = call.keys() - CALL_DEFAULTS.keys()
        if unknown:
            raise InputError(f"calls[{index}]: unknown argument {min(map(shown, unknown))}; "
                             f"arguments are {', '.join(CALL_DEFAULTS)}")
        if "to" not in call:
            raise InputError(f"calls[{index}]: `to` is missing; give None for a creation")
        call = tuple({**CALL_DEFAULTS, **call}.values())
    given = len(call) if isinstance(call, (tuple, list)) else 0
    if not 1 <= given <= 7:
        raise InputError(f"calls[{index}]: expected a Call, a tuple of 1 to 7 arguments or a mapping, got {shown(call)}")
    try:
        payload = fill_call(
            &tx, call[0], call[1] if given > 1 else b"", call[2] if given > 2 else None, call[3] if given > 3 else 0,
            call[4] if given > 4 else None, call[5] if given > 5 else 0, batch.settings.env.gas_limit)
        access_list = call[6] if given > 6 else EMPTY
        if not access_list:
            batch.add(payload).tx = tx
        else:
            prepared = prepare_call(&tx, payload, access_list, EMPTY, EMPTY)
            batch.add(prepared).tx = prepared.data
    except InputError as error:
        raise InputError(f"calls[{index}]: {error}") from None
    return 0
