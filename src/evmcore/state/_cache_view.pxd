"""Readers of the cache that are pinned to one step of its history.

A `CacheView` is a `Backend`: the engine reads through it without locks and without the GIL as long as everything is in
the cache. What is missing it asks of its `Fetcher`: outside of `run` at once, in the thread that reads; inside of `run`
all of it together, after the work has run to its end on guesses.
"""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libcpp.vector cimport vector
from evmcore._code cimport Code
from evmcore._interp cimport Machine
from evmcore.state._cache cimport Cache
from evmcore.state._cache_native cimport AccessBook, Hash, Reader, StateKey
from evmcore.state._reader cimport Backend, RunHooks

# A call that has begun to run on a view.
cdef struct RunningCall:
    Machine* machine
    const uint8_t* target
    const uint8_t* sender
    const uint8_t* data
    size_t size

# Where a view gets what is not in the cache.
cdef class Fetcher:
    cdef object upstream                          # asked for what an incomplete state lacks; None: nobody
    cdef readonly uint64_t upstream_questions
    cdef readonly object book                     # CallBook
    cdef int reluctant                            # so many works more do not fetch in their midst: see `run_rounds`
    # Brings all of it into the cache or into the view's own keeping. What is there and damaged it notes in
    # `view.damaged`. Raises StateUnavailable.
    cdef int fetch(self, CacheView view, vector[StateKey]& keys, vector[Hash]& codes) except -1
    # Whether a fetch takes no longer than an event loop may be held up; and it did all the same.
    cdef bint is_brief(self) noexcept
    cdef void was_long(self) noexcept

cdef class CacheView(Backend):
    cdef Reader* view
    cdef RunHooks run_hooks
    cdef RunningCall call                         # while the reader is `in_call`
    cdef AccessBook* book                         # the fetcher's
    cdef Cache cache
    cdef Fetcher fetcher
    cdef object block_hash                        # int -> bytes or None; asked with the GIL
    cdef object error
    cdef Code** codes                             # references: what was fetched must not leave the code cache meanwhile
    cdef size_t code_count
    cdef size_t code_capacity
    cdef uint64_t cold_runs
    cdef bint brief                               # fetches must not take long
    cdef object hint                              # of the work that is being done
    cdef bint interrupted                         # the work, to fetch what its first call was going to need
    cdef object failure                           # of a fetch in the middle of the work
    cdef dict damaged                             # (address, slot or None), or code hash: the error to raise
    cdef object __weakref__

    cdef int keep_code(self, Code* code) except -1
    cdef Code* kept_code(self, const uint8_t* code_hash) noexcept nogil
    cdef int want_codes(self, vector[StateKey]& accounts) except -1
    cdef int fetch_now(self, const StateKey* key, const uint8_t* code_hash) except -1
    cdef object run_rounds(self, object work, object hint, bint wait, bint brief)
    cdef void follow_up(self, vector[StateKey]& fetched) noexcept
    cdef int next_round(self, object hint, bint wait) except -1
    cdef int fetch_all(self) except -1
    cdef int ask_upstream(self, vector[StateKey]& keys) except -1
    cdef int keep_codes_of(self, object upstream, object header, dict hashes) except -1
    cdef int keep_account(self, StateKey& key, object account) except -1
    cdef int keep_slot(self, StateKey& key, object given) except -1
    cdef int add_hints(self, object hint) except -1
    cdef int fetch_expected(self) except -1
    cdef int foresee(self, object hints, bint wait) except -1
    cdef int check_damage(self, object key) except -1
    cdef object header(self)
    cdef object key_of(self, const StateKey* key)

# What `RedisPin` runs with, as little as possible of it in Python.
cdef class PinRunner:
    cdef readonly object state
    cdef readonly object moment
    cdef list idle
