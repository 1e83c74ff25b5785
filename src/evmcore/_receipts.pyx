"""Logs blooms and the consensus encoding of receipts, from the interpreter's own log entries."""
from libc.string cimport memcmp
from cpython.bytes cimport PyBytes_FromStringAndSize

from evmcore._hash cimport keccak256
from evmcore._rlp cimport (
    RLP_LIST, rlp_bytes_size, rlp_header_size, rlp_put_bytes, rlp_put_header, rlp_put_uint, rlp_uint_size,
)


cdef void bloom_add(uint8_t* bloom, const uint8_t* item, size_t size) noexcept nogil:
    cdef uint8_t[32] digest
    cdef int i, bit
    keccak256(item, size, digest)
    for i in range(0, 6, 2):
        bit = (digest[i] << 8 | digest[i + 1]) & 2047
        bloom[255 - (bit >> 3)] |= 1 << (bit & 7)


cdef void bloom_add_logs(uint8_t* bloom, const LogEntry* logs, size_t count) noexcept nogil:
    cdef const LogEntry* log
    cdef const LogEntry* before = NULL
    cdef size_t i
    cdef uint32_t topic
    for i in range(count):
        log = &logs[i]
        # An item equal to the same item of the previous log is in the bloom already: logs of one event often come in rows.
        if before == NULL or memcmp(log.address, before.address, 20) != 0:
            bloom_add(bloom, log.address, 20)
        for topic in range(log.topic_count):
            if before == NULL or topic >= before.topic_count or memcmp(
                log.topics + 32 * topic, before.topics + 32 * topic, 32
            ) != 0:
                bloom_add(bloom, log.topics + 32 * topic, 32)
        before = log


# ---- RLP: first all sizes, then one pass that writes

cdef size_t log_payload(const LogEntry* log, const uint8_t* data) noexcept nogil:
    cdef size_t topics = 33 * <size_t>log.topic_count
    return 21 + rlp_header_size(topics) + topics + rlp_bytes_size(data + log.data_offset, log.data_size)


cdef size_t logs_payload(const ReceiptData* receipt) noexcept nogil:
    cdef size_t size = 0, payload, i
    for i in range(receipt.log_count):
        payload = log_payload(&receipt.logs[i], receipt.data)
        size += rlp_header_size(payload) + payload
    return size


cdef size_t outcome_size(const ReceiptData* receipt) noexcept nogil:
    # Status 0 is the number zero: the empty string.
    return 0 if receipt.outcome_size == 1 and receipt.outcome[0] == 0 else receipt.outcome_size


cdef size_t receipt_payload(const ReceiptData* receipt, size_t logs_size) noexcept nogil:
    return (
        rlp_bytes_size(receipt.outcome, outcome_size(receipt)) + rlp_uint_size(receipt.cumulative_gas_used) + 3 + 256
        + rlp_header_size(logs_size) + logs_size
    )


cdef size_t receipt_size(const ReceiptData* receipt) noexcept nogil:
    cdef size_t payload = receipt_payload(receipt, logs_payload(receipt))
    return rlp_header_size(payload) + payload + (1 if receipt.type else 0)


cdef void receipt_write(const ReceiptData* receipt, uint8_t* at) noexcept nogil:
    cdef size_t logs_size = logs_payload(receipt), i
    cdef const LogEntry* log
    cdef uint32_t topic
    if receipt.type:
        at[0] = <uint8_t>receipt.type
        at += 1
    at = rlp_put_header(at, RLP_LIST, receipt_payload(receipt, logs_size))
    at = rlp_put_bytes(at, receipt.outcome, outcome_size(receipt))
    at = rlp_put_uint(at, receipt.cumulative_gas_used)
    at = rlp_put_bytes(at, receipt.bloom, 256)
    at = rlp_put_header(at, RLP_LIST, logs_size)
    for i in range(receipt.log_count):
        log = &receipt.logs[i]
        at = rlp_put_header(at, RLP_LIST, log_payload(log, receipt.data))
        at = rlp_put_bytes(at, log.address, 20)
        at = rlp_put_header(at, RLP_LIST, 33 * <size_t>log.topic_count)
        for topic in range(log.topic_count):
            at = rlp_put_bytes(at, log.topics + 32 * topic, 32)
        at = rlp_put_bytes(at, receipt.data + log.data_offset, log.data_size)


def logs_bloom(logs):
    """The 256-byte bloom of an iterable of `types.Log`."""
    cdef uint8_t[256] bloom
    cdef int i
    cdef bytes item
    for i in range(256):
        bloom[i] = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bloom_add(bloom, item, len(item))
    return PyBytes_FromStringAndSize(<char*>bloom, 256)
