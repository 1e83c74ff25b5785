"""Logs blooms and the consensus encoding of receipts, from the interpreter's own log entries."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._state cimport LogEntry

# Sets the bits of the logs' addresses and topics in a bloom of 256 bytes (yellow paper, 4.3.1).
cdef void bloom_add_logs(uint8_t* bloom, const LogEntry* logs, size_t count) noexcept nogil

# The parts of a receipt. `outcome`: 1 byte (0 or 1) or a 32-byte root. `data`: the bytes that the logs' offsets refer to.
cdef struct ReceiptData:
    int type
    const uint8_t* outcome
    size_t outcome_size
    uint64_t cumulative_gas_used
    const uint8_t* bloom
    const LogEntry* logs
    size_t log_count
    const uint8_t* data

# type || rlp([status or root, gas, bloom, logs]): the size, and the bytes.
cdef size_t receipt_size(const ReceiptData* receipt) noexcept nogil
cdef void receipt_write(const ReceiptData* receipt, uint8_t* at) noexcept nogil
