"""Fetches values that the cache lacks from Redis. See `_fetch.pxd`."""
cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF
from evmcore._code cimport code_intern
from evmcore._hash cimport keccak256
from evmcore._u256 cimport u256_to_int
from evmcore.state._cache_reader cimport CacheReader
from evmcore.state._cache_native cimport (
    Added, Ask, CodeAsk, Fault, Followed, Hash, KeyNames, Round, RoundOutcome, StateCache, StateKey,
    evicted_keys,
)
from evmcore.state._prefetch import CallBook
from evmcore.state._upstream_fetch cimport UpstreamFetcher
from evmcore.state._wire cimport Connection, Io, Node, Wire, monotonic_now, refusal

import time

from evmcore.errors import ResourceError, StateCorrupted, StateNotAvailable, StateUnavailable, UnsafeStorage
from evmcore.state.evictions import evicted
from evmcore.state.layout import Keys, show_key

# Requests of one fetch: another one is needed if an account's storage turns out to have another generation, or if a
# replica is too far behind.
cdef int MOST_REQUESTS = 50
# A fetch on an event loop: tried only if requests usually take less than the first; stopped after the second; and then
# not tried again for the third.
cdef int64_t USUALLY_BRIEF_NS = 1_000_000
cdef int64_t BRIEF_NS = 5_000_000
cdef int64_t PATIENT_NS = 50_000_000


