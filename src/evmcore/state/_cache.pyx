"""The cache of a chain's state in this process. See `_cache.pxd`."""
cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy
from libcpp.vector cimport vector
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._code cimport code_intern, code_release
from evmcore._hash cimport keccak256
from evmcore._sync cimport is_raised, raise_flag
from evmcore._u256 cimport u256, u_from_be
from evmcore.state._cache_native cimport (
    AccountRecord, Added, Followed, Follower, HashKey, Label, StateCache, parse_record, read_value,
)
from evmcore.state._wire cimport Connection, monotonic_now

import os

from evmcore.errors import ResourceError, StateCorrupted


cdef bint take_code(const uint8_t* code_hash, const uint8_t* data, size_t size) noexcept nogil:
    """Puts a code that a block has deployed into the process's code cache, after checking its hash."""
    cdef uint8_t[32] digest
    keccak256(data, size, digest)
    if memcmp(digest, code_hash, 32) != 0:
        return False
    code_release(code_intern(code_hash, data, size))
    return True


@cython.auto_pickle(False)
cdef class Stop:
    """A flag that stops following a feed, from any thread."""

    def set(self) -> None:
        """Makes `Cache.follow` return as soon as it can."""
        raise_flag(&self.flag)

    def is_set(self) -> bool:
        """Whether it was set."""
        return is_raised(&self.flag)


