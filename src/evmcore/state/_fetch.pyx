"""Fetching what is not in the cache from Redis. See `_fetch.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp
from cpython.bytes cimport PyBytes_FromStringAndSize
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
from evmcore.state._wire cimport Connection, Node, monotonic_now, refusal

import time

from evmcore.errors import ResourceError, StateCorrupted, StateNotAvailable, StateUnavailable, UnsafeStorage
from evmcore.state.evictions import evicted
from evmcore.state.layout import Keys, show_key

# Requests of one fetch: another one is needed where an account's storage turned out to be of another generation, or
# where a replica was too far behind.
cdef int MOST_REQUESTS = 50
# A fetch that may hold up an event loop: tried where requests usually take less than the first, given up after the
# second, and then not tried for the third.
cdef int64_t USUALLY_BRIEF_NS = 1_000_000
cdef int64_t BRIEF_NS = 5_000_000
cdef int64_t PATIENT_NS = 50_000_000


cdef class RedisFetcher(UpstreamFetcher):
    """Fetches over connections of `links`, for the chain of `keys`; `timeout` in seconds, for one fetch.

    `upstream`: asked for what an incomplete state lacks (see `upstream.Upstream`). `watch` (a `FeedReader`) is told when
    the state in Redis turns out to be another one than the cached one, or its server to have lost keys.
    """

    def __init__(self, links, keys: Keys, timeout: float, upstream=None, watch=None) -> None:
        self.links = links
        self.keys = keys
        self.places = links.places
        self.names = KeyNames(keys.prefix)
        self.timeout = timeout
        self.upstream = upstream
        self.watch = watch
        self.book = CallBook()

    cdef int fetch(self, CacheReader view, vector[StateKey]& keys, vector[Hash]& codes) except -1:
        cdef Round round
        cdef int64_t deadline = monotonic_now() + (BRIEF_NS if view.brief else <int64_t>(self.timeout * 1e9))
        cdef int requests = 0
        cdef Connection connection
        cdef object links = self.links
        cdef bint behind
        self.refuse_suspect()
        view.begin_read()
        try:
            round.gather(keys, codes, view.cache.cache[0])
            self.keys_asked += round.asks.size() + round.slots.size() + round.codes.size()
            while True:
                connection = self.take(links, view.brief)
                try:
                    behind = self.fetch_once(view, &round, connection, deadline)
                finally:
                    self.give(links, connection)
                if view.brief and (behind or round.to_be_continued()):
                    raise StateUnavailable("more than one request is needed")
                if behind:
                    links = self.watch.primary_links()
                elif not round.to_be_continued():
                    return 0
                requests += 1
                if requests > MOST_REQUESTS or monotonic_now() > deadline:
                    raise StateUnavailable("the accounts' storage was replaced again and again while it was read")
        finally:
            view.end_read()

    cdef bint is_brief(self) noexcept:
        return self.usual < USUALLY_BRIEF_NS and monotonic_now() >= self.patient_until

    cdef void was_long(self) noexcept:
        self.patient_until = monotonic_now() + PATIENT_NS

    cdef Connection take(self, object links, bint brief):
        """A connection. Where it must be brief, one that is open, and whose server answers for itself: a replica's primary
        may have to be asked."""
        cdef Connection connection = self.places.take_open() if links is self.links else None
        if not brief:
            return links.take() if connection is None else connection
        if connection is not None and not connection.replica:
            return connection
        if connection is not None:
            self.give(links, connection)
        raise StateUnavailable("no connection is idle")

    cdef int give(self, object links, Connection connection) except -1:
        if links is not self.links or not self.places.give_open(connection):
            links.give(connection)
        return 0

    cdef int fetch_once(self, CacheReader view, Round* round, Connection connection, int64_t deadline) except -1:
        """One request and what follows from its reply. 1: a replica is before the window, and its primary can be asked."""
        cdef StateCache* cache = view.cache.cache
        cdef size_t replies
        cdef size_t i
        cdef RoundOutcome outcome
        cdef Added added
        cdef bint there
        cdef int stale = 0
        while True:
            self.rounds += 1
            round.count_evictions = view.cache.complete and not connection.replica and round.may_lack_accounts()
            replies = round.write(connection.wire[0], self.names)
            connection.exchange(replies, deadline, NULL)
            self.usual += (connection.taken - self.usual) // 8
            outcome = round.read(connection.wire[0], replies, view.cache.complete)
            if outcome != RoundOutcome.DONE:
                self.explain(outcome, round.error, connection)
            if round.codes.size():
                self.take_codes(view, round)
            if view.cache.complete and round.lacks_accounts():
                self.confirm_absence(round, connection, deadline)
            self.check_history(view, round)
            if round.head.stored != view.view.view.seq:
                self.corrections += 1
            if round.head.seq > cache.latest():
                with nogil:
                    there = cache.wait_for(round.head.seq, deadline)
                if cache.given_up():
                    raise StateNotAvailable("the state was read anew meanwhile: pin a block again")
                if not there:
                    raise StateUnavailable(
                        f"Redis is at step {round.head.seq}, the feed has come to {cache.latest()} and not further in time"
                    )
                self.check_history(view, round)
            if round.head.stored >= cache.oldest() and not round.precedes_load(view.view[0], view.cache.complete):
                break
            # A replica that is too far behind, or a server that has lost its last steps: it may catch up.
            stale += 1
            for i in range(round.asks.size()):
                if not round.asks[i].settled:
                    round.asks[i].answered = False
            if connection.replica and stale > 2 and self.watch is not None and self.watch.primary_links() is not None:
                return 1
            if view.brief or monotonic_now() > deadline or stale > MOST_REQUESTS:
                raise StateUnavailable(
                    f"the Redis server is at step {round.head.stored}: before the window from step {cache.oldest()} on, or "
                    "before an account that is read was loaded"
                )
            time.sleep(min(0.001 * stale, 0.02))
        with nogil:
            added = round.settle(cache[0], view.view, view.cache.complete)
        if added == Added.NO_MEMORY:
            raise ResourceError("no memory for the state cache")
        if added == Added.OUTSIDE:
            raise StateNotAvailable("the state was read anew meanwhile: pin a block again")
        for i in range(round.asks.size()):
            if round.asks[i].answered and round.asks[i].fault != Fault.NONE:
                self.note_fault(view, round, &round.asks[i])
        return 0

    # ---- whether what is missing was there

    cdef int refuse_suspect(self) except -1:
        """What a server lacks that has evicted keys says nothing."""
        if self.watch is not None and self.watch.suspicion is not None:
            raise UnsafeStorage(str(self.watch.suspicion))
        return 0

    cdef int confirm_absence(self, Round* round, Connection connection, int64_t deadline) except -1:
        """Accounts have no record: they do not exist, unless the server evicted them. Asked after they were read."""
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
        """How many keys the server has evicted since its start; -1 where it does not say."""
        cdef Node node
        self.rounds += 1
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

    cdef int explain(self, RoundOutcome outcome, string error, Connection connection) except -1:
        text = error.decode("utf-8", "backslashreplace")
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

    cdef int check_history(self, CacheReader view, Round* round) except -1:
        """What was read has to be of the history that is cached."""
        cdef Followed same = view.cache.follower.check(round.head)
        if same != Followed.GOING_ON:
            reason = "was replaced by another one" if same == Followed.REBUILT else "has another history"
            self.tell(reason)
            raise StateUnavailable(f"the state in Redis {reason} than the one that this reader holds: it starts anew")
        return 0

    cdef int tell(self, str reason) except -1:
        if self.watch is not None:
            self.watch.moved(reason)
        return 0

    cdef int note_fault(self, CacheReader view, Round* round, Ask* ask) except -1:
        """What is wrong with an account, for whoever turns out to need it. It was not put into the cache."""
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