@cython.auto_pickle(False)
cdef class RedisFetcher(UpstreamFetcher):
    """Fetches over connections of `links`, for the chain of `keys`; `timeout` in seconds, for one fetch.

    `upstream`: supplies what an incomplete state lacks (see `upstream.Upstream`). `watch` (a `FeedReader`) is told if the
    state in Redis turns out to be another one than the cached one, or if its server has lost keys.
    """

    def __init__(self, links, keys: Keys, timeout: float, upstream=None, watch=None) -> None:
        self.links = links
        self.keys = keys
        self.places = links.places
        self.names = KeyNames(keys.prefix)
        self.timeout = <int64_t>(timeout * 1e9)
        self.upstream = upstream
        self.watch = watch
        self.book = CallBook()
        self.usually_brief_ns = USUALLY_BRIEF_NS
        self.brief_ns = BRIEF_NS

    @property
    def rounds(self) -> int:
        """The number of requests made."""
        return self.requests.load()

    @property
    def keys_asked(self) -> int:
        """The number of accounts, slots and codes requested."""
        return self.asked.load()

    @property
    def corrections(self) -> int:
        """Requests whose values were of a step other than the reader's."""
        return self.corrected.load()

    cdef bint fetch(self, CacheReader view, vector[StateKey]& keys, vector[Hash]& codes) noexcept nogil:
        cdef Round round
        cdef Fetching fetching
        cdef void* connection = NULL
        cdef bint good
        fetching.round = &round
        fetching.trip = Trip.NOT_MADE
        fetching.deadline = monotonic_now() + (self.brief_ns if view.brief else self.timeout)
        view.begin_read()
        if not round.gather(keys, codes, view.cache.cache[0]):
            fetching.trip = Trip.NO_MEMORY
        else:
            self.asked.fetch_add(round.asks.size() + round.slots.size() + round.codes.size())
            connection = self.places.take_open()
        if connection != NULL and (<Connection>connection).socket is None and not (view.brief and (<Connection>connection).replica):
            self.trip(view, &fetching, <Connection>connection)
        good = fetching.trip == Trip.DONE and not round.to_be_continued() and self.places.give_open(connection)
        if not good:
            with gil:
                good = self.go_on(view, &fetching, connection)
        view.end_read()
        return good

    cdef bint is_brief(self) noexcept nogil:
        return self.usual.load() < self.usually_brief_ns and monotonic_now() >= self.patient_until

    cdef void was_long(self) noexcept:
        self.patient_until = monotonic_now() + PATIENT_NS

    # ---- one request

    cdef void trip(self, CacheReader view, Fetching* fetching, Connection connection) noexcept nogil:
        cdef Wire* wire = connection.wire
        cdef size_t replies = self.begin(view, fetching.round, connection)
        cdef int64_t began = monotonic_now()
        cdef int64_t usual = self.usual.load()
        fetching.io = connection.send_plain(fetching.deadline)
        if fetching.io == Io.DONE:
            fetching.round.make_ready(view.cache.cache[0])
            fetching.io = connection.receive_plain(replies, fetching.deadline)
        if fetching.io != Io.DONE:
            fetching.trip = Trip.NOT_CARRIED
            return
        self.usual.store(usual + (monotonic_now() - began - usual) // 8)
        self.understand(view, fetching, connection, replies)

    cdef size_t begin(self, CacheReader view, Round* round, Connection connection) noexcept nogil:
        self.requests.fetch_add(1)
        round.count_evictions = view.cache.complete and not connection.replica and round.may_lack_accounts()
        return round.write(connection.wire[0], self.names)

    cdef void understand(self, CacheReader view, Fetching* fetching, Connection connection, size_t replies) noexcept nogil:
        cdef Round* round = fetching.round
        fetching.outcome = round.read(connection.wire[0], replies, view.cache.complete)
        if fetching.outcome != RoundOutcome.DONE:
            fetching.trip = Trip.NOT_ANSWERED
        elif round.codes.size() or (view.cache.complete and round.lacks_accounts()):
            fetching.trip = Trip.TO_BE_LOOKED_AT
        else:
            self.settle(view, fetching)

    cdef void settle(self, CacheReader view, Fetching* fetching) noexcept nogil:
        cdef Round* round = fetching.round
        cdef StateCache* cache = view.cache.cache
        cdef Added added
        # The values must belong to the cached history, whichever part of it is known by now.
        fetching.trip = Trip.OTHER_HISTORY
        if view.cache.follower.check(round.head) != Followed.GOING_ON:
            return
        if round.head.stored != view.view.view.seq:
            self.corrected.fetch_add(1)
        if round.head.seq > cache.latest():
            if not cache.wait_for(round.head.seq, fetching.deadline):
                fetching.trip = Trip.REPLACED if cache.given_up() else Trip.AHEAD
                return
            if view.cache.follower.check(round.head) != Followed.GOING_ON:
                return
        if round.head.stored < cache.oldest() or round.precedes_load(view.view[0], view.cache.complete):
            fetching.trip = Trip.BEHIND
            return
        added = round.settle(cache[0], view.view[0], view.cache.complete)
        if added == Added.NO_MEMORY:
            fetching.trip = Trip.NO_MEMORY
        elif added == Added.OUTSIDE:
            fetching.trip = Trip.REPLACED
        else:
            fetching.trip = Trip.FAULTY if round.faulty() else Trip.DONE

    # ---- with the GIL

    cdef bint go_on(self, CacheReader view, Fetching* fetching, void* taken) noexcept:
        cdef Connection connection = None
        if taken != NULL:
            connection = <Connection>taken
            Py_DECREF(connection)                 # the reference that came with it
        try:
            self.fetch_all(view, fetching, connection)
            return True
        except BaseException as error:
            view.errors.keep(error)
            return False

    cdef int fetch_all(self, CacheReader view, Fetching* fetching, Connection connection) except -1:
        cdef int requests = 0
        cdef object links = self.links
        cdef bint behind
        if connection is None:
            self.refuse_suspect()
            if fetching.trip == Trip.NO_MEMORY:
                raise ResourceError("no memory for a request to the Redis server")
        elif view.brief and connection.replica:
            links.give(connection)
            raise StateUnavailable("the server that is connected may have to ask another")
        while True:
            if connection is None:
                connection = self.take(links, view.brief)
            try:
                behind = self.fetch_once(view, fetching, connection)
            finally:
                links.give(connection)
                connection = None
            if view.brief and (behind or fetching.round.to_be_continued()):
                raise StateUnavailable("more than one request is needed")
            if behind:
                links = self.watch.primary_links()
            elif not fetching.round.to_be_continued():
                return 0
            fetching.trip = Trip.NOT_MADE
            requests += 1
            if requests > MOST_REQUESTS or monotonic_now() > fetching.deadline:
                raise StateUnavailable("the accounts' storage was replaced again and again while it was read")

    cdef Connection take(self, object links, bint brief):
        """A connection. If the fetch must be brief, only an open one to a server that is not a replica, because a replica's
        primary may have to be asked too."""
        if brief:
            raise StateUnavailable("no connection is idle")
        return links.take()

    cdef int fetch_once(self, CacheReader view, Fetching* fetching, Connection connection) except -1:
        """One request and the processing of its reply. 1: a replica is before the window, and its primary can be asked."""
        cdef Round* round = fetching.round
        cdef size_t replies
        cdef size_t i
        cdef int stale = 0
        while True:
            if fetching.trip == Trip.NOT_MADE and connection.socket is None:
                connection.opened()
                with nogil:
                    self.trip(view, fetching, connection)
            elif fetching.trip == Trip.NOT_MADE:
                replies = self.begin(view, round, connection)
                connection.exchange(replies, fetching.deadline, NULL)
                with nogil:
                    round.make_ready(view.cache.cache[0])
                    self.understand(view, fetching, connection, replies)
            if fetching.trip == Trip.TO_BE_LOOKED_AT:
                if round.codes.size():
                    self.take_codes(view, round)
                if view.cache.complete and round.lacks_accounts():
                    self.confirm_absence(round, connection, fetching.deadline)
                with nogil:
                    self.settle(view, fetching)
            if fetching.trip == Trip.FAULTY:
                for i in range(round.asks.size()):
                    if round.asks[i].answered and round.asks[i].fault != Fault.NONE:
                        self.note_fault(view, round, &round.asks[i])
                return 0
            if fetching.trip == Trip.DONE:
                return 0
            if fetching.trip != Trip.BEHIND:
                self.explain(view, fetching, connection)
            # A replica that is too far behind, or a server that has lost its last steps: either may catch up.
            stale += 1
            for i in range(round.asks.size()):
                if not round.asks[i].settled:
                    round.asks[i].answered = False
            fetching.trip = Trip.NOT_MADE
            if connection.replica and stale > 2 and self.watch is not None and self.watch.primary_links() is not None:
                return 1
            if view.brief or monotonic_now() > fetching.deadline or stale > MOST_REQUESTS:
                raise StateUnavailable(
                    f"the Redis server is at step {round.head.stored}: before the window from step "
                    f"{view.cache.cache.oldest()} on, or before an account that is read was loaded"
                )
            time.sleep(min(0.001 * stale, 0.02))

    # ---- whether missing keys were lost

    cdef int refuse_suspect(self) except -1:
        """Raises if the server has evicted keys: a missing key there proves nothing."""
        if self.watch is not None and self.watch.suspicion is not None:
            raise UnsafeStorage(str(self.watch.suspicion))
        return 0

    cdef int confirm_absence(self, Round* round, Connection connection, int64_t deadline) except -1:
        """Accounts have no record: they do not exist, unless the server evicted them. Called after they were read."""
        cdef int64_t count = round.evicted
        cdef int64_t whole = connection.whole
        cdef Connection other
        if connection.replica:
            links = None if self.watch is None else self.watch.primary_links()
            if links is None:
                return 0
            other = links.take()
            try:
                whole = other.whole
                count = self.count_evictions(other, deadline)
            finally:
                links.give(other)
        elif whole < 0:
            return 0
        elif not round.count_evictions:
            count = self.count_evictions(connection, deadline)
        if count != whole:
            error = evicted(count, whole)
            if self.watch is not None:
                self.watch.suspect(error)
            raise error
        return 0

    cdef int64_t count_evictions(self, Connection connection, int64_t deadline) except -2:
        """The number of keys the server has evicted since its start; -1 if it does not tell."""
        cdef Node node
        self.requests.fetch_add(1)
        connection.wire.out.clear()
        Round.write_evictions(connection.wire.out)
        connection.exchange(1, deadline, NULL)
        node = connection.wire.parser.nodes[0]
        if node.type == b"-":
            text = PyBytes_FromStringAndSize(connection.wire.in_.data() + node.at, node.number)
            raise refusal(text.decode("utf-8", "backslashreplace"), "asking for evicted keys")
        if node.type != b"$":
            connection.close()
            raise StateUnavailable(f"the Redis server at {connection.peer} sent another reply than was asked for")
        return evicted_keys(connection.wire.in_.data() + node.at, node.number)

    cdef int explain(self, CacheReader view, Fetching* fetching, Connection connection) except -1:
        """Raises the error of the fetch."""
        cdef Round* round = fetching.round
        if fetching.trip == Trip.NOT_CARRIED:
            connection.outcome(fetching.io)
        if fetching.trip == Trip.NOT_ANSWERED:
            self.explain_reply(fetching.outcome, round.error, connection)
        if fetching.trip == Trip.OTHER_HISTORY:
            same = view.cache.follower.check(round.head)
            reason = "was replaced by another one" if same == Followed.REBUILT else "has another history"
            self.tell(reason)
            raise StateUnavailable(f"the state in Redis {reason} than the one that this reader holds: it starts anew")
        if fetching.trip == Trip.REPLACED:
            raise StateNotAvailable("the state was read anew meanwhile: pin a block again")
        if fetching.trip == Trip.AHEAD:
            raise StateUnavailable(
                f"Redis is at step {round.head.seq}, the feed has come to {view.cache.cache.latest()} and not further in time"
            )
        raise ResourceError("no memory for the state cache")

    cdef int explain_reply(self, RoundOutcome outcome, string error, Connection connection) except -1:
        text = error.decode("utf-8", "backslashreplace")
        if outcome == RoundOutcome.NO_MEMORY:
            connection.close()
            raise ResourceError("no memory for the reply of the Redis server")
        if outcome == RoundOutcome.REFUSED:
            raise refusal(text, "reading state")
        head = show_key(self.keys.head)
        if outcome == RoundOutcome.NO_HEAD:
            self.tell("is gone")
            raise StateUnavailable(f"there is no state in Redis (any more): {head} is missing")
        if outcome == RoundOutcome.BAD_HEAD:
            raise StateCorrupted(f"{head}: {text}")
        connection.close()
        raise StateUnavailable(f"the Redis server at {connection.peer} sent other replies than were asked for")

    cdef int tell(self, str reason) except -1:
        if self.watch is not None:
            self.watch.moved(reason)
        return 0

    cdef int note_fault(self, CacheReader view, Round* round, Ask* ask) except -1:
        """Records the error of a damaged account, for a read that needs it. The account was not put into the cache."""
        cdef size_t i
        cdef bytes address = PyBytes_FromStringAndSize(<char*>ask.address_data(), 20)
        account = show_key(self.keys.account(address))
        storage = self.keys.storage(address, ask.record.generation)
        self.faults += 1
        if ask.fault == Fault.VALUE:
            for i in range(ask.first, ask.first + ask.count):
                if round.slots[i].damaged:
                    slot = u256_to_int(&round.slots[i].key)
                    view.damaged[address, slot] = StateCorrupted(
                        f"{show_key(storage)}: slot {slot:#x} has a value that is not a number of at most 32 bytes "
                        "without leading zeros (or empty where zero is not stored)"
                    )
            return 0
        if ask.fault == Fault.RECORD:
            error = StateCorrupted(f"{account}: account record: {ask.problem.decode()}")
        elif ask.fault == Fault.COUNT:
            error = StateCorrupted(
                f"{show_key(storage)}: {ask.stored} slots are stored, the account's record says {ask.record.slot_count}: "
                "some were lost"
            )
        elif ask.fault == Fault.LOST:
            error = StateCorrupted(f"{account}: the account's record is missing, its storage is there")
        else:
            error = StateCorrupted(f"{account} or its storage: {ask.problem.decode('utf-8', 'backslashreplace')}")
        view.damaged[address, None] = error
        for i in range(ask.first, ask.first + ask.count):
            view.damaged[address, u256_to_int(&round.slots[i].key)] = error
        return 0

    cdef int take_codes(self, CacheReader view, Round* round) except -1:
        cdef size_t i
        cdef uint8_t[32] digest
        cdef CodeAsk* ask
        cdef const uint8_t* data
        cdef bytes code_hash
        for i in range(round.codes.size()):
            ask = &round.codes[i]
            data = <const uint8_t*>ask.data
            code_hash = PyBytes_FromStringAndSize(<char*>ask.hash.data(), 32)
            if data == NULL:
                self.faults += 1
                view.damaged[code_hash] = StateCorrupted(f"{show_key(self.keys.code(code_hash))}: the code is missing")
                continue
            keccak256(data, ask.size, digest)
            if memcmp(digest, ask.hash.data(), 32) != 0:
                self.faults += 1
                view.damaged[code_hash] = StateCorrupted(
                    f"{show_key(self.keys.code(code_hash))}: its {ask.size} bytes have the hash 0x{digest[:32].hex()}"
                )
                continue
            view.keep_code(code_intern(digest, data, ask.size))
        round.codes.clear()
        return 0
