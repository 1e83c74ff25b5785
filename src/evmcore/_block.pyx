"""The sequential executor, and blocks to and from Python.

`BlockRun` turns a Python block into C data, once, and drives the native steps (`_block_steps`); the outcome becomes a
`BlockResult` whose costly parts are made when asked for.
"""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING

from evmcore._access cimport access_end_part
from evmcore._diff cimport StateDiff, diff_collect
from evmcore._interp cimport ABORTED, NO_MEMORY, SUCCESS, UNAVAILABLE
from evmcore._machines cimport FOR_BLOCKS, machine_give, machine_take
from evmcore._overlay cimport overlay_new
from evmcore._outcome cimport (
    KeptOutput, committed_transaction, encoded_receipts, receipt_of, receipts_root, slice_of,
)
from evmcore._prepared cimport PreparedTransaction, transaction_error
from evmcore._rules cimport CANCUN, OSAKA, PARIS
from evmcore._senders cimport Recovery, pending_finish, pending_sender
from evmcore._state cimport ws_keep_seen, ws_reset
from evmcore._tx cimport ALL_CHECKS, GAS_PER_BLOB, MAX_BLOBS_PER_TX, TX_VALID
from evmcore._u256 cimport u256_from_int
from evmcore.state._reader cimport Backend
from evmcore.tracing._hooks cimport Tracer

from collections.abc import Mapping

from evmcore import body
from evmcore._precompiles import blst_unavailable
from evmcore.counters import ParallelCounters, decision_words
from evmcore.dao import DAO_ACCOUNTS, DAO_RECOVERY
from evmcore.errors import (
    BlockReason, ExecutionAborted, InputError, InvalidBlock, InvalidTransaction, ResourceError, StateError,
)
from evmcore.forks import Fork
from evmcore.headers import blob_base_fee, check_header
from evmcore.state.adapter import as_backend

cdef extern from "include/sync.h" nogil:
    int64_t monotonic_ns()
    bint is_raised(const uint32_t* flag)
    void raise_flag(uint32_t* flag)


# ------------------------------------------------------------ a block from Python

cdef object engine_error(Backend backend, Status status):
    """The exception for a run that the engine could not finish."""
    if status == NO_MEMORY:
        return ResourceError("memory ran out during execution; nothing was concluded")
    if status == ABORTED:
        return ExecutionAborted("the execution did not end within its timeout; nothing was concluded")
    if status == UNAVAILABLE:
        return ResourceError(f"a precompile of this fork cannot be computed here: {blst_unavailable()}")
    cause = backend.take_error()
    if isinstance(cause, StateError) and type(cause) is not StateError:
        return cause                              # of a named kind, which callers tell apart
    error = StateError("the state could not be read; nothing was concluded" + (f": {cause}" if cause is not None else ""))
    error.__cause__ = cause
    return error


cdef object failure_error(Backend backend, BlockFailure failure, Status status):
    """The exception for a block that failed outside its transactions."""
    if failure == BLOCK_ENGINE_FAILED:
        return engine_error(backend, status)
    if failure == BLOCK_SYSTEM_CONTRACT_EMPTY:
        return InvalidBlock(BlockReason.SYSTEM_CONTRACT_EMPTY, "a request contract (EIP-7002, EIP-7251) has no code")
    return InvalidBlock(
        BlockReason.SYSTEM_CONTRACT_CALL_FAILED, "the call of a request contract (EIP-7002, EIP-7251) failed"
    )


cdef int set_hash(uint8_t* out, object value, str name) except -1:
    if not isinstance(value, bytes) or len(<bytes>value) != 32:
        raise InputError(f"{name}: expected 32 bytes, got {value!r}")
    memcpy(out, PyBytes_AS_STRING(<bytes>value), 32)
    return 0


cdef class Executor:
    """Executes a block's transactions one after the other. Others (`stm`) derive from it."""

    def __cinit__(self, *args, **kwargs):
        self.threads = 1

    cdef int prepare(self, BlockRun run, object block) except -1:
        return 0

    cdef BlockFailure finish(self, BlockRun run, Status* status) noexcept nogil:
        return BLOCK_OK

    cdef object access_list_error(self):
        return None

    cdef BlockFailure transactions(
        self, BlockRun run, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status
    ) noexcept nogil:
        """From transaction ``at`` to the last or the first that fails; ``at`` is then the number of those begun."""
        cdef Sequence sequence = run.sequence(txs, count, at, invalid, status)
        return run_sequence(&sequence)


