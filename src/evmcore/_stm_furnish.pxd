"""What a parallel block needs to be speculated on: store, scheduler, workers, room for what runs leave. Layer 5."""
from evmcore._stm_block cimport Block

# Takes all of that. False: something is missing; the block then runs sequentially.
cdef bint furnish_block(Block* block) noexcept nogil

# The store, for the accounts and slots that most blocks reach. False: no memory.
cdef bint prepare_store(Block* block) noexcept nogil

# Gives back whatever the block has, its bins included.
cdef void close_block(Block* block) noexcept nogil
