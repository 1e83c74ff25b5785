"""State in this process's memory: native tables behind a reader-writer lock, with snapshots."""
from libc.stdint cimport uint8_t, uint32_t
from libcpp cimport bool as cbool
from evmcore._diff cimport StateDiff
from evmcore.state._edits cimport Edit, Snapshots
from evmcore.state._kept_trie cimport KeptTrie
from evmcore.state._proof cimport AccountProof
from evmcore.state._reader cimport Backend
from evmcore.state._store cimport Store

cdef extern from "include/shared_lock.h" namespace "evmcore" nogil:
    cdef cppclass SharedLock:
        SharedLock() except +
        void begin_read() noexcept
        cbool try_begin_read() noexcept
        void end_read() noexcept
        cbool is_reading() noexcept
        cbool begin_write() noexcept
        void end_write() noexcept
        void begin_turn() noexcept
        void end_turn() noexcept

cdef class MemoryState(Backend):
    cdef Store store
    cdef SharedLock* lock
    cdef Snapshots snapshots
    cdef KeptTrie kept            # readers of the state use it one at a time (`begin_turn`)

    cdef int edit(self, Edit* edit) except -1
    cdef int put_account(self, bytes address, object entry) except -1
    cdef int add_old_codes(self, StateDiff diff) except -1
    cdef int apply_direction(self, StateDiff diff, bint backward, uint8_t* root, const uint8_t* wanted, unsigned int threads) except -1
    cdef int compute(self, unsigned int threads, uint8_t* root, AccountProof* proof) except -1
    # Runs `work`, which computes a root (after a `diff`, or None). If it may take long, signals are handled meanwhile; if a
    # handler raises, `stop` is set, and the exception is returned.
    cdef object run_long(self, void (*work)(void* context) noexcept nogil, void* context, uint32_t* stop, StateDiff diff)
    cdef bint may_take_long(self, StateDiff diff)
    cdef bint keeps_trie(self) noexcept nogil     # whether roots after the next one only hash what has changed