cdef Executor SEQUENTIAL = Executor()


cdef BlockFailure run_sequence(Sequence* sequence) noexcept nogil:
    cdef BlockFailure failure = BLOCK_OK
    cdef size_t* at = sequence.at
    while at[0] < sequence.count and failure == BLOCK_OK:
        if is_raised(sequence.stop):
            sequence.status[0] = ABORTED
            return BLOCK_ENGINE_FAILED
        if sequence.missing.pending != NULL and not take_senders(sequence.missing, sequence.txs, at[0]):
            return BLOCK_NO_SENDER
        failure = block_transaction(
            sequence.machine, sequence.rules, sequence.txs[at[0]], sequence.output, sequence.invalid, sequence.status
        )
        at[0] += 1
    return failure


cdef bint take_senders(Missing* missing, TxData** txs, size_t last) noexcept nogil:
    """Puts into the transactions up to the place `last` the senders that they lack, waiting for those. False: one has none."""
    cdef Pending* pending = missing.pending
    cdef const uint8_t* sender
    while missing.found < pending.count and pending.signatures[missing.found].place <= last:
        sender = pending_sender(pending, missing.found)
        if sender == NULL:
            return False
        memcpy(txs[pending.signatures[missing.found].place].sender, sender, 20)
        missing.found += 1
    return True


