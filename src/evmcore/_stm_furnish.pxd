"""What a parallel block needs for speculation: store, scheduler, workers, and room for the records of runs. Layer 5."""
from evmcore._stm_block cimport Block

# Takes all of that. False: something is missing; the block then runs sequentially.
cdef bint furnish_block(Block* block) noexcept nogil

# Sizes the store for the accounts and slots that most blocks reach. False: no memory.
cdef bint prepare_store(Block* block) noexcept nogil

# Gives back everything the block holds, its bins included.
cdef void close_block(Block* block) noexcept nogil
