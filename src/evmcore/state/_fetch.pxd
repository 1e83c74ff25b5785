"""Fetching what is not in the cache from Redis: one request for all of it, checked, corrected to the reader's step."""
from libc.stdint cimport int64_t, uint64_t
from libcpp.string cimport string
from libcpp.vector cimport vector
from evmcore.state._cache_native cimport Ask, Hash, KeyNames, Round, RoundOutcome, StateKey
from evmcore.state._cache_reader cimport CacheReader
from evmcore.state._places cimport Places
from evmcore.state._upstream_fetch cimport UpstreamFetcher
from evmcore.state._wire cimport Connection

cdef class RedisFetcher(UpstreamFetcher):
    cdef object links                 # `take` a connection, `give` it back
    cdef Places places                # of `links`
    cdef object watch                 # FeedReader: is told what is wrong with the server, and may refuse fetching
    cdef object keys                  # layout.Keys
    cdef KeyNames names
    cdef double timeout
    cdef readonly uint64_t rounds     # requests
    cdef int64_t usual                # nanoseconds that a request takes, by the last few
    cdef int64_t patient_until        # monotonic: a short fetch took long, none is tried until then
    cdef readonly uint64_t keys_asked
    cdef readonly uint64_t corrections    # rounds whose values were of another step than the reader's
    cdef readonly uint64_t faults     # accounts and codes that were damaged

    cdef Connection take(self, object links, bint brief)
    cdef int give(self, object links, Connection connection) except -1
    # 1: the server is a replica, and too far behind.
    cdef int fetch_once(self, CacheReader view, Round* round, Connection connection, int64_t deadline) except -1
    cdef int confirm_absence(self, Round* round, Connection connection, int64_t deadline) except -1
    cdef int64_t count_evictions(self, Connection connection, int64_t deadline) except -2
    cdef int refuse_suspect(self) except -1
    cdef int explain(self, RoundOutcome outcome, string error, Connection connection) except -1
    cdef int check_history(self, CacheReader view, Round* round) except -1
    cdef int tell(self, str reason) except -1
    cdef int note_fault(self, CacheReader view, Round* round, Ask* ask) except -1
    cdef int take_codes(self, CacheReader view, Round* round) except -1
