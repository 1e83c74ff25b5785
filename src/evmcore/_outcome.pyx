"""The outcomes of a block's transactions, read from the block's output: results, receipts, blooms and roots."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from evmcore._access_record cimport AccessRecord
from evmcore._block_steps cimport output_release
from evmcore._growing cimport array_now, free_array, new_array
from evmcore._interp cimport SUCCESS
from evmcore._receipts cimport ReceiptData, bloom_add_logs, receipt_size, receipt_write
from evmcore._rlp cimport rlp_put_uint
from evmcore._state cimport LogEntry
from evmcore._sync cimport mutex_lock, mutex_unlock
from evmcore._trie cimport TrieItem, trie_root_threaded
from evmcore._u256 cimport u256_to_int
from evmcore._workers cimport for_each

from evmcore.errors import ResourceError, not_copied
from evmcore.forks import Fork
from evmcore.types import Log, Receipt

cdef enum:
    RECEIPTS_AT_ONCE = 32         # receipts that a thread makes at a time

MADE = object()


cdef class KeptOutput:
    def __dealloc__(self):
        del self.gate
        output_release(&self.data)

    cdef Gate* follow(self) except NULL:
        self.data.retired.keeps = True
        self.gate = self.data.gate = new Gate()
        return self.gate

    cdef int record_accesses(self) except -1:
        self.accesses = AccessRecord()
        self.accesses.notes.retired.keeps = self.gate != NULL
        self.data.notes = &self.accesses.notes
        return 0

    cdef size_t view(self, BlockOutput* seen) noexcept:
        # The count first: the entries it counts are in the arrays read after it, even if the arrays were moved since.
        cdef size_t count = self.gate.published()
        memset(seen, 0, sizeof(BlockOutput))
        seen.records = <TxRecord*>array_now(<void**>&self.data.records)
        seen.logs = <LogEntry*>array_now(<void**>&self.data.logs)
        seen.data = <uint8_t*>array_now(<void**>&self.data.data)
        seen.record_count = count
        return count

    cdef int make_blooms(self, unsigned int threads) except -1:
        with nogil:
            mutex_lock(&self.making)
            if not self.data.has_blooms:
                output_blooms(&self.data, threads)
            mutex_unlock(&self.making)
        return 0


# ---------------------------------------------------------------------------------------------------- blooms

cdef void make_record_blooms(void* context, uint64_t first, uint64_t end) noexcept nogil:
    cdef BlockOutput* output = <BlockOutput*>context
    cdef TxRecord* record
    cdef uint64_t i
    for i in range(first, end):
        record = &output.records[i]
        memset(record.bloom, 0, 256)
        bloom_add_logs(record.bloom, output.logs + record.first_log, record.log_count)


cdef void output_blooms(BlockOutput* output, unsigned int threads) noexcept nogil:
    cdef size_t i, j
    cdef const uint64_t* bits
    cdef uint64_t[32] all_bits
    memset(all_bits, 0, 256)
    for_each(threads, output.record_count, RECEIPTS_AT_ONCE, make_record_blooms, output)
    for i in range(output.record_count):
        bits = <const uint64_t*>output.records[i].bloom
        for j in range(32):
            all_bits[j] |= bits[j]
    memcpy(output.bloom, all_bits, 256)
    output.has_blooms = True


# ---------------------------------------------------------------------------------------------------- Python objects

cdef bytes slice_of(const uint8_t* data, size_t offset, size_t size):
    return PyBytes_FromStringAndSize(<const char*>(data + offset), <Py_ssize_t>size)


cdef tuple logs_of(const BlockOutput* output, const TxRecord* record):
    cdef const LogEntry* log
    cdef size_t i
    cdef uint32_t topic
    cdef list logs = []
    for i in range(record.first_log, record.first_log + record.log_count):
        log = &output.logs[i]
        topics = tuple([slice_of(log.topics, 32 * topic, 32) for topic in range(log.topic_count)])
        data = slice_of(output.data, log.data_offset, log.data_size)
        logs.append(Log(slice_of(log.address, 0, 20), topics, data))
    return tuple(logs)


cdef object receipt_of(const BlockOutput* output, size_t index, object fork, object transaction):
    cdef const TxRecord* record = &output.records[index]
    cdef bint succeeded = record.result.status == SUCCESS
    cdef uint8_t[256] bloom
    memset(bloom, 0, 256)
    bloom_add_logs(bloom, output.logs + record.first_log, record.log_count)
    return Receipt(
        type=record.type,
        status=<int>succeeded if fork >= Fork.BYZANTIUM else None,
        cumulative_gas_used=record.cumulative_gas_used,
        gas_used=record.result.gas_used,
        bloom=slice_of(bloom, 0, 256),
        logs=logs_of(output, record),
        state_root=slice_of(record.state_root, 0, 32) if record.has_state_root else None,
        contract_address=slice_of(record.result.created, 0, 20) if record.result.is_create and succeeded else None,
        transaction_hash=transaction.hash,
        effective_gas_price=u256_to_int(&record.gas_price),
    )


cdef class CommittedTransaction(TransactionResult):
    """The outcome of a transaction of a block: the fields of `TransactionResult`, and more.

    `index`: its index in the block, from 0. `receipt` and `accesses`: see there. `diff` is None, because the block has one
    diff for all transactions. `gas_used` is the gas that the sender paid for, refunds subtracted. A transaction from
    `execute_block_stream` is final, but the block may still turn out to be invalid. It stays valid when the stream has
    ended.
    """

    def __cinit__(self, made=None):
        if made is not MADE:
            raise TypeError("a CommittedTransaction comes from the execution of a block: it cannot be made by itself")

    cdef tuple fields(self):
        return (*TransactionResult.fields(self), self.index, self.receipt, self.accesses)

    def __reduce__(self):
        raise not_copied(self, "pickle what is needed of it, as its receipt and output")

    @property
    def receipt(self):
        """The `Receipt`, made on each access."""
        cdef BlockOutput seen
        if self.kept.gate == NULL:
            seen = self.kept.data
        else:                                 # others may still be written
            self.kept.view(&seen)
        return receipt_of(&seen, self.index, self.fork, self.transaction)

    @property
    def accesses(self):
        """The accesses and changes of this transaction alone, as a `BlockAccessList` (EIP-7928; the transaction's index there
        is `index + 1`), made on each access. None unless `accesses` or `access_list=True` was given.
        `BlockAccessList.joined` joins the lists of all parts of a block."""
        if self.kept.accesses is None:
            return None
        return self.kept.accesses.list_of(<uint32_t>(self.index + 1), <uint32_t>(self.index + 1))


cdef CommittedTransaction committed_transaction(
    KeptOutput kept, const BlockOutput* output, size_t index, object fork, object transaction
):
    cdef const TxRecord* record = &output.records[index]
    cdef CommittedTransaction result = CommittedTransaction.__new__(CommittedTransaction, MADE)
    cdef LogEntry* entry
    cdef size_t i
    result.index = index
    result.kept = kept
    result.fork = fork
    result.transaction = transaction
    result.ended = record.result.status
    result.gas_used = record.result.gas_used
    result.gas_refund = record.result.gas_refund
    result.gas_spent = record.result.gas_spent
    result.output = slice_of(output.data, record.output_offset, record.result.output_size)
    if record.result.is_create and record.result.status == SUCCESS:
        result.created_address = slice_of(record.result.created, 0, 20)
    if record.log_count:
        result.log_entries = slice_of(
            <const uint8_t*>(output.logs + record.first_log), 0, record.log_count * sizeof(LogEntry)
        )
        entry = <LogEntry*>PyBytes_AS_STRING(result.log_entries)
        for i in range(record.log_count):
            entry[i].data_offset -= record.data_start
        result.log_data = slice_of(output.data, record.data_start, record.output_offset - record.data_start)
    return result


# ---------------------------------------------------------------------------------------------------- receipts

cdef struct Encoding:
    const BlockOutput* output
    bint has_status
    size_t* offsets               # the start of each receipt in `bytes`, and the end of the last
    uint8_t* bytes


cdef void describe(const BlockOutput* output, uint64_t index, bint has_status, uint8_t* succeeded, ReceiptData* receipt) noexcept nogil:
    cdef TxRecord* record = &output.records[index]
    succeeded[0] = record.result.status == SUCCESS
    receipt.type = record.type
    if has_status:
        receipt.outcome = succeeded
        receipt.outcome_size = 1
    else:
        receipt.outcome = record.state_root
        receipt.outcome_size = 32
    receipt.cumulative_gas_used = record.cumulative_gas_used
    receipt.bloom = record.bloom
    receipt.logs = output.logs + record.first_log
    receipt.log_count = record.log_count
    receipt.data = output.data


cdef void write_receipts(void* context, uint64_t first, uint64_t end) noexcept nogil:
    cdef Encoding* encoding = <Encoding*>context
    cdef ReceiptData receipt
    cdef uint8_t succeeded
    cdef uint64_t i
    for i in range(first, end):
        describe(encoding.output, i, encoding.has_status, &succeeded, &receipt)
        receipt_write(&receipt, encoding.bytes + encoding.offsets[i])


cdef bint encode_receipts(Encoding* encoding, unsigned int threads) noexcept nogil:
    """False: no memory. The caller frees offsets and bytes by `free_array`."""
    cdef const BlockOutput* output = encoding.output
    cdef ReceiptData receipt
    cdef uint8_t succeeded
    cdef size_t i, size = 0
    encoding.bytes = NULL
    encoding.offsets = <size_t*>new_array((output.record_count + 1) * sizeof(size_t))
    if encoding.offsets == NULL:
        return False
    for i in range(output.record_count):
        encoding.offsets[i] = size
        describe(output, i, encoding.has_status, &succeeded, &receipt)
        size += receipt_size(&receipt)
    encoding.offsets[output.record_count] = size
    encoding.bytes = <uint8_t*>new_array(size + 1)
    if encoding.bytes == NULL:
        return False
    for_each(threads, output.record_count, RECEIPTS_AT_ONCE, write_receipts, encoding)
    return True


cdef bint root_of_encoded(const Encoding* encoding, unsigned int threads, uint8_t* root) noexcept nogil:
    cdef size_t count = encoding.output.record_count, i
    cdef uint8_t* key
    cdef TrieItem* items = <TrieItem*>new_array(count * sizeof(TrieItem) + 1)
    cdef uint8_t* keys = <uint8_t*>new_array(9 * count + 1)
    cdef bint done = items != NULL and keys != NULL
    if done:
        for i in range(count):
            key = keys + 9 * i
            items[i].key = key
            items[i].key_size = <uint32_t>(rlp_put_uint(key, i) - key)
            items[i].value = encoding.bytes + encoding.offsets[i]
            items[i].value_size = <uint32_t>(encoding.offsets[i + 1] - encoding.offsets[i])
        done = trie_root_threaded(items, count, threads, NULL, root)
    free_array(items)
    free_array(keys)
    return done


cdef bint has_outcomes(const BlockOutput* output, bint has_status):
    cdef size_t i
    if not has_status:
        for i in range(output.record_count):
            if not output.records[i].has_state_root:
                return False
    return True


cdef object no_memory():
    return ResourceError("no memory for the block's receipts")


cdef list encoded_receipts(KeptOutput kept, object fork, unsigned int threads):
    cdef Encoding encoding
    cdef size_t i
    cdef bint done
    encoding.output = &kept.data
    encoding.has_status = fork >= Fork.BYZANTIUM
    if not has_outcomes(&kept.data, encoding.has_status):
        return None
    kept.make_blooms(threads)
    try:
        with nogil:
            done = encode_receipts(&encoding, threads)
        if not done:
            raise no_memory()
        return [
            slice_of(encoding.bytes, encoding.offsets[i], encoding.offsets[i + 1] - encoding.offsets[i])
            for i in range(kept.data.record_count)
        ]
    finally:
        free_array(encoding.offsets)
        free_array(encoding.bytes)


cdef bytes receipts_root(KeptOutput kept, object fork, unsigned int threads):
    cdef Encoding encoding
    cdef uint8_t[32] root
    cdef bint done
    encoding.output = &kept.data
    encoding.has_status = fork >= Fork.BYZANTIUM
    if not has_outcomes(&kept.data, encoding.has_status):
        return None
    kept.make_blooms(threads)
    with nogil:
        done = encode_receipts(&encoding, threads) and root_of_encoded(&encoding, threads, root)
        free_array(encoding.offsets)
        free_array(encoding.bytes)
    if not done:
        raise no_memory()
    return slice_of(root, 0, 32)
