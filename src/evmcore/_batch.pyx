"""A batch of calls on native threads, on machines that single calls use too (`_machines`)."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_FromStringAndSize
from evmcore._asking cimport ask_in_time
from evmcore._code cimport Code
from evmcore._interp cimport (
    CREATE, Machine, Message, NO_MEMORY, Outcome, STATE_FAILED, SUCCESS, execute,
)
from evmcore._machines cimport FOR_CALLS, machine_give, machine_take
from evmcore._results cimport CallResult
from evmcore._rules cimport BERLIN, PRAGUE, SHANGHAI
from evmcore._state cimport (
    LogEntry, WorkingSet, ws_account_unloaded, ws_balance, ws_begin, ws_code, ws_load, ws_nonce, ws_reset, ws_set_balance,
    ws_set_nonce, ws_warm_account,
)
from evmcore._sync cimport is_raised, raise_flag
from evmcore._tx cimport CALL_CHECKS, TX_VALID, TxChecks, TxData, TxResult, transaction_run
from evmcore._u256 cimport u256, u_is_zero, u_lt
from evmcore._workers cimport run_on_workers
from evmcore.state._reader cimport Backend, RunHooks

from evmcore.errors import ResourceError

cdef extern from "include/workers.h" namespace "evmcore" nogil:
    cdef cppclass Counter:
        uint64_t take(uint64_t amount) noexcept


cdef void set_up(const Settings* settings, Machine* machine) noexcept nogil:
    machine.env = settings.env
    machine.revision = settings.revision
    machine.unlimited_code_size = settings.unlimited_code_size
    machine.switch_dispatch = settings.switch_dispatch
    machine.stop_at = settings.hooks.stop_at if settings.hooks != NULL else NULL
    ws_reset(machine.ws, settings.reader, settings.revision)


cdef void tell_end(RunHooks* hooks, Machine* machine, bint is_create, const uint8_t* target, const uint8_t* sender,
                   const uint8_t* data, size_t size) noexcept nogil:
    hooks.ended(hooks.self, machine, <const uint8_t*>NULL if is_create else target, sender, data, size)


cdef void settings_run(const Settings* settings, Machine* machine, const TxData* tx, const TxChecks* checks,
                       uint64_t block_gas_left, TxResult* result) noexcept nogil:
    set_up(settings, machine)
    transaction_run(machine, tx, checks, block_gas_left, settings.blob_gas_limit, settings.max_blobs_per_tx, result)
    if settings.hooks != NULL:
        tell_end(settings.hooks, machine, tx.is_create, tx.to, tx.sender, tx.data, tx.data_size)


cdef void settings_message(const Settings* settings, Machine* machine, Message* message, const u256* gas_price,
                           Outcome* outcome) noexcept nogil:
    cdef WorkingSet* ws = machine.ws
    cdef uint32_t caller, target
    cdef Code* code
    set_up(settings, machine)
    ws_begin(ws)
    machine.env.gas_price = gas_price[0]
    memcpy(machine.env.origin, message.caller, 20)
    caller = ws_account_unloaded(ws, message.caller)      # read where that matters to the message
    if not u_is_zero(&message.value) and u_lt(ws_balance(ws, caller), &message.value):
        ws_set_balance(ws, caller, &message.value)
    if settings.revision >= BERLIN:
        ws_warm_account(ws, caller)
        if settings.revision >= SHANGHAI:
            ws_warm_account(ws, ws_account_unloaded(ws, settings.env.coinbase))
    if message.kind == CREATE:
        ws_set_nonce(ws, caller, ws_nonce(ws, caller) + 1)
    elif settings.revision >= BERLIN:
        target = ws_account_unloaded(ws, message.target)
        ws_warm_account(ws, target)
        if settings.revision >= PRAGUE:
            ws_load(ws, target)
            code = ws_code(ws, target)
            if code != NULL and code.delegation:
                ws_warm_account(ws, ws_account_unloaded(ws, code.raw + 3))
    if ws.failed:
        memset(outcome, 0, sizeof(Outcome))
        outcome.status = NO_MEMORY if ws.no_memory else STATE_FAILED
    else:
        execute(machine, message, outcome)
    if settings.hooks != NULL:
        tell_end(
            settings.hooks, machine, message.kind == CREATE, message.target, message.caller, message.input,
            message.input_size
        )


# Jobs that a worker takes at once: enough to avoid contention on the counter, few enough that all workers end together.
cdef enum:
    SHARE = 8
    LOOKS = 16                    # checks of the flag per look at the clock, whose cost brief calls would notice

cdef struct Run:
    void* batch
    const Settings* settings
    int64_t deadline_ns
    const uint32_t* abort_flag
    const uint32_t* stop
    Job* jobs
    size_t count
    Counter* next


cdef bint batch_interrupted(Machine* machine) noexcept nogil:
    """For `Machine.interrupted`. `interruption` is the batch's stop flag: its jobs end together, on whatever thread they run."""
    machine.asked_next += 1
    if machine.asked_next % LOOKS == 0:
        ask_in_time()
    return is_raised(<const uint32_t*>machine.interruption)


