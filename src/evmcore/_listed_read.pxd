"""The state before a place in the block, as its access list and the state before the block tell it."""
from libc.stdint cimport uint32_t
from evmcore._declared cimport Declared, DeclaredAccount, DeclaredChange, DeclaredSlot
from evmcore._listed cimport ListedBlock, ListedWorker
from evmcore._state cimport AccountData
from evmcore._u256 cimport u256

# Makes `w.reader` answer for the transaction `w.index`. With each answer its `origin` is the number in the list, plus one.
cdef void listed_reader_init(ListedWorker* w) noexcept nogil

# The slot before the block, read once for all workers; zero where it was absent. False: it cannot be read.
cdef bint slot_base(ListedBlock* block, DeclaredAccount* account, DeclaredSlot* slot, u256* value) noexcept nogil

# Makes of a slot's value before the block that before a place in it. The change that it comes from, NULL: none.
cdef const DeclaredChange* slot_before(
    const Declared* d, const DeclaredAccount* account, const DeclaredSlot* slot, uint32_t index, u256* value
) noexcept nogil

# As EIP-161 has it.
cdef bint is_empty(const AccountData* account) noexcept nogil