cdef class Cache:
    """Accounts and slots of one chain with their history since step `seq`, kept exact by the feed.

    - `prefix`: of the chain's keys; `feed`: 16 bytes that identify the state; `complete`: whether it has all accounts.
    - `header`, `block_hash`: the head after step `seq`.
    - `ring`: steps before the latest that can be pinned. `slack`: how many more an open pin may fall behind.
    - `limit`: bytes; values that changed inside the ring are never evicted for it.

    After `give_up` the cache does not follow the feed any more; open views go on with its values.
    """

    def __cinit__(self, bytes prefix not None, bytes feed not None, bint complete, uint64_t seq, bytes header not None,
                  bytes block_hash not None, *, uint64_t ring, uint64_t slack, size_t limit):
        cdef HashKey key
        cdef Label label
        cdef bytes random_key = os.urandom(sizeof(HashKey))
        assert len(feed) == 16 and len(block_hash) == 32
        memcpy(&key, PyBytes_AS_STRING(random_key), sizeof(HashKey))
        self.complete = complete
        self.feed = feed
        self.cache = new StateCache(key, seq, ring, slack, limit)
        self.follower = new Follower(
            self.cache[0], prefix, <const uint8_t*>PyBytes_AS_STRING(feed), keccak256, take_code
        )
        label.seq = seq
        label.kind = b"s"
        label.header = header
        memcpy(label.hash, PyBytes_AS_STRING(block_hash), 32)
        self.follower.start(label)
        self.follower.confirmed.store(monotonic_now())

    def __dealloc__(self):
        del self.follower
        del self.cache

    # ---- the feed

    def follow(self, Connection connection not None, Stop stop not None, int64_t block_ms, double timeout) -> str:
        """Reads and applies feed entries until something ends it; returns the name of a `Followed`, in lower case.

        `block_ms`: how long one request waits for an entry. `timeout`: seconds for a reply beyond that. Only one thread
        at a time may call it.
        """
        cdef Followed outcome = Followed.GOING_ON
        cdef int64_t timeout_ns = <int64_t>(timeout * 1e9)
        self.follower.whole = connection.whole
        if connection.socket is None:
            with nogil:
                outcome = self.follower.run(connection.wire[0], connection.fd, &stop.flag, block_ms, timeout_ns)
            if outcome != Followed.GOING_ON:
                connection.close()
        while outcome == Followed.GOING_ON:
            self.follower.write(connection.wire[0], block_ms)
            if connection.exchange(self.follower.replies(), monotonic_now() + block_ms * 1_000_000 + timeout_ns, &stop.flag):
                outcome = Followed.STOPPED
            else:
                with nogil:
                    outcome = self.follower.take(connection.wire[0])
        return FOLLOWED[<int>outcome]

    @property
    def problem(self) -> str:
        """The problem, after `follow` returned "damaged" or "refused"."""
        return self.follower.problem.decode("utf-8", "backslashreplace")

    def give_up(self) -> None:
        """Stops keeping the cache exact: nothing is added any more, and waiting for the next step ends."""
        self.cache.give_up()

    @property
    def given_up(self) -> bool:
        """Whether `give_up` was called."""
        return self.cache.given_up()

    @property
    def evicted(self) -> int:
        """The number of keys that the server has evicted, by its last count; -1: not known."""
        return self.follower.evicted.load()

    @property
    def latest(self) -> int:
        """The latest known step."""
        return self.cache.latest()

    @property
    def oldest(self) -> int:
        """The oldest step that can be pinned."""
        return self.cache.oldest()

    @property
    def newest_seen(self) -> int:
        """The newest step that is known to exist, applied or not."""
        return max(self.follower.seen_seq.load(), self.cache.latest())

    @property
    def caught_up(self) -> bool:
        """Whether all steps from before the start are applied."""
        return self.follower.caught_up.load()

    @property
    def behind(self) -> bool:
        """Whether Redis has lost steps that are known here."""
        return self.follower.behind.load()

    @property
    def age(self) -> float:
        """Seconds since Redis last confirmed that there is no newer step."""
        return max(0, monotonic_now() - self.follower.confirmed.load()) / 1e9

    def label(self, uint64_t seq):
        """(kind, block hash, header as RLP, published, seen) of the head after a step; None if the step is not held.

        The kind is b"b" for a block, b"r" for a revert, b"l" for a load, b"s" for the step where the cache began. Times
        are microseconds since 1970, zero if not known.
        """
        cdef Label label
        if not self.follower.copy_label(seq, &label):
            return None
        return (PyBytes_FromStringAndSize(&label.kind, 1), PyBytes_FromStringAndSize(<const char*>label.hash, 32),
                <bytes>label.header, label.published_us, label.seen_us)

    def figures(self) -> dict[str, int]:
        """The number of entries, and the memory they take."""
        cdef uint64_t slots, accounts, versions, views, evictions, in_use, taken
        # No Python object is touched while the lock is held: that may let another thread run, which may wait for the lock.
        self.cache.editing.lock()
        slots = self.cache.slot_count()
        accounts = self.cache.account_count()
        versions = self.cache.version_count()
        views = self.cache.view_count()
        evictions = self.cache.evictions()
        in_use = self.cache.bytes_in_use()
        taken = self.cache.bytes_taken()
        self.cache.editing.unlock()
        return {
            "slots": slots,
            "accounts": accounts,
            "versions": versions,
            "views": views,
            "evictions": evictions,
            "bytes": in_use,
            "bytes_taken": taken,
            "feed_entries": self.follower.entries.load(),
            "feed_bytes": self.follower.entry_bytes.load(),
        }

    def fill(self, uint64_t seq, bytes address not None, bytes record not None, list fields not None, str key) -> bool:
        """Adds an account's record, if not empty, and some fields of its storage hash (slot, value, slot, value ...), read
        after step `seq`. False: that step is outside the window. Raises `StateCorrupted` naming `key`.
        """
        cdef AccountRecord account
        cdef u256 slot, value
        cdef vector[u256] slots, values
        cdef Added added = Added.ADDED
        cdef bytes name, data
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(address)
        cdef const char* problem = NULL
        cdef bint has_record = len(record) != 0
        cdef size_t i
        if record and not parse_record(PyBytes_AS_STRING(record), len(record), &account, &problem):
            raise StateCorrupted(f"{key}: account record: {(<bytes>problem).decode()}")
        for name, data in zip(fields[::2], fields[1::2]):
            if len(name) != 32:
                raise StateCorrupted(f"{key}: a field of {len(name)} bytes, slots have 32")
            u_from_be(&slot, <const uint8_t*>PyBytes_AS_STRING(name))
            if not read_value(<const uint8_t*>PyBytes_AS_STRING(data), len(data), &value):
                raise StateCorrupted(f"{key}: slot 0x{name.hex()} has the value 0x{data.hex():.80}")
            slots.push_back(slot)
            values.push_back(value)
        with nogil:
            self.cache.editing.lock()
            if has_record:
                added = self.cache.add_account(seq, at, account)
            for i in range(slots.size()):
                if added == Added.ADDED or added == Added.THERE:
                    added = self.cache.add_slot(seq, at, &slots[i], &values[i])
            self.cache.editing.unlock()
        if added == Added.NO_MEMORY:
            raise ResourceError("no memory for the state cache")
        return added != Added.OUTSIDE

    def __repr__(self) -> str:
        return f"<Cache: steps {self.oldest} to {self.latest}, {self.cache.slot_count()} slots>"


cdef list FOLLOWED = [
    "going on", "stopped", "io", "refused", "malformed", "no head", "rebuilt", "diverged", "gap", "damaged", "no memory",
    "evicted", "may evict",
]