cdef class BlockRun:
    """One execution of one block: what it borrows while it runs."""

    def __cinit__(self):
        self.kept = KeptOutput()
        self.output = &self.kept.data
        self.machine = machine_take(FOR_BLOCKS)
        if self.machine == NULL:
            raise ResourceError("no memory for a machine")

    def __dealloc__(self):
        free(self.rules.credits)
        if self.machine != NULL:
            machine_give(self.machine, FOR_BLOCKS)

    cdef void end_early(self) noexcept nogil:
        raise_flag(&self.stop)
        raise_flag(&self.halt)

    cdef Sequence sequence(
        self, TxData** txs, size_t count, size_t* at, TxInvalid* invalid, Status* status
    ) noexcept nogil:
        return Sequence(
            self.machine, &self.rules, self.output, &self.stop, &self.missing, txs, count, at, invalid, status
        )

    cdef bint find_senders(self, TxData** txs, unsigned int threads) noexcept nogil:
        cdef Pending* pending = self.missing.pending
        cdef int64_t start
        cdef bint found
        if pending == NULL or self.missing.found == pending.count:
            return True
        start = monotonic_ns()
        pending_finish(pending, threads)
        found = take_senders(&self.missing, txs, <size_t>-1)
        self.phases[SENDERS] += monotonic_ns() - start
        return found

    cdef int prepare(self, object block, object chain, object fork, object block_hashes, object reward) except -1:
        """Header, fork, hashes and credits into `rules`."""
        cdef BlockRules* rules = &self.rules
        cdef Environment* env = &rules.env
        header = block.header
        rules.revision = fork.revision
        env.number = header.number
        env.timestamp = header.timestamp
        env.gas_limit = header.gas_limit
        env.chain_id = u256_from_int(chain.chain_id, "chain_id")
        env.base_fee = u256_from_int(header.base_fee_per_gas or 0, "base_fee_per_gas")
        memcpy(env.coinbase, PyBytes_AS_STRING(<bytes>header.coinbase), 20)
        if rules.revision >= PARIS:
            env.prevrandao = u256_from_int(int.from_bytes(header.mix_hash, "big"), "mix_hash")
        else:
            env.prevrandao = u256_from_int(header.difficulty, "difficulty")
        if rules.revision >= CANCUN:
            schedule = chain.blob_schedule_at(header.number, header.timestamp)
            env.blob_base_fee = u256_from_int(blob_base_fee(header.excess_blob_gas or 0, schedule), "blob base fee")
            rules.blob_gas_limit = schedule.max * GAS_PER_BLOB
            set_hash(rules.beacon_root, header.parent_beacon_block_root or bytes(32), "parent_beacon_block_root")
        rules.max_blobs_per_tx = MAX_BLOBS_PER_TX if rules.revision >= OSAKA else 0
        set_hash(rules.parent_hash, header.parent_hash, "parent_hash")
        if chain.dao_block is not None and chain.dao_block == header.number:
            rules.drained = <const uint8_t*>PyBytes_AS_STRING(DRAINED)
            rules.drained_count = len(DRAINED) // 20
            memcpy(rules.recovery, PyBytes_AS_STRING(<bytes>DAO_RECOVERY), 20)
        rules.checks = ALL_CHECKS
        credits = body.block_credits(block, fork, reward)
        rules.credits = <Credit*>calloc(len(credits) + 1, sizeof(Credit))
        if rules.credits == NULL:
            raise ResourceError("no memory for the block's withdrawals")
        for address, amount in credits:
            memcpy(rules.credits[rules.credit_count].address, PyBytes_AS_STRING(<bytes>address), 20)
            rules.credits[rules.credit_count].amount = u256_from_int(amount, "amount")
            rules.credit_count += 1
        # The parent's hash stands in the header; earlier ones come from the caller or the state.
        if block_hashes is not None and not isinstance(block_hashes, Mapping):
            raise InputError(f"block_hashes: expected a mapping of number to hash, got {type(block_hashes).__name__}")
        hashes = dict(block_hashes) if block_hashes is not None else {}
        if header.number:
            hashes[header.number - 1] = header.parent_hash
        self.overlay = overlay_new(&self.backend.reader)
        self.overlay.add_hashes(hashes, header.number)
        return 0

    cdef int run(self, bint roots, Tracer tracer, Executor executor) except -1:
        """Executes the block. ``roots``: note the state root after every transaction (receipts before Byzantium).
        ``tracer`` sees the transactions one after the other, not the system calls."""
        cdef size_t count = len(self.prepared)
        cdef size_t at = 0, end
        cdef TxData** txs = NULL
        cdef BlockFailure failure = BLOCK_OK
        cdef TxInvalid invalid = TX_VALID
        cdef Status status = SUCCESS
        cdef size_t i
        cdef int64_t start, now, senders
        cdef Gate* gate = self.output.gate
        if not output_reserve(self.output, count):
            raise ResourceError("no memory for the results of the block's transactions")
        txs = <TxData**>calloc(count + 1, sizeof(TxData*))
        if txs == NULL:
            raise ResourceError("no memory for the block's transactions")
        for i in range(count):
            txs[i] = &(<PreparedTransaction>self.prepared[i]).data
        if self.stepwise or not executor.finds_senders:
            with nogil:
                if not self.find_senders(txs, executor.threads):
                    failure = BLOCK_NO_SENDER
            if failure == BLOCK_NO_SENDER:
                free(txs)
                raise self.without_sender()
        try:
            if roots:
                self.output.gate = NULL          # nothing is to be seen before its root is
            self.machine.abort_flag = &self.stop
            self.machine.deadline_ns = 0
            self.machine.tracer = NULL
            self.machine.unlimited_code_size = False
            with nogil:
                self.backend.begin_read()
                start = monotonic_ns()
                senders = self.phases[SENDERS]
                failure = self.begin(&status)
            while at < count and failure == BLOCK_OK:
                end = at + 1 if self.stepwise else count
                if tracer is not None:
                    tracer.attach(self.machine)
                with nogil:
                    if self.stepwise:
                        failure = Executor.transactions(SEQUENTIAL, self, txs, end, &at, &invalid, &status)
                    else:
                        failure = executor.transactions(self, txs, end, &at, &invalid, &status)
                if tracer is not None:
                    tracer.detach()
                    if failure == BLOCK_OK:
                        self.finish_trace(tracer, txs[at - 1])
                if roots and failure == BLOCK_OK:
                    self.note_root()
                    if gate != NULL:
                        gate.publish(at)
            if failure != BLOCK_OK:
                # A signature that is nobody's is found before anything else is, wherever it is in the block.
                with nogil:
                    if not self.find_senders(txs, executor.threads):
                        failure = BLOCK_NO_SENDER
            now = monotonic_ns()
            self.phases[EXECUTE] = now - start - (self.phases[SENDERS] - senders)
            start = now
            if failure == BLOCK_OK:
                with nogil:
                    failure = self.end(executor, &status)
            if failure == BLOCK_OK:
                self.diff = diff_collect(self.machine.ws)
                self.phases[END] = monotonic_ns() - start
                self.backend.complete(self.diff)
        finally:
            free(txs)
            self.output.gate = gate
            self.backend.end_read()
        if failure == BLOCK_NO_SENDER:
            raise self.without_sender()
        if failure == BLOCK_TRANSACTION_INVALID:
            error = transaction_error(invalid, at - 1, &(<PreparedTransaction>self.prepared[at - 1]).data)
            raise InvalidBlock(error.reason, str(error)) from error
        if failure == BLOCK_ACCESS_LIST_WRONG:
            raise executor.access_list_error()
        if failure != BLOCK_OK:
            raise failure_error(self.backend, failure, status)
        return 0

    cdef object without_sender(self):
        """The exception for the first transaction whose signature is nobody's, or is not valid by the fork's rules."""
        for index, prepared in enumerate(self.prepared):
            transaction = (<PreparedTransaction>prepared).owner
            if transaction.sender is None:
                try:
                    transaction.recover_sender(self.fork)
                except InvalidTransaction as error:
                    return invalid_signature(index, error)
        return ResourceError("no memory to recover senders")

    cdef BlockFailure begin(self, Status* status) noexcept nogil:
        cdef BlockFailure failure
        ws_reset(self.machine.ws, &self.overlay.reader, self.rules.revision)
        if self.output.notes != NULL:
            ws_keep_seen(self.machine.ws)
        failure = block_begin(self.machine, &self.rules, status)
        return self.end_part(status) if failure == BLOCK_OK else failure

    cdef BlockFailure end(self, Executor executor, Status* status) noexcept nogil:
        cdef BlockFailure failure = block_end(self.machine, &self.rules, self.output, status)
        if failure == BLOCK_OK:
            failure = self.end_part(status)
        return executor.finish(self, status) if failure == BLOCK_OK else failure

    cdef BlockFailure end_part(self, Status* status) noexcept nogil:
        """After what is not a transaction: notes what it accessed, where that is wanted."""
        if self.output.notes == NULL or access_end_part(self.output.notes, self.machine.ws):
            return BLOCK_OK
        status[0] = NO_MEMORY
        return BLOCK_ENGINE_FAILED

    cdef int finish_trace(self, Tracer tracer, const TxData* tx) except -1:
        cdef const TxRecord* record = &self.output.records[self.output.record_count - 1]
        output = slice_of(self.output.data, record.output_offset, record.result.output_size)
        tracer.finish(self.machine, tx.gas_limit, record.result.gas_used, record.result.status, output)
        return 0

    cdef int note_root(self) except -1:
        """The state root after the latest transaction, by applying the changes so far for a moment."""
        cdef TxRecord* record = &self.output.records[self.output.record_count - 1]
        cdef StateDiff diff = diff_collect(self.machine.ws)
        self.backend.end_read()
        try:
            root = root_after(self.backend, diff, 1)
        finally:
            with nogil:
                self.backend.begin_read()
        set_hash(record.state_root, root, "state root")
        record.has_state_root = True
        return 0


