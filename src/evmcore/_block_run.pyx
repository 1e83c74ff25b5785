"""One execution of one block: converts a Python block to C data once, and drives the native steps (`_block_steps`)
through it. See `_block_run.pxd`.
"""
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING

from evmcore._access cimport access_end_part
from evmcore._asking cimport ask_in_time
from evmcore._block_steps cimport (
    BLOCK_ACCESS_LIST_WRONG, BLOCK_ENGINE_FAILED, BLOCK_NO_SENDER, BLOCK_OK, BLOCK_SYSTEM_CONTRACT_EMPTY,
    BLOCK_TRANSACTION_INVALID, WITHDRAWAL_REQUESTS, BlockOutput, Credit, Gate, TxRecord, block_ask_for_next, block_begin,
    block_end, block_enter, block_transaction, output_reserve,
)
from evmcore._diff cimport StateDiff, diff_collect
from evmcore._handlers cimport Handlers, handle_signals
from evmcore._interp cimport ABORTED, NO_MEMORY, SUCCESS, UNAVAILABLE, Environment
from evmcore._machines cimport FOR_BLOCKS, machine_give, machine_take
from evmcore._overlay cimport overlay_new
from evmcore._outcome cimport KeptOutput, slice_of
from evmcore._prepared cimport PreparedTransactions, sender_of, transaction_error
from evmcore._rules cimport CANCUN, OSAKA, PARIS
from evmcore._senders cimport Pending, Recovery, Signature, pending_finish, pending_signer
from evmcore._state cimport ws_keep_seen, ws_reset
from evmcore._sync cimport is_raised, monotonic_ns, raise_flag
from evmcore._tx cimport ALL_CHECKS, GAS_PER_BLOB, MAX_BLOBS_PER_TX, TX_VALID
from evmcore._u256 cimport u256_from_int
from evmcore.state._reader cimport Backend
from evmcore.tracing._hooks cimport Tracer

from collections.abc import Mapping

from evmcore import body
from evmcore._precompiles import blst_unavailable
from evmcore._results import Status as EndStatus
from evmcore.dao import DAO_ACCOUNTS, DAO_RECOVERY
from evmcore.errors import (
    BlockReason, ExecutionAborted, InputError, InvalidBlock, InvalidTransaction, ResourceError, StateError,
)
from evmcore.forks import Fork
from evmcore.headers import blob_base_fee


# ------------------------------------------------------------ what failed

cdef object engine_error(Backend backend, Status status):
    """The exception for a run that the engine could not finish."""
    if status == NO_MEMORY:
        return ResourceError("memory ran out during execution; nothing was concluded")
    if status == ABORTED:
        return ExecutionAborted("the execution did not end within its timeout; nothing was concluded")
    if status == UNAVAILABLE:
        return ResourceError(f"a precompile of this fork cannot be computed here: {blst_unavailable()}")
    return read_failure(backend.take_error())


cdef object read_failure(object cause):
    """The exception for a run that could not read the state; `cause`: what was raised there, None where that is not known."""
    if isinstance(cause, StateError) and type(cause) is not StateError:
        return cause                              # of a named kind, which callers distinguish
    if cause is not None and not isinstance(cause, Exception):
        return cause                              # Ctrl-C, or an end of the program: no failure of the state
    error = StateError("the state could not be read; nothing was concluded" + (f": {cause}" if cause is not None else ""))
    error.__cause__ = cause
    return error


cdef object failure_error(Backend backend, BlockFailure failure, Status status, const BlockOutput* output):
    """The exception for a block that failed outside its transactions."""
    if failure == BLOCK_ENGINE_FAILED:
        return engine_error(backend, status)
    kind = "withdrawal request contract (EIP-7002)"
    if output.failed_contract != WITHDRAWAL_REQUESTS:
        kind = "consolidation request contract (EIP-7251)"
    contract = f"the {kind} at 0x{output.failed_contract[:20].hex()}"
    if failure == BLOCK_SYSTEM_CONTRACT_EMPTY:
        return InvalidBlock(BlockReason.SYSTEM_CONTRACT_EMPTY, f"{contract} has no code")
    ended = EndStatus(<int>output.failed_status).name
    return InvalidBlock(BlockReason.SYSTEM_CONTRACT_CALL_FAILED, f"the call of {contract} ended with {ended}")


cdef int set_hash(uint8_t* out, object value, str name) except -1:
    if not isinstance(value, bytes) or len(<bytes>value) != 32:
        raise InputError(f"{name}: expected 32 bytes, got {value!r}")
    memcpy(out, PyBytes_AS_STRING(<bytes>value), 32)
    return 0


# ------------------------------------------------------------ one transaction after the other

