"""Fetches values that the cache lacks from Redis: one request for all of them, checked, corrected to the reader's step.

In the usual case all of it is done without the GIL (`trip`). Unusual cases are handled with the GIL (`go_on`).
"""
from libc.stdint cimport int64_t, uint64_t
from libcpp.string cimport string
from libcpp.vector cimport vector
from evmcore.state._cache_native cimport (
    Ask, Hash, KeyNames, Round, RoundOutcome, StateKey, atomic_i64, atomic_u64,
)
from evmcore.state._cache_reader cimport CacheReader
from evmcore.state._places cimport Places
from evmcore.state._upstream_fetch cimport UpstreamFetcher
from evmcore.state._wire cimport Connection, Io

# The progress of one request.
cdef enum class Trip:
    NOT_MADE
    NOT_CARRIED                   # `io` has the reason
    NOT_ANSWERED                  # `outcome` has the reason
    TO_BE_LOOKED_AT               # codes have arrived, or accounts are missing
    OTHER_HISTORY
    REPLACED                      # the cache does not follow the chain any more
    AHEAD                         # of the feed, which did not catch up in time
    BEHIND                        # before the window, or before an account was loaded
    NO_MEMORY
    FAULTY                        # all values have arrived, except damaged ones
    DONE

# The values to fetch, and the progress.
cdef struct Fetching:
    Round* round
    Trip trip
    Io io
    RoundOutcome outcome
    int64_t deadline

cdef class RedisFetcher(UpstreamFetcher):
    cdef object links                 # `take` a connection, `give` it back
    cdef Places places                # of `links`
    cdef object watch                 # FeedReader: is told of problems of the server, and may forbid fetching
    cdef object keys                  # layout.Keys
    cdef KeyNames names
    cdef int64_t timeout              # nanoseconds
    cdef atomic_i64 usual             # nanoseconds that a request takes, from the last few
    cdef public int64_t usually_brief_ns    # a fetch on an event loop is tried only if `usual` is less
    cdef public int64_t brief_ns            # and stopped after this time
    cdef int64_t patient_until        # monotonic: such a fetch took long, so none is tried until then
    cdef atomic_u64 requests
    cdef atomic_u64 asked             # accounts, slots and codes
    cdef atomic_u64 corrected         # requests whose values were of a step other than the reader's
    cdef readonly uint64_t faults     # accounts and codes that were damaged

    # One request over a connection without TLS, and the processing of its reply.
    cdef void trip(self, CacheReader view, Fetching* fetching, Connection connection) noexcept nogil
    # Its parts: before the request, after the reply has arrived, and after the reply was processed.
    cdef size_t begin(self, CacheReader view, Round* round, Connection connection) noexcept nogil
    cdef void understand(self, CacheReader view, Fetching* fetching, Connection connection, size_t replies) noexcept nogil
    cdef void settle(self, CacheReader view, Fetching* fetching) noexcept nogil

    # The rest, with the GIL: a connection has to be opened, more requests are needed, or there is a problem. Takes over
    # the reference to the connection. False: the view's `error` has the reason.
    cdef bint go_on(self, CacheReader view, Fetching* fetching, void* taken) noexcept
    cdef int fetch_all(self, CacheReader view, Fetching* fetching, Connection connection) except -1
    # 1: the server is a replica, and too far behind.
    cdef int fetch_once(self, CacheReader view, Fetching* fetching, Connection connection) except -1
    cdef Connection take(self, object links, bint brief)
    cdef int confirm_absence(self, Round* round, Connection connection, int64_t deadline) except -1
    cdef int64_t count_evictions(self, Connection connection, int64_t deadline) except -2
    cdef int refuse_suspect(self) except -1
    cdef int explain(self, CacheReader view, Fetching* fetching, Connection connection) except -1
    cdef int explain_reply(self, RoundOutcome outcome, string error, Connection connection) except -1
    cdef int tell(self, str reason) except -1
    cdef int note_fault(self, CacheReader view, Round* round, Ask* ask) except -1
    cdef int take_codes(self, CacheReader view, Round* round) except -1