cdef bytes DRAINED = b"".join(DAO_ACCOUNTS)


cdef object root_function(Backend backend):
    """What computes the backend's state root, as it is or as it would be after a diff."""
    try:
        return backend.state_root
    except AttributeError:
        raise StateError(f"{type(backend).__name__} cannot compute a state root") from None


cdef object root_after(Backend backend, StateDiff diff, unsigned int threads):
    """The root after a diff (None: as it is), on several threads where the backend can."""
    compute = root_function(backend)
    return compute(diff, threads) if threads > 1 and getattr(backend, "roots_on_threads", False) else compute(diff)


# ------------------------------------------------------------ the result

cdef class BlockResult:
    """What executing a block gave. Receipts, logs and roots are made when asked for.

    `block` is the `Block`, `fork` the `Fork` by whose rules it was executed. `gas_used` and `blob_gas_used` are in gas,
    `logs_bloom` has 256 bytes, `diff` is the `StateDiff` against the state before the block. `requests` lists the block's
    requests (EIP-7685; type byte and data), None before Prague.
    """

    @property
    def parallel(self):
        """How the transactions were executed, `ParallelCounters`."""
        cdef Decision* made = &self.decision
        words = decision_words(made.reason, made.threads, made.sequential_ns, made.parallel_ns, made.path_ns)
        return ParallelCounters.of(self.counters, self.output.record_count, self.phases, words)

    @property
    def gas_used(self):
        """Gas used by all transactions, after refunds."""
        return self.output.gas_used

    @property
    def blob_gas_used(self):
        """Blob gas of all transactions (EIP-4844)."""
        return self.output.blob_gas_used

    @property
    def logs_bloom(self):
        """The bloom of all logs, 256 bytes."""
        self.kept.make_blooms(self.threads)
        return slice_of(self.output.bloom, 0, 256)

    @property
    def requests_hash(self):
        """The 32-byte hash of the requests (EIP-7685), None before Prague."""
        return None if self.requests is None else body.requests_hash(self.requests)

    @property
    def access_list(self):
        """The block's `BlockAccessList` (EIP-7928): the one it was executed with, or where ``access_list=True`` asked for
        it; else None."""
        if self.given is not None:
            return self.given
        return None if self.kept.accesses is None else self.kept.accesses.access_list

    @property
    def accesses(self):
        """The `AccessRecord` of what each part of the block accessed; None unless ``accesses`` or ``access_list=True``
        asked for it."""
        return self.kept.accesses

    @property
    def receipts(self):
        """One `Receipt` per transaction."""
        cdef size_t index
        if self.receipt_cache is None:
            self.receipt_cache = tuple([
                receipt_of(self.output, index, self.fork, self.block.transactions[index])
                for index in range(self.output.record_count)
            ])
        return self.receipt_cache

    @property
    def transactions(self):
        """One `CommittedTransaction` per transaction."""
        cdef size_t index
        return tuple([
            committed_transaction(self.kept, self.output, index, self.fork, self.block.transactions[index])
            for index in range(self.output.record_count)
        ])

    def encoded_receipts(self):
        """The receipts as the receipts trie holds them, list of bytes; None before Byzantium when the state roots after
        each transaction are not known."""
        return encoded_receipts(self.kept, self.fork, self.threads)

    @property
    def receipts_root(self):
        """The 32-byte root of the receipts trie; None as in `encoded_receipts`."""
        return receipts_root(self.kept, self.fork, self.threads)

    def state_root(self):
        """The 32-byte root of the state after the block. The state must be as it was when the block was executed, or, with
        ``commit=True``, as that left it; `StateError` where the backend cannot compute a root."""
        if self.root_cache is None:
            self.root_cache = root_after(self.backend, None if self.committed else self.diff, self.threads)
        return self.root_cache


