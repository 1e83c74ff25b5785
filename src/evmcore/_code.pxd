"""Analysed contract code: shared by all threads, cached by code hash within a bounded memory budget."""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

cdef enum:
    MOST_CODE = 1 << 30           # bytes of one code

cdef struct Code:
    int32_t refs                  # atomic
    uint32_t size                 # bytes of the original code
    uint8_t[32] hash              # Keccak-256 of the original code; all zero for unhashed init code
    const uint8_t* raw            # original bytes, followed by 64 zero bytes
    const uint8_t* ops            # the executed copy: same length and offsets, common sequences fused where execution entered
    const uint64_t* jumpdests     # one bit per byte offset
    bint delegation               # EIP-7702 designator: raw[3:23] is the delegate

cdef Code* code_empty() noexcept nogil                                               # the code of size 0 (a reference of its own)
cdef Code* code_find(const uint8_t* code_hash) noexcept nogil                        # new reference, or NULL when not cached
cdef Code* code_intern(const uint8_t* code_hash, const uint8_t* data, size_t size) noexcept nogil   # new reference; analysed and cached; NULL: no memory
cdef Code* code_transient(const uint8_t* data, size_t size) noexcept nogil           # new reference, not cached, not hashed (init code); NULL: no memory
cdef void code_fuse(const Code* code, size_t at) noexcept nogil                      # fuses from the entered instruction at `at` to the end of its run
cdef void code_retain(Code* code) noexcept nogil
cdef void code_release(Code* code) noexcept nogil                                    # NULL is allowed

cdef int check_code_size(Py_ssize_t size, str name) except -1                        # InputError naming the argument

cdef inline bint is_jumpdest(const Code* code, uint64_t offset) noexcept nogil:
    return offset < code.size and (code.jumpdests[offset >> 6] >> (offset & 63)) & 1
