"""The state before a place in the block, from the block's access list and the state before the block."""
from libc.stdint cimport uint32_t
from evmcore._declared cimport Declared, DeclaredAccount, DeclaredChange, DeclaredSlot
from evmcore._listed cimport ListedBlock, ListedWorker
from evmcore._state cimport AccountData
from evmcore._u256 cimport u256

# Makes `w.reader` answer for the transaction `w.index`. With each answer, the reader's `origin` is the number in the
# list plus one.
cdef void listed_reader_init(ListedWorker* w) noexcept nogil

# The slot before the block, read once for all workers; zero if it was absent. False: it cannot be read.
cdef bint slot_base(ListedBlock* block, DeclaredAccount* account, DeclaredSlot* slot, u256* value) noexcept nogil

# Turns a slot's value before the block into its value before a place in the block. Returns the change that it comes
# from; NULL: none.
cdef const DeclaredChange* slot_before(
    const Declared* d, const DeclaredAccount* account, const DeclaredSlot* slot, uint32_t index, u256* value
) noexcept nogil

# Whether an account is empty by EIP-161.
cdef bint is_empty(const AccountData* account) noexcept nogil