cdef class Executor:
    """Executes a block's transactions one after the other. Other executors (`stm`) derive from it."""

    def __cinit__(self, *args, **kwargs):
        self.threads = 1

    cdef Executor prepare(self, BlockRun run, object block):
        return self

    cdef BlockFailure finish(self, BlockRun run, Status* status) noexcept nogil:
        return BLOCK_OK

    cdef object access_list_error(self):
        return None

    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil:
        return run_sequence(sequence)


cdef enum:
    BETWEEN_LOOKS = 64            # transactions between two looks at the clock; all of them may be brief


cdef BlockFailure run_sequence(Sequence* sequence) noexcept nogil:
    cdef BlockFailure failure = BLOCK_OK
    while sequence.at < sequence.count and failure == BLOCK_OK:
        if sequence.at % BETWEEN_LOOKS == 0:
            ask_in_time()
        if is_raised(sequence.stop):
            sequence.status = ABORTED
            return BLOCK_ENGINE_FAILED
        if sequence.missing.pending != NULL and not take_senders(sequence.missing, sequence.at):
            return BLOCK_NO_SENDER
        block_ask_for_next(sequence.machine.ws.reader, sequence.machine.ws, sequence.txs, sequence.at, sequence.count)
        failure = block_transaction(
            sequence.machine, sequence.rules, sequence.txs[sequence.at], sequence.output, &sequence.invalid, &sequence.status
        )
        sequence.at += 1
    return failure


cdef bint take_senders(Missing* missing, size_t last) noexcept nogil:
    """Puts the missing senders and authorities into the transactions up to the place `last`, waiting until they are
    known. False: a transaction has no sender."""
    cdef Pending* pending = missing.pending
    cdef Signature* signature
    cdef const uint8_t* signer
    while missing.found < pending.count and pending.signatures[missing.found].place <= last:
        signature = &pending.signatures[missing.found]
        signer = pending_signer(pending, missing.found)
        if signature.named != NULL:
            signature.named[0] = signer != NULL
        elif signer == NULL:
            return False
        if signer != NULL:
            memcpy(signature.into, signer, 20)
        missing.found += 1
    return True


