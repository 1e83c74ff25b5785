"""Pools of machines and arenas, which are expensive to make and interchangeable.

Layer 2, above the interpreter. Machines are pooled by use, because their tables never shrink: a small call on the machine of a
whole block would do every look-up in memory that no cache holds.
"""
from libc.stddef cimport size_t
from evmcore._interp cimport Machine

cdef extern from "include/stm/arena.h" namespace "evmcore::stm" nogil:
    cppclass Arena:
        void* take(size_t size)
        const unsigned char* next()
        void trim(const void* piece, size_t size)
        void reset()
        size_t taken()

cdef enum MachineUse:
    FOR_CALLS                     # and single transactions
    FOR_BLOCKS                    # a block's own working set
    FOR_BINS                      # a bin that another thread runs: its memory should stay near that thread
    FOR_WORKERS                   # single transactions of a block
    MACHINE_USES

# A machine for exclusive use, like a new one except for the size of its tables: without deadline, abort flag and tracer. A
# machine that is not for calls polls (`ask_in_time` of `_asking`) while it runs. NULL: no memory.
cdef Machine* machine_take(MachineUse use) noexcept nogil

# The same; ResourceError if there is no memory.
cdef Machine* machine_or_error(MachineUse use) except NULL

# Returns a machine to its pool; pointers borrowed from it become invalid. The working set is reset, except after a call.
cdef void machine_give(Machine* machine, MachineUse use) noexcept nogil

# An empty arena for exclusive use. NULL: no memory.
cdef Arena* arena_take() noexcept nogil
cdef void arena_give(Arena* arena) noexcept nogil
