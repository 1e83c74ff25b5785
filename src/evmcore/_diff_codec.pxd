"""State diffs as bytes and as JSON values.

Binary form, version 1. A *count* is an unsigned LEB128 of the fewest bytes; a *number* is one length byte (0 to 32) and
that many big-endian bytes without leading zeros; a *hash* is a length byte 0 (no code) or 32 and the bytes.

    "EVMD", version byte
    count of accounts; each: 20-byte address, flags, old fields if it existed, new fields that differ if it exists
        flags: 1 wiped, 2 existed, 4 exists, 8 nonce differs, 16 balance differs, 32 code hash differs
        fields: number nonce, number balance, hash code_hash; of an absent account 0, 0, no code
    count of addresses with slots; each: address, count of slots, then key, old and new of each as numbers
    count of codes; each: count of bytes, the bytes (their hash is not stored but computed)
    CRC-32 (zlib) of all bytes before, 4 bytes big-endian

Everything is in canonical order (see `_diff_data.pxd`; codes by hash), so a diff has one encoding.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from evmcore._diff_data cimport DiffData
from evmcore._u256 cimport u256

cdef class Writer:
    cdef uint8_t* data
    cdef size_t size
    cdef size_t capacity

    cdef uint8_t* room(self, size_t count) except NULL       # `count` bytes at the end, which the caller fills in
    cdef int write_bytes(self, const uint8_t* data, size_t count) except -1
    cdef int write_byte(self, uint8_t byte) except -1
    cdef int write_count(self, uint64_t value) except -1
    cdef int write_number(self, const u256* value) except -1
    cdef int write_number64(self, uint64_t value) except -1
    cdef int write_code_hash(self, const uint8_t* code_hash) except -1

cdef class Reader:
    cdef const uint8_t* data      # borrowed
    cdef size_t size
    cdef size_t at

    cdef const uint8_t* take(self, size_t count, str what) except NULL
    cdef uint8_t read_byte(self, str what) except? 255
    cdef uint64_t read_count(self, str what, size_t smallest) except? 0xffffffff    # `smallest`: least bytes of one entry
    cdef int read_number(self, u256* value, str what) except -1
    cdef uint64_t read_number64(self, str what) except? 0xffffffff
    cdef int read_code_hash(self, uint8_t* code_hash) except -1

cdef bytes diff_to_bytes(DiffData diff)
cdef dict diff_to_json(DiffData diff)
# Fill an empty diff. InputError if the data are malformed.
cdef int diff_from_bytes(DiffData diff, object data) except -1
cdef int diff_from_json(DiffData diff, object value) except -1
