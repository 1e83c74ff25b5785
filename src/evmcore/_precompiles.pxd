"""Precompiled contracts 0x01 to 0x11 and 0x100."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t

cdef enum PrecompileStatus:
    PRECOMPILE_OK = 0
    PRECOMPILE_FAILED = 1        # consumes all gas: bad input, or not enough gas
    PRECOMPILE_NO_MEMORY = 2     # the machine could not allocate; an engine error, never an EVM result
    PRECOMPILE_UNAVAILABLE = 3   # blst was not found (0x0a to 0x11); an engine error, never an EVM result

cdef struct Output:              # a growable byte buffer owned by its holder
    uint8_t* data                # malloc'ed, NULL while capacity is 0
    size_t size
    size_t capacity

# 0, or -1 when out of memory; keeps nothing of the old content.
cdef int output_reserve(Output* out, size_t size) noexcept nogil
cdef void output_free(Output* out) noexcept nogil

# The number of the precompile at a 20-byte address at a revision (1..0x11, 0x100), 0 if there is none.
cdef int precompile_at(const uint8_t* address, int revision) noexcept nogil

# The precompile at an address after moves. `number` 0: there is none.
cdef struct PrecompileMove:
    uint8_t[20] address
    int number

cdef struct PrecompileMoves:
    const PrecompileMove* moves
    size_t count

# Like `precompile_at`, after the moves.
cdef int precompile_after(const PrecompileMoves* moves, const uint8_t* address, int revision) noexcept nogil

# Runs precompile `number`. gas[0] holds the gas offered and, on PRECOMPILE_OK, the gas left. `input` never aliases
# `out`.
cdef PrecompileStatus precompile_run(
    int number, int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out) noexcept nogil