# ------------------------------------------------------------ the way in

cdef object invalid_signature(size_t index, object error):
    found = InvalidBlock(error.reason, f"transaction {index}: {error.detail}")
    found.__cause__ = error
    return found


cdef int prepare_transactions(BlockRun run, object block, object fork) except -1:
    """Numbers converted; senders of signed transactions are left to be recovered. Raises `InvalidBlock` for a transaction
    without a valid signature where that shows at once."""
    cdef bint protected = fork >= Fork.SPURIOUS_DRAGON
    cdef Recovery recovery = Recovery(len(block.transactions))
    run.fork = fork
    run.prepared = []
    run.recovery = recovery
    for index, transaction in enumerate(block.transactions):
        sender = transaction.sender
        if sender is None:
            if recovery.add(transaction, index, protected):
                sender = UNKNOWN
            else:
                try:
                    sender = transaction.recover_sender(fork)
                except InvalidTransaction as error:
                    # Unless one before it is as bad.
                    run.prepared.append(PreparedTransaction(transaction, UNKNOWN))
                    raise run.without_sender() from error
        run.prepared.append(PreparedTransaction(transaction, sender))
    if recovery.pending.count:
        run.missing.pending = &recovery.pending
    return 0


cdef bytes UNKNOWN = bytes(20)


cdef int check_outcome(BlockResult result, bint with_state_root) except -1:
    """What the execution gave against the header, in the order of the execution specification."""
    cdef int64_t start = monotonic_ns(), before_root = 0
    header = result.block.header
    if result.gas_used != header.gas_used:
        raise InvalidBlock(
            BlockReason.INVALID_GAS_USED, f"gas used {header.gas_used}, the transactions used {result.gas_used}"
        )
    body.check_transactions_root(result.block, result.threads)
    if with_state_root:
        before_root = monotonic_ns()
        result.state_root()
        result.phases[STATE_ROOT] = monotonic_ns() - before_root
    if with_state_root and result.state_root() != header.state_root:
        raise InvalidBlock(
            BlockReason.INVALID_STATE_ROOT,
            f"state root 0x{header.state_root.hex()}, the state has 0x{result.state_root().hex()}",
        )
    root = result.receipts_root
    if root is not None and root != header.receipts_root:
        raise InvalidBlock(
            BlockReason.INVALID_RECEIPTS_ROOT,
            f"receipts root 0x{header.receipts_root.hex()}, the receipts have 0x{root.hex()}",
        )
    if result.logs_bloom != header.logs_bloom:
        raise InvalidBlock(BlockReason.INVALID_LOG_BLOOM, "the header's bloom is not that of the logs")
    if result.fork >= Fork.CANCUN and result.blob_gas_used != header.blob_gas_used:
        raise InvalidBlock(
            BlockReason.INCORRECT_BLOB_GAS_USED,
            f"blob gas used {header.blob_gas_used}, the transactions used {result.blob_gas_used}",
        )
    if result.requests is not None and result.requests_hash != header.requests_hash:
        raise InvalidBlock(
            BlockReason.INVALID_REQUESTS,
            f"requests hash 0x{(header.requests_hash or b'').hex()}, the requests have 0x{result.requests_hash.hex()}",
        )
    result.phases[CHECK] = monotonic_ns() - start
    return 0


