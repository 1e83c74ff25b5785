"""Logs blooms and the consensus encoding of receipts, from the interpreter's own log entries."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

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
    cdef size_t i
    cdef uint32_t topic
    for i in range(count):
        bloom_add(bloom, logs[i].address, 20)
        for topic in range(logs[i].topic_count):
            bloom_add(bloom, logs[i].topics + 32 * topic, 32)


# ---- RLP: the size of everything first, then one pass that writes

cdef size_t log_payload(const LogEntry* log, const uint8_t* data) noexcept nogil:
    cdef size_t topics = 33 * <size_t>log.topic_count
    return 21 + rlp_header_size(topics) + topics + rlp_bytes_size(data + log.data_offset, log.data_size)


cdef bytes encode_receipt(
    int type, const uint8_t* outcome, size_t outcome_size, uint64_t cumulative_gas_used, const uint8_t* bloom,
    const LogEntry* logs, size_t count, const uint8_t* data,
):
    cdef size_t logs_size = 0, payload, size, i
    cdef uint32_t topic
    cdef uint8_t* at
    cdef bytes encoded
    # Status 0 is the number zero: the empty string.
    if outcome_size == 1 and outcome[0] == 0:
        outcome_size = 0
    for i in range(count):
        payload = log_payload(&logs[i], data)
        logs_size += rlp_header_size(payload) + payload
    payload = (
        rlp_bytes_size(outcome, outcome_size) + rlp_uint_size(cumulative_gas_used) + 3 + 256
        + rlp_header_size(logs_size) + logs_size
    )
    size = rlp_header_size(payload) + payload + (1 if type else 0)
    encoded = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    at = <uint8_t*>PyBytes_AS_STRING(encoded)
    if type:
        at[0] = <uint8_t>type
        at += 1
    at = rlp_put_header(at, RLP_LIST, payload)
    at = rlp_put_bytes(at, outcome, outcome_size)
    at = rlp_put_uint(at, cumulative_gas_used)
    at = rlp_put_bytes(at, bloom, 256)
    at = rlp_put_header(at, RLP_LIST, logs_size)
    for i in range(count):
        at = rlp_put_header(at, RLP_LIST, log_payload(&logs[i], data))
        at = rlp_put_bytes(at, logs[i].address, 20)
        at = rlp_put_header(at, RLP_LIST, 33 * <size_t>logs[i].topic_count)
        for topic in range(logs[i].topic_count):
            at = rlp_put_bytes(at, logs[i].topics + 32 * topic, 32)
        at = rlp_put_bytes(at, data + logs[i].data_offset, logs[i].data_size)
    return encoded


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