# ------------------------------------------------------------ a block

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

    cdef Sequence sequence(self, TxData** txs, size_t count) noexcept nogil:
        return Sequence(
            self.machine, &self.rules, self.output, &self.stop, &self.missing, txs, count, 0, TX_VALID, SUCCESS
        )

    cdef bint find_senders(self, unsigned int threads) noexcept nogil:
        cdef Pending* pending = self.missing.pending
        cdef int64_t start
        cdef bint found
        if pending == NULL or self.missing.found == pending.count:
            return True
        start = monotonic_ns()
        pending_finish(pending, threads)
        found = take_senders(&self.missing, <size_t>-1)
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
        cdef Handlers handlers = handle_signals(end_run, <void*>self)
        failure = None
        try:
            self.run_through(roots, tracer, executor)
        except BaseException as error:
            failure = error
        if handlers is not None:
            handlers.done()                      # raises the exception of a handler that ended the run
        if failure is not None:
            raise failure
        return 0

    cdef int run_through(self, bint roots, Tracer tracer, Executor executor) except -1:
        """Executes the block. `roots`: note the state root after every transaction (receipts before Byzantium).
        `tracer` sees the transactions one after the other, not the system calls."""
        cdef BlockFailure failure
        cdef int64_t start, now, senders
        cdef Gate* gate = self.output.gate
        cdef Sequence sequence = self.sequence(self.prepared.row, self.prepared.count)
        if not output_reserve(self.output, sequence.count):
            raise ResourceError("no memory for the results of the block's transactions")
        if self.stepwise or not executor.finds_senders:
            with nogil:
                failure = BLOCK_OK if self.find_senders(executor.threads) else BLOCK_NO_SENDER
            if failure == BLOCK_NO_SENDER:
                raise self.error_of(failure, &sequence, executor)
        try:
            if roots:
                self.output.gate = NULL          # a transaction must not be seen before its root
            block_enter(self.machine, &self.rules, &self.stop)
            with nogil:
                self.backend.begin_read()
                start = monotonic_ns()
                senders = self.phases[SENDERS]
                failure = self.begin(&sequence.status)
                if failure == BLOCK_OK and not self.stepwise:
                    failure = executor.transactions(self, &sequence)
            if failure == BLOCK_OK and self.stepwise:
                failure = self.run_stepwise(&sequence, roots, tracer, gate)
            if failure != BLOCK_OK and not is_raised(&self.stop):
                # A signature without a signer takes precedence over every other error, wherever it is in the block.
                with nogil:
                    if not self.find_senders(executor.threads):
                        failure = BLOCK_NO_SENDER
            now = monotonic_ns()
            self.phases[EXECUTE] = now - start - (self.phases[SENDERS] - senders)
            start = now
            if failure == BLOCK_OK:
                with nogil:
                    failure = self.end(executor, &sequence.status)
            if failure == BLOCK_OK:
                self.diff = diff_collect(self.machine.ws)
                self.phases[END] = monotonic_ns() - start
                self.backend.complete(self.diff)
        finally:
            self.output.gate = gate
            self.backend.end_read()
            if self.lent != NULL:
                self.reclaim(self.lent)
                self.lent = NULL
        if failure != BLOCK_OK:
            raise self.error_of(failure, &sequence, executor)
        return 0

    cdef BlockFailure run_stepwise(self, Sequence* sequence, bint roots, Tracer tracer, Gate* gate) except *:
        """Runs one transaction after the other; traces each, or notes the state root after each."""
        cdef size_t count = sequence.count
        cdef BlockFailure failure = BLOCK_OK
        while sequence.at < count and failure == BLOCK_OK:
            sequence.count = sequence.at + 1
            if tracer is not None:
                tracer.attach(self.machine)
            with nogil:
                failure = run_sequence(sequence)
            if tracer is not None:
                tracer.detach()
                if failure == BLOCK_OK:
                    self.finish_trace(tracer, sequence.txs[sequence.at - 1])
            if roots and failure == BLOCK_OK:
                self.note_root()
                if gate != NULL:
                    gate.publish(sequence.at)
        return failure

    cdef object error_of(self, BlockFailure failure, const Sequence* sequence, Executor executor):
        """The exception for a block that failed."""
        if is_raised(&self.stop):
            return engine_error(self.backend, ABORTED)
        if failure == BLOCK_NO_SENDER:
            return self.without_sender()
        if failure == BLOCK_TRANSACTION_INVALID:
            last = sequence.at - 1
            error = transaction_error(
                sequence.invalid, last, sequence.txs[last], self.rules.revision, self.output.account_nonce
            )
            return invalid_block(error, str(error))
        if failure == BLOCK_ACCESS_LIST_WRONG:
            return executor.access_list_error()
        return failure_error(self.backend, failure, sequence.status, self.output)

    cdef object without_sender(self):
        """The exception for the first transaction whose signature has no signer, or is invalid by the fork's rules."""
        for index, transaction in enumerate(self.prepared.owners):
            if transaction.sender is None:
                try:
                    transaction.recover_sender(self.fork)
                except InvalidTransaction as error:
                    return invalid_block(error, f"transaction {index}: {error.detail}")
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
        """Called after each part that is not a transaction: notes what it accessed, if accesses are noted."""
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
        """Notes the state root after the latest transaction, by applying the changes so far temporarily."""
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


cdef void end_run(void* run) noexcept nogil:
    (<BlockRun>run).end_early()


cdef object invalid_block(object error, str message):
    """The exception for a block with a transaction that is invalid because of `error`."""
    found = InvalidBlock(error.reason, message)
    found.__cause__ = error
    return found


cdef int prepare_transactions(BlockRun run, object block, object fork) except -1:
    """Converts numbers; senders of signed transactions, and authorities, are left to be recovered."""
    cdef bint protected = fork >= Fork.SPURIOUS_DRAGON
    cdef PreparedTransactions prepared = PreparedTransactions(block.transactions)
    cdef Recovery recovery = Recovery()
    run.fork = fork
    run.prepared = prepared
    run.recovery = recovery
    for transaction in prepared.owners:
        sender = sender_of(transaction)
        if sender is None:
            if recovery.add(transaction, prepared.count, protected, prepared.data[prepared.count].sender):
                sender = UNKNOWN
            else:
                try:
                    sender = transaction.recover_sender(fork)
                except InvalidTransaction as error:
                    raise run.without_sender() from error        # unless an earlier transaction is as bad
        prepared.add(sender, recovery)
    if recovery.pending.count:
        recovery.pending.stop = &run.stop
        run.missing.pending = &recovery.pending
    return 0


cdef bytes UNKNOWN = bytes(20)
cdef bytes DRAINED = b"".join(DAO_ACCOUNTS)


cdef object root_function(Backend backend):
    """The method that computes the backend's state root, as it is or as it would be after a diff."""
    try:
        return backend.state_root
    except AttributeError:
        raise StateError(f"{type(backend).__name__} cannot compute a state root") from None


cdef object root_after(Backend backend, StateDiff diff, unsigned int threads):
    """The root after a diff (None: of the state as it is), on several threads if the backend can use them."""
    compute = root_function(backend)
    return compute(diff, threads) if threads > 1 and getattr(backend, "roots_on_threads", False) else compute(diff)