cdef void work(void* context) noexcept nogil:
    """Runs jobs until none is left. Jobs that no thread runs, for lack of a machine, keep their initial status NO_MEMORY."""
    cdef Run* run = <Run*>context
    cdef Machine* machine = machine_take(FOR_CALLS)
    cdef size_t first, i
    cdef Job* job
    if machine == NULL:
        return
    machine.deadline_ns = run.deadline_ns
    machine.abort_flag = run.abort_flag
    machine.interrupted = batch_interrupted
    machine.interruption = <void*>run.stop
    while not is_raised(run.stop):
        first = run.next.take(SHARE)
        if first >= run.count:
            break
        for i in range(first, min(first + SHARE, run.count)):
            job = &run.jobs[i]
            settings_run(run.settings, machine, &job.tx, &CALL_CHECKS, job.tx.gas_limit, &job.result)
            if job.result.invalid == TX_VALID and job.result.status == STATE_FAILED:
                keep_failure(run.batch, i)
            keep(machine.ws, job)
    machine_give(machine, FOR_CALLS)


cdef void keep_failure(void* batch, size_t index) noexcept with gil:
    """In the thread that could not read: others may fail as well."""
    (<Batch>batch).failures[index] = (<Batch>batch).backend.take_error()


cdef void keep(WorkingSet* ws, Job* job) noexcept nogil:
    """Copies the parts of the job's result that are borrowed from the machine."""
    cdef const uint8_t* output = job.result.output
    cdef size_t i, end
    cdef bint lost = False
    job.result.output = NULL
    if job.result.invalid != TX_VALID or job.result.status >= STATE_FAILED:
        return
    if job.result.output_size:
        job.result.output = <uint8_t*>malloc(job.result.output_size)
        if job.result.output == NULL:
            lost = True
        else:
            memcpy(<void*>job.result.output, output, job.result.output_size)
    if ws.log_count and not lost:
        for i in range(ws.log_count):
            end = ws.logs[i].data_offset + ws.logs[i].data_size
            job.log_size = max(job.log_size, end)
        job.logs = <LogEntry*>malloc(ws.log_count * sizeof(LogEntry))
        job.log_data = <uint8_t*>malloc(max(job.log_size, <size_t>1))
        if job.logs == NULL or job.log_data == NULL:
            lost = True
        else:
            job.log_count = ws.log_count
            memcpy(job.logs, ws.logs, ws.log_count * sizeof(LogEntry))
            memcpy(job.log_data, ws.log_data, job.log_size)
    if lost:
        job.result.status = NO_MEMORY


cdef class Batch:
    """Calls with the same settings: add jobs, run them, take the results, clear."""

    def __dealloc__(self):
        if self.jobs != NULL:
            self.clear()
            free(self.jobs)

    cdef void clear(self):
        cdef size_t i
        for i in range(self.count):
            free(<void*>self.jobs[i].result.output)
            free(self.jobs[i].logs)
            free(self.jobs[i].log_data)
        self.count = 0
        self.kept = []
        self.failures = {}

    cdef Job* add(self, object owner):
        cdef Job* job = &self.jobs[self.count]
        memset(job, 0, sizeof(Job))
        job.result.status = NO_MEMORY
        self.kept.append(owner)
        self.count += 1
        return job

    cdef void run(self, unsigned int threads) noexcept nogil:
        cdef Counter next
        cdef Run run
        run.batch = <void*>self
        run.settings = &self.settings
        run.deadline_ns = self.deadline_ns
        run.abort_flag = self.abort_flag
        run.stop = &self.stop
        run.jobs = self.jobs
        run.count = self.count
        run.next = &next
        run_on_workers(threads, work, &run)

    cdef CallResult result(self, size_t index):
        cdef Job* job = &self.jobs[index]
        cdef CallResult result = CallResult.__new__(CallResult)
        result.ended = job.result.status
        result.gas_used = job.result.gas_used
        result.gas_refund = job.result.gas_refund
        result.output = PyBytes_FromStringAndSize(<char*>job.result.output, job.result.output_size)
        if job.result.is_create and job.result.status == SUCCESS:
            result.created_address = PyBytes_FromStringAndSize(<char*>job.result.created, 20)
        if job.log_count:
            result.log_entries = PyBytes_FromStringAndSize(<char*>job.logs, job.log_count * sizeof(LogEntry))
            result.log_data = PyBytes_FromStringAndSize(<char*>job.log_data, job.log_size)
        return result


cdef Batch batch_new(
    size_t capacity, Backend backend, const Settings* settings, int64_t deadline_ns, const uint32_t* abort_flag
):
    cdef Batch batch = Batch.__new__(Batch)
    batch.kept = []
    batch.failures = {}
    batch.backend = backend
    batch.settings = settings[0]
    batch.deadline_ns = deadline_ns
    batch.abort_flag = abort_flag
    batch.jobs = <Job*>malloc(max(capacity, <size_t>1) * sizeof(Job))
    if batch.jobs == NULL:
        raise ResourceError(f"no memory for a batch of {capacity} calls")
    batch.capacity = capacity
    return batch


cdef void end_batch(void* batch) noexcept nogil:
    raise_flag(&(<Batch>batch).stop)
