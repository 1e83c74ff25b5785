"""`BlockResult`, the result of executing a block, whose costly parts are made on first access; and its comparison with the header.
"""
from libc.stdint cimport int64_t

from evmcore._block_run cimport CHECK, STATE_ROOT, BlockRun, Decision, root_after
from evmcore._outcome cimport MADE, committed_transaction, encoded_receipts, receipt_of, receipts_root, slice_of
from evmcore._state cimport LogEntry
from evmcore._sync cimport monotonic_ns

from evmcore import body
from evmcore.counters import ParallelCounters, decision_words
from evmcore.errors import BlockReason, InvalidBlock, not_copied
from evmcore.forks import Fork


cdef class BlockResult:
    """The result of executing a block. Receipts, logs and roots are made on first access.

    `block` is the `Block`; `fork` is the `Fork` it was executed under. `gas_used` and `blob_gas_used` are in gas,
    `logs_bloom` has 256 bytes, `diff` is the `StateDiff` against the state before the block. `requests` lists the block's
    requests (EIP-7685; type byte and data), None before Prague.
    """

    def __cinit__(self, made=None):
        if made is not MADE:
            raise TypeError("a BlockResult comes from the execution of a block: it cannot be made by itself")

    def __reduce__(self):
        raise not_copied(self, "pickle what is needed of it, as its block, diff and receipts")

    def __repr__(self):
        number, fork, count = self.block.header.number, self.fork.name.lower(), self.output.record_count
        return f"<BlockResult: block {number}, fork={fork!r}, {count} transactions, {self.gas_used} gas>"

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
        """The block's `BlockAccessList` (EIP-7928): the list it was executed with, or the list recorded for
        `access_list=True`; else None."""
        if self.given is not None:
            return self.given
        return None if self.kept.accesses is None else self.kept.accesses.access_list

    @property
    def accesses(self):
        """The `AccessRecord` of what each part of the block accessed; None unless `accesses` or `access_list=True`
        requested it."""
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
        """The receipts as encoded in the receipts trie, a list of bytes; None before Byzantium if the state roots after
        each transaction are not known."""
        return encoded_receipts(self.kept, self.fork, self.threads)

    @property
    def receipts_root(self):
        """The 32-byte root of the receipts trie; None as in `encoded_receipts`."""
        return receipts_root(self.kept, self.fork, self.threads)

    def state_root(self):
        """The 32-byte root of the state after the block. The state must still be the state before the block or, after
        `commit=True`, the state after it. Raises `StateError` if the backend cannot compute a root."""
        if self.root_cache is None:
            self.root_cache = root_after(self.backend, None if self.committed else self.diff, self.threads)
        return self.root_cache


cdef BlockResult result_of(BlockRun run, object block, object chain, object fork, unsigned int threads):
    cdef BlockResult result = BlockResult.__new__(BlockResult, MADE)
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


def genesis_result(block, chain, fork, Backend state):
    cdef BlockResult result
    cdef BlockRun run = BlockRun()
    run.backend = state
    run.diff = StateDiff()
    result = result_of(run, block, chain, fork, 1)
    result.root_cache = block.header.state_root
    return result


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


cdef int check_transactions(BlockResult result) except -1:
    header = result.block.header
    if result.gas_used != header.gas_used:
        raise InvalidBlock(
            BlockReason.INVALID_GAS_USED, f"gas used {header.gas_used}, the transactions used {result.gas_used}"
        )
    body.check_transactions_root(result.block, result.threads)
    return 0


cdef int check_receipts(BlockResult result) except -1:
    header = result.block.header
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
    return 0


cdef int check_state(BlockResult result, bint commit) except -1:
    """The state root, and with `commit` the changes applied where it is right."""
    cdef int64_t start = monotonic_ns()
    header = result.block.header
    root = commit_to(result, header.state_root) if commit else result.state_root()
    result.phases[STATE_ROOT] = monotonic_ns() - start
    if root != header.state_root:
        raise InvalidBlock(
            BlockReason.INVALID_STATE_ROOT, f"state root 0x{header.state_root.hex()}, the state has 0x{root.hex()}"
        )
    return 0


cdef bytes commit_to(BlockResult result, bytes state_root):
    """Applies the changes if they lead to a state root; gives the one they lead to."""
    cdef bytes root
    try:
        apply_to = result.backend.apply_to
    except AttributeError:
        root = result.state_root()
        if root == state_root:
            result.backend.apply(result.diff)
    else:
        root = apply_to(result.diff, state_root, result.threads)
    if root == state_root:
        result.root_cache = root
        result.committed = True
    return root


cdef int conclude(BlockResult result, bint validate, bint check_state_root, bint commit) except -1:
    """Compares the outcome with the header and applies the changes, as far as either is wanted. Where several things are
    wrong the first is told, in the order of the execution specification; of a block that is not valid nobody sees a change."""
    cdef int64_t start = monotonic_ns()
    if validate:
        check_transactions(result)
        try:
            check_receipts(result)
        except InvalidBlock:
            if check_state_root:
                check_state(result, False)       # comes before
            raise
        if check_state_root:
            check_state(result, commit)
        result.phases[CHECK] = monotonic_ns() - start
    if commit and not result.committed:
        result.backend.apply(result.diff)
        result.committed = True
    return 0