def execute(request, Executor executor=SEQUENTIAL):
    """Executes a block on the state after its parent, by ``executor`` whatever threads the request asks for; without one,
    sequentially. Raises `InvalidBlock`; the state is then as before."""
    return run_block(BlockRun(), request, executor, request.commit)


cdef BlockResult run_block(BlockRun run, object request, Executor executor, bint commit):
    cdef BlockResult result
    cdef int64_t start = monotonic_ns()
    cdef bint roots
    run.backend = as_backend(request.state)
    chain, fork = request.rules()
    if request.tracer is not None and not isinstance(request.tracer, Tracer):
        raise InputError(f"tracer: expected one of evmcore.tracing, got {type(request.tracer).__name__}")
    if request.parent is not None:
        check_header(request.block.header, request.parent, chain, fork)
    if request.validate:
        body.check_body(request.block, fork)
    roots = request.check_state_root and fork < Fork.BYZANTIUM
    run.stepwise = roots or request.tracer is not None
    prepare_transactions(run, request.block, fork)
    run.prepare(request.block, chain, fork, request.block_hashes, request.reward)
    if request.records_accesses:
        run.kept.record_accesses()
    executor.prepare(run, request.block)
    run.phases[PREPARE] = monotonic_ns() - start
    run.run(roots, request.tracer, executor)
    run.output.notes = NULL                      # the record keeps them, where it is wanted
    result = result_of(run, request.block, chain, fork, executor.threads)
    conclude(result, request.validate, request.check_state_root, commit)
    return result


cdef BlockResult result_of(BlockRun run, object block, object chain, object fork, unsigned int threads):
    cdef BlockResult result = BlockResult.__new__(BlockResult)
    result.block = block
    result.fork = fork
    result.backend = run.backend
    result.diff = run.diff
    result.kept = run.kept
    result.output = run.output
    result.threads = threads
    result.given = run.given
    result.counters = run.counters
    result.decision = run.decision
    result.phases = run.phases
    if fork >= Fork.PRAGUE:
        result.requests = requests_of(run.output, chain.deposit_contract)
    return result


cdef int conclude(BlockResult result, bint validate, bint check_state_root, bint commit) except -1:
    """Compares the outcome with the header and applies the changes, as far as either is wanted."""
    # A state root needs the changes applied: where they are to stay, that happens once.
    cdef bint apply_first = commit and validate and check_state_root
    if apply_first:
        root_function(result.backend)            # without one nothing is applied
    elif validate:
        check_outcome(result, check_state_root)
    if commit:
        result.backend.apply(result.diff)
        result.committed = True
    if apply_first:
        try:
            check_outcome(result, True)
        except BaseException:
            result.backend.undo(result.diff)
            raise
    return 0


cdef list requests_of(const BlockOutput* output, bytes deposit_contract):
    cdef const LogEntry* log
    cdef size_t i
    cdef list deposits = []
    for i in range(output.log_count):
        log = &output.logs[i]
        if (
            log.topic_count
            and slice_of(log.address, 0, 20) == deposit_contract
            and slice_of(log.topics, 0, 32) == body.DEPOSIT_EVENT
        ):
            deposits.append(body.parse_deposit(slice_of(output.data, log.data_offset, log.data_size)))
    return body.join_requests(
        deposits,
        slice_of(output.data, output.request_offset[0], output.request_size[0]),
        slice_of(output.data, output.request_offset[1], output.request_size[1]),
    )
