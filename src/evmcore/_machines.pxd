"""Machines and arenas between uses: they are expensive to make, and one is as good as another.

Layer 2, above the interpreter. Machines are kept by what they are used for, because their tables stay as large as they grew:
those of a whole block would send every look-up of a small call through memory that no cache holds.
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
    FOR_BINS                      # what another thread runs of a block: its memory had better stay near that thread
    FOR_WORKERS                   # transactions of a block, each by itself
    MACHINE_USES

# A machine that nobody else uses, as a new one but for what it has grown to: without deadline, abort flag and tracer. One
# that is not for calls asks in time (`_asking`) while it runs.
# NULL: no memory.
cdef Machine* machine_take(MachineUse use) noexcept nogil

# The same; ResourceError where there is no memory.
cdef Machine* machine_or_error(MachineUse use) except NULL

# Back to the others; what it lent out is no longer valid. The working set is reset, but for that of a call.
cdef void machine_give(Machine* machine, MachineUse use) noexcept nogil

# An empty arena that nobody else uses. NULL: no memory.
cdef Arena* arena_take() noexcept nogil
cdef void arena_give(Arena* arena) noexcept nogil
