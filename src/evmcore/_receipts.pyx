"""Logs blooms and the consensus encoding of receipts, from the interpreter's own log entries."""
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from evmcore._hash cimport keccak256


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

cdef size_t number_size(uint64_t value) noexcept nogil:
    """Bytes of a big-endian number without leading zeros."""
    cdef size_t size = 0
    while value:
        size += 1
        value >>= 8
    return size


cdef size_t header_size(size_t payload) noexcept nogil:
    return 1 if payload < 56 else 1 + number_size(payload)


cdef uint8_t* put_number(uint8_t* at, uint64_t value, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(size):
        at[i] = <uint8_t>(value >> (8 * (size - 1 - i)))
    return at + size


cdef uint8_t* put_header(uint8_t* at, uint8_t base, size_t payload) noexcept nogil:
    """The header of a string (base 0x80) or list (0xc0)."""
    cdef size_t size
    if payload < 56:
        at[0] = <uint8_t>(base + payload)
        return at + 1
    size = number_size(payload)
    at[0] = <uint8_t>(base + 55 + size)
    return put_number(at + 1, payload, size)


cdef uint8_t* put_string(uint8_t* at, const uint8_t* data, size_t size) noexcept nogil:
    if size == 1 and data[0] < 0x80:
        at[0] = data[0]
        return at + 1
    at = put_header(at, 0x80, size)
    if size:
        memcpy(at, data, size)
    return at + size


cdef size_t string_size(const uint8_t* data, size_t size) noexcept nogil:
    return 1 if size == 1 and data[0] < 0x80 else header_size(size) + size


cdef size_t log_payload(const LogEntry* log, const uint8_t* data) noexcept nogil:
    cdef size_t topics = 33 * <size_t>log.topic_count
    return 21 + header_size(topics) + topics + string_size(data + log.data_offset, log.data_size)


cdef bytes encode_receipt(
    int type, const uint8_t* outcome, size_t outcome_size, uint64_t cumulative_gas_used, const uint8_t* bloom,
    const LogEntry* logs, size_t count, const uint8_t* data,
):
    cdef uint8_t[8] gas
    cdef size_t gas_size = number_size(cumulative_gas_used)
    cdef size_t logs_size = 0, payload, size, i
    cdef uint32_t topic
    cdef uint8_t* at
    cdef bytes encoded
    put_number(gas, cumulative_gas_used, gas_size)
    # Status 0 is the number zero: the empty string.
    if outcome_size == 1 and outcome[0] == 0:
        outcome_size = 0
    for i in range(count):
        payload = log_payload(&logs[i], data)
        logs_size += header_size(payload) + payload
    payload = (
        string_size(outcome, outcome_size) + string_size(gas, gas_size) + 3 + 256 + header_size(logs_size) + logs_size
    )
    size = header_size(payload) + payload + (1 if type else 0)
    encoded = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    at = <uint8_t*>PyBytes_AS_STRING(encoded)
    if type:
        at[0] = <uint8_t>type
        at += 1
    at = put_header(at, 0xc0, payload)
    at = put_string(at, outcome, outcome_size)
    at = put_string(at, gas, gas_size)
    at = put_string(at, bloom, 256)
    at = put_header(at, 0xc0, logs_size)
    for i in range(count):
        at = put_header(at, 0xc0, log_payload(&logs[i], data))
        at = put_string(at, logs[i].address, 20)
        at = put_header(at, 0xc0, 33 * <size_t>logs[i].topic_count)
        for topic in range(logs[i].topic_count):
            at = put_string(at, logs[i].topics + 32 * topic, 32)
        at = put_string(at, data + logs[i].data_offset, logs[i].data_size)
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
