"""Work on a pinned reader of the cache: it runs on guesses, and all missing values are fetched together between runs."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libcpp.vector cimport vector
from evmcore._interp cimport Machine
from evmcore.state._cache_native cimport AccessBook, StateKey
from evmcore.state._cache_reader cimport CacheReader
from evmcore.state._reader cimport RunHooks

# A call that has begun to run on a view.
cdef struct RunningCall:
    Machine* machine
    const uint8_t* target
    const uint8_t* sender
    const uint8_t* data
    size_t size

cdef class CacheView(CacheReader):
    cdef RunHooks run_hooks
    cdef RunningCall call                         # while the reader is `in_call`
    cdef AccessBook* book                         # the fetcher's
    cdef uint64_t cold_runs
    cdef object hint                              # of the current work
    cdef bint hinted                              # whether the hint is not empty
    cdef bint interrupted                         # the work was interrupted to fetch what its first call would need
    cdef object failure                           # the error of a fetch in the middle of the work

    cdef object run_rounds(self, object work, object hint, bint wait, bint brief)
    cdef int next_round(self, object hint, bint wait) except -1
    cdef bint fetch_expected(self) noexcept nogil  # False: `failure` has the reason
    cdef int fetch_all(self) except -1
    cdef void follow_up(self, vector[StateKey]& fetched) noexcept
    cdef int foresee(self, object hints, bint wait) except -1
    cdef int want_codes(self, vector[StateKey]& accounts) except -1
    cdef int add_hints(self, object hint) except -1

# The part of `RedisPin` that runs work, with as little Python as possible.
cdef class PinRunner:
    cdef readonly object state
    cdef readonly object moment
    cdef list idle
