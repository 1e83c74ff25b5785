"""Executing a block with its access list given (EIP-7928).

Every transaction runs once, by itself, on the state that the list gives for its place, and is compared with the list
when it finishes (`_listed`). The system calls around the transactions, and everything that cannot be told from the
list, run on the block's own working set; its notes (`_access`) are compared with the list in the same way. Suppose
every part of the block did exactly what the list says of it, starting from what the list says was before it. Then by
induction the list is the block's.

The first transaction that deviates from the list is run again on the state that the transactions before it left, and
the rest of the block after it. So an error describes a true execution, and is the same at any number of threads.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset

from evmcore._access_record cimport AccessRecord
from evmcore._block_run cimport BlockRun, Executor, Sequence
from evmcore._block_steps cimport (
    BLOCK_ACCESS_LIST_WRONG, BLOCK_ENGINE_FAILED, BLOCK_OK, CONSOLIDATION_REQUESTS, WITHDRAWAL_REQUESTS, BlockFailure, Gate,
    block_enter, block_transaction,
)
from evmcore._declared cimport PARSED, PARSED_NO_MEMORY, Parsed, declared_parse, declared_release
from evmcore._interp cimport ABORTED, NO_MEMORY, SUCCESS
from evmcore._listed cimport ListedBlock, ListedRun, ListedWorker, kNotRun, open_turns
from evmcore._listed_check cimport READS_TOO_MANY, Doubt, check_all_met, check_part, describe
from evmcore._listed_run cimport (
    listed_adopt, listed_note_cleared, listed_work, listed_worker_free, listed_worker_new, reads_are_payable,
)
from evmcore._listed_told cimport tell_noted_part, telling_close, telling_open
from evmcore._stm cimport ticks
from evmcore._stm_watch cimport add_phases, no_phases
from evmcore._rules cimport BERLIN, CANCUN, LONDON, PRAGUE, SPURIOUS_DRAGON
from evmcore._sync cimport is_raised, monotonic_ns
from evmcore._u256 cimport u256_to_int
from evmcore._workers cimport run_on_workers

from evmcore.access_lists import ITEM_COST, BlockAccessList
from evmcore.errors import BlockReason, InputError, InvalidBlock, ResourceError, RlpError, not_copied
from evmcore.threads import thread_count


cdef class ListedExecutor(Executor):
    """Executes one block with its access list given, on `threads` native threads. Every transaction runs once, by
    itself: it reads the state that the list gives for its place, and its changes are compared with the list.

    `access_list`: a `BlockAccessList` or its RLP. `limit_size`: the list may have at most one address or slot for every
    2,000 gas of the block's limit, as the EIP says. Raises `InputError` for an argument that makes no sense.
    """

    def __init__(self, access_list, threads=1, bint limit_size=False):
        if self.access_list is not None:          # its block may be running
            raise InputError("a ListedExecutor is made once: make another one for another block")
        if isinstance(access_list, (bytes, bytearray, memoryview)):
            access_list = BlockAccessList._of_rlp(bytes(access_list))
        if not isinstance(access_list, BlockAccessList):
            raise InputError(
                f"access_list: expected a BlockAccessList or its RLP bytes, got {type(access_list).__name__}"
            )
        self.access_list = access_list
        self.threads = thread_count(threads)
        self.limit_size = limit_size

    def __reduce__(self):
        raise not_copied(self, "it executes one block; make another of the same access list")

    def __dealloc__(self):
        declared_release(&self.declared)
        telling_close(&self.telling)
        free(self.met.accounts)
        free(self.met.slots)
        free(self.met.counted)

    # ------------------------------------------------------------ before the block

    cdef Executor prepare(self, BlockRun run, object block):
        if self.used:
            raise InputError("executor: a ListedExecutor executes one block; make one for each")
        self.used = True
        cdef int64_t start = monotonic_ns()
        self.parse(block)
        run.given = self.access_list
        self.note_parts(run)
        self.met.accounts = <uint8_t*>calloc(<size_t>self.declared.account_count + 1, 1)
        self.met.slots = <uint8_t*>calloc(<size_t>self.declared.slot_count + 1, 1)
        self.met.counted = <uint8_t*>calloc(<size_t>self.declared.slot_count + 1, 1)
        if self.met.accounts == NULL or self.met.slots == NULL or self.met.counted == NULL:
            raise ResourceError("no memory for the block access list")
        self.declared.wipes = run.rules.revision < CANCUN
        self.count_reads(run)
        self.prefetch(run)
        self.reading = monotonic_ns() - start
        return self

    cdef int note_parts(self, BlockRun run) except -1:
        """Makes the parts noted, so that they can be checked, and recorded for the caller if it wants the accesses."""
        if run.stepwise and run.kept.accesses is not None:
            self.noted = run.kept.accesses       # every transaction is noted by itself
            return 0
        self.noted = AccessRecord()
        run.output.notes = &self.noted.notes
        if run.kept.accesses is not None and not telling_open(
            &self.telling, &run.kept.accesses.notes, &self.declared
        ):
            raise ResourceError("no memory for the block access list")
        return 0

    cdef int parse(self, object block) except -1:
        """Parses the list to native tables. If it is not in canonical form, its Python class says what is wrong."""
        cdef bytes data = self.access_list.to_rlp()
        cdef const uint8_t* start = data
        cdef size_t size = len(data)
        cdef uint32_t last = <uint32_t>(len(block.transactions) + 1)
        cdef Parsed parsed
        with nogil:
            parsed = declared_parse(&self.declared, start, size, last)
        if parsed == PARSED_NO_MEMORY:
            raise ResourceError("no memory for the block access list")
        if parsed != PARSED:
            try:
                BlockAccessList.from_rlp(data).check(last - 1)
            except RlpError as error:
                raise InvalidBlock(BlockReason.RLP_STRUCTURES_ENCODING, f"access list: {error}") from error
            raise InvalidBlock(BlockReason.INCORRECT_BLOCK_FORMAT, "access list: it is not in canonical form")
        if self.limit_size:
            items = self.declared.account_count + self.declared.slot_count
            if items > block.header.gas_limit // ITEM_COST:
                self.access_list.check_size(block.header.gas_limit)
        return 0

    cdef int count_reads(self, BlockRun run) except -1:
        """Determines which slots that are only read take gas of the block: all but those of contracts that the block
        itself calls after its transactions."""
        cdef uint32_t i, j
        cdef const uint8_t* address
        for i in range(self.declared.account_count):
            address = self.declared.accounts[i].address
            if run.rules.revision >= PRAGUE and (
                memcmp(address, WITHDRAWAL_REQUESTS, 20) == 0 or memcmp(address, CONSOLIDATION_REQUESTS, 20) == 0
            ):
                continue
            for j in range(self.declared.accounts[i].slot_count):
                if self.declared.slots[self.declared.accounts[i].first_slot + j].changes.count == 0:
                    self.met.counted[self.declared.accounts[i].first_slot + j] = 1
                    self.met.reads_left += 1
        return 0

    cdef int prefetch(self, BlockRun run) except -1:
        """Lets the backend fetch everything that the list names in one batch, if it can."""
        cdef uint32_t i, j
        fetch = run.backend.prefetcher()
        if fetch is None:
            return 0
        addresses = []
        slots = []
        for i in range(self.declared.account_count):
            address = self.declared.accounts[i].address[:20]
            addresses.append(address)
            for j in range(self.declared.accounts[i].slot_count):
                slots.append((address, u256_to_int(&self.declared.slots[self.declared.accounts[i].first_slot + j].key)))
        fetch(addresses, slots)
        return 0

    # ------------------------------------------------------------ the transactions

    cdef BlockFailure transactions(self, BlockRun run, Sequence* sequence) noexcept nogil:
        cdef ListedBlock block
        cdef BlockFailure failure = BLOCK_OK
        cdef int64_t alone
        self.begun = True
        failure = self.check(run, 0, 0, &sequence.status)
        if failure != BLOCK_OK:
            return failure
        memset(&block, 0, sizeof(ListedBlock))
        block.started = monotonic_ns()
        block.declared = &self.declared
        block.met = &self.met
        block.txs = sequence.txs
        block.count = <uint32_t>sequence.count
        block.rules = &run.rules
        block.base = &run.overlay.reader
        block.output = run.output
        block.telling = &self.telling
        block.delays = self.delays != 0
        # A read takes at least 2,000 gas (EIP-2929, EIP-2930); refunds give back a fifth of that at most (EIP-3529).
        if run.rules.revision >= LONDON:
            block.gas_of_a_read = ITEM_GAS * 4 // 5
        elif run.rules.revision >= BERLIN:
            block.gas_of_a_read = ITEM_GAS // 2
        # Before EIP-161 an account may exist and be empty; a list does not tell that.
        if run.rules.revision >= SPURIOUS_DRAGON and self.open_block(&block, run):
            self.run_by_list(&block, run)
        if block.failure == BLOCK_OK and not block.starved and block.turns.frontier:
            block.status = listed_adopt(&block, run.machine)
            if block.status != SUCCESS:
                block.failure = BLOCK_ENGINE_FAILED
        sequence.at = block.turns.frontier
        failure = block.failure
        sequence.status = block.status
        if block.starved:
            memset(&self.doubt, 0, sizeof(Doubt))
            self.doubt.kind = READS_TOO_MANY
            self.doubt.index = block.turns.frontier
            self.doubt.reads_left = self.met.reads_left
            self.doubt.gas_left = run.rules.env.gas_limit - run.output.gas_used
            failure = BLOCK_ACCESS_LIST_WRONG
        with gil:
            run.counters = {
                "threads": listed_threads(&block),
                "decision": f"a given access list, {listed_threads(&block)} threads",
                "phases": listed_phases(&block) | {"list": self.reading},
                "runs": runs_of(&block) + sequence.count - block.turns.frontier,
                "fallback": "" if block.turns.frontier == sequence.count or failure != BLOCK_OK else "more than the list tells",
                "fallback_at": None if block.turns.frontier == sequence.count or failure != BLOCK_OK else block.turns.frontier,
            }
        self.close_block(&block)
        if failure == BLOCK_OK and sequence.at < sequence.count:
            alone = monotonic_ns()
            failure = self.go_on(run, sequence)
            alone = monotonic_ns() - alone
            with gil:
                run.counters["phases"]["sequential"] = alone
        return failure

    cdef void run_by_list(self, ListedBlock* block, BlockRun run) noexcept nogil:
        if not reads_are_payable(block):
            block.starved = True
            return
        listed_note_cleared(block, run.machine.ws)
        block.opened_ns = monotonic_ns()
        block.opened = ticks()
        run_on_workers(block.worker_count, listed_work, block)
        block.closed = ticks()
        block.took = monotonic_ns() - block.opened_ns
        if not is_raised(&run.stop):
            run.halt = 0

    cdef BlockFailure go_on(self, BlockRun run, Sequence* sequence) noexcept nogil:
        """Runs the remaining transactions one after the other on the block's working set; each is compared with the
        list as it ends."""
        cdef BlockFailure failure = BLOCK_OK
        cdef Gate* gate = run.output.gate
        run.output.gate = NULL                   # a transaction is published when it has been checked
        while sequence.at < sequence.count and failure == BLOCK_OK:
            if is_raised(&run.stop):
                sequence.status = ABORTED
                failure = BLOCK_ENGINE_FAILED
                break
            failure = block_transaction(
                run.machine, &run.rules, sequence.txs[sequence.at], run.output, &sequence.invalid, &sequence.status
            )
            sequence.at += 1
            if failure == BLOCK_OK:
                failure = self.check(
                    run, run.output.notes.part_count - 1, <uint32_t>sequence.at, &sequence.status
                )
            if failure == BLOCK_OK and gate != NULL:
                gate.publish(run.output.record_count)
        run.output.gate = gate
        return failure

    cdef BlockFailure check(self, BlockRun run, uint32_t part, uint32_t index, Status* status) noexcept nogil:
        """Compares a noted part with what the list says of its place, and records it for the caller."""
        if not check_part(&self.declared, &self.met, run.output.notes, part, index, &self.doubt):
            return BLOCK_ACCESS_LIST_WRONG
        if self.telling.notes == NULL or tell_noted_part(&self.telling, run.output.notes, part):
            return BLOCK_OK
        status[0] = NO_MEMORY
        return BLOCK_ENGINE_FAILED

    cdef bint open_block(self, ListedBlock* block, BlockRun run) noexcept nogil:
        """Takes workers and room for their runs. False: no memory."""
        cdef ListedWorker* w
        cdef int i
        cdef int wanted = <int>min(<uint32_t>self.threads, block.count)
        cdef uint32_t* verdict_of = <uint32_t*>calloc(<size_t>block.count + 1, sizeof(uint32_t))
        open_turns(block.turns, block.count, verdict_of, &run.halt)
        block.workers = <ListedWorker**>calloc(wanted, sizeof(ListedWorker*))
        block.run_of = <ListedRun*>calloc(<size_t>block.count + 1, sizeof(ListedRun))
        if block.workers == NULL or block.run_of == NULL or verdict_of == NULL:
            return False
        for i in range(wanted):
            w = listed_worker_new()
            if w == NULL:
                break
            w.block = block
            w.tasks.delays.random = self.delays * (i + 1)
            block_enter(w.machine, &run.rules, &run.halt)
            block.workers[i] = w
            block.worker_count += 1
        return block.worker_count > 0

    cdef void close_block(self, ListedBlock* block) noexcept nogil:
        cdef int i
        for i in range(block.worker_count):
            listed_worker_free(block.workers[i])
        free(block.workers)
        free(block.run_of)
        free(block.turns.verdict_of)

    # ------------------------------------------------------------ after the block

    cdef BlockFailure finish(self, BlockRun run, Status* status) noexcept nogil:
        cdef uint32_t parts = run.output.notes.part_count
        cdef BlockFailure failure = BLOCK_OK
        cdef uint32_t i = 0
        while i < parts - 1 and failure == BLOCK_OK and not self.begun:
            failure = self.check(run, i, i, status)      # no transactions, or each was run by itself and noted
            i += 1
        if failure == BLOCK_OK:
            failure = self.check(run, parts - 1, self.declared.last, status)
        if failure == BLOCK_OK and not check_all_met(&self.declared, &self.met, &self.doubt):
            return BLOCK_ACCESS_LIST_WRONG
        return failure

    cdef object access_list_error(self):
        return InvalidBlock(BlockReason.INVALID_BLOCK_ACCESS_LIST, "access list: " + describe(&self.doubt, self.declared.last))


cdef int listed_threads(const ListedBlock* block):
    """The number of threads that came to work on the block, this one at least."""
    cdef int i, came = 0
    for i in range(block.worker_count):
        came += block.workers[i].tasks.watch.since != 0
    return max(came, 1)


cdef dict listed_phases(const ListedBlock* block):
    cdef dict phases = no_phases()
    cdef double unit = <double>block.took / <double>max(block.closed - block.opened, <uint64_t>1)
    cdef int i
    if block.opened_ns:
        phases["opening"] = block.opened_ns - block.started
    for i in range(block.worker_count):
        add_phases(phases, &block.workers[i].tasks.watch, block.opened, block.closed, unit)
    return phases


cdef uint32_t runs_of(const ListedBlock* block) noexcept nogil:
    """How many transactions ran by the list."""
    cdef uint32_t runs = 0
    cdef uint32_t tx
    if block.turns.verdict_of != NULL:
        for tx in range(1, block.count + 1):
            runs += block.turns.verdict_of[tx] != kNotRun
    return runs


cdef enum:
    ITEM_GAS = 2000

if ITEM_GAS != ITEM_COST:
    raise AssertionError("one price of an item")
