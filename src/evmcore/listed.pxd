"""Executing a block with its access list given (EIP-7928). Layer 5, beside `stm`."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from evmcore._access_record cimport AccessRecord
from evmcore._block_run cimport BlockRun, Executor, Sequence
from evmcore._block_steps cimport BlockFailure
from evmcore._declared cimport Declared
from evmcore._interp cimport Status
from evmcore._listed cimport ListedBlock, Met
from evmcore._listed_check cimport Doubt
from evmcore._listed_told cimport Telling

cdef class ListedExecutor(Executor):
    cdef readonly object access_list
    cdef public uint64_t delays   # for tests: seed of delays at the points where threads meet; 0: none
    cdef bint limit_size
    cdef Declared declared
    cdef AccessRecord noted       # by the block's working set: parts that did not run by the list, and what others left
    cdef Telling telling          # what each part accessed, for a caller that wants the accesses
    cdef Met met
    cdef Doubt doubt
    cdef bint begun               # `transactions` was called: the notes hold what it left
    cdef bint used
    cdef int64_t reading          # ns that reading the list took, including fetching what it names

    cdef int parse(self, object block) except -1
    cdef int note_parts(self, BlockRun run) except -1
    cdef BlockFailure check(self, BlockRun run, uint32_t part, uint32_t index, Status* status) noexcept nogil
    cdef int count_reads(self, BlockRun run) except -1
    cdef int prefetch(self, BlockRun run) except -1
    cdef bint open_block(self, ListedBlock* block, BlockRun run) noexcept nogil
    cdef void close_block(self, ListedBlock* block) noexcept nogil
    cdef void run_by_list(self, ListedBlock* block, BlockRun run) noexcept nogil
    cdef BlockFailure go_on(self, BlockRun run, Sequence* sequence) noexcept nogil
