"""Readers of the cache that are pinned to one step of its history, and their sources of missing values.

A `CacheReader` is a `Backend`: the engine reads through it without locks and without the GIL as long as all values are in
the cache. A missing value is asked of its `Fetcher` at once, in the thread that reads; but if its C++ reader is
`speculating`, the key is noted and the value is answered as empty (see `_cache_view`).
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libcpp.vector cimport vector
from evmcore._code cimport Code
from evmcore._growing cimport Retired
from evmcore.state._cache cimport Cache
from evmcore.state._cache_native cimport Hash, Reader, StateKey
from evmcore.state._reader cimport Backend, ReadErrors

cdef class Fetcher:
    cdef object upstream                          # supplies what an incomplete state lacks; None: nothing does
    cdef readonly uint64_t upstream_questions
    cdef readonly object book                     # CallBook
    cdef int reluctant                            # the next so many works do not fetch in the middle: see `run_rounds`
    # Brings all values into the cache or into the reader's own keeping; notes damaged ones in `view.damaged`. False: the
    # view's `errors` have the reason (StateUnavailable, ...).
    cdef bint fetch(self, CacheReader view, vector[StateKey]& keys, vector[Hash]& codes) noexcept nogil
    # The same for values that an incomplete state lacks. Raises StateUnknown without an upstream.
    cdef int ask_upstream(self, CacheReader view, vector[StateKey]& keys) except -1
    # Whether a fetch is short enough for an event loop; the second notes that one was not.
    cdef bint is_brief(self) noexcept nogil
    cdef void was_long(self) noexcept

cdef class CacheReader(Backend):
    cdef Reader* view
    cdef Cache cache
    cdef Fetcher fetcher
    cdef object block_hash                        # int -> bytes or None; asked with the GIL
    cdef ReadErrors errors
    # References: fetched codes must not leave the code cache meanwhile. Appended with the GIL, read without it.
    cdef Code** codes
    cdef uint32_t code_count
    cdef size_t code_capacity
    cdef Retired retired
    cdef bint brief                               # fetches must not take long
    cdef dict damaged                             # (address, slot or None), or code hash: the error to raise
    cdef object __weakref__

    # Called when the run misses a value: whether the value was fetched, so that it need not be guessed.
    cdef bint fetch_at_once(self, const StateKey& key) noexcept nogil
    # Fetches, and raises the error if it fails.
    cdef int get(self, vector[StateKey]& keys, vector[Hash]& codes) except -1
    cdef int fetch_now(self, const StateKey* key, const uint8_t* code_hash) except -1
    cdef object read_error(self)
    cdef int check_damage(self, object key) except -1
    cdef int keep_code(self, Code* code) except -1
    cdef Code* kept_code(self, const uint8_t* code_hash) noexcept nogil
    cdef object header(self)
    cdef object key_of(self, const StateKey* key)
