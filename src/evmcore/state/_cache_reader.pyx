"""Pinned readers of the cache, as backends. See `_cache_reader.pxd`."""
cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._code cimport Code, code_empty, code_find, code_release, code_retain
from evmcore._growing cimport array_now, free_array, free_retired, grow_array
from evmcore._state cimport ABSENT, AccountData, FOUND, Found, READ_FAILED
from evmcore._sync cimport atomic_acquire32, atomic_release32
from evmcore._u256 cimport u256, u256_from_int, u256_to_int, u_zero
from evmcore.state._cache cimport Cache
from evmcore.state._cache_native cimport AccountRecord, Answer, EXISTS, Hash, Reader, StateKey
from evmcore.state._reader cimport Backend, ReadErrors

from evmcore.errors import ResourceError, StateNotAvailable, StateUnavailable
from evmcore.state.base import EMPTY_CODE_HASH, AccountInfo
from evmcore.types import to_address, to_uint


cdef enum:
    MOST_TRIES = 4                # fetches of one value that is evicted from the cache again before it is read


@cython.auto_pickle(False)
cdef class Fetcher:
    """The source of values that a reader lacks. Base class of those in `_upstream_fetch.pyx` and `_fetch.pyx`."""

    cdef bint fetch(self, CacheReader view, vector[StateKey]& keys, vector[Hash]& codes) noexcept nogil:
        with gil:
            view.errors.keep(StateUnavailable("what is not in the cache cannot be fetched"))
        return False

    cdef int ask_upstream(self, CacheReader view, vector[StateKey]& keys) except -1:
        raise StateUnavailable("what is not in the state cannot be asked for")

    cdef bint is_brief(self) noexcept nogil:
        return False

    cdef void was_long(self) noexcept:
        pass


@cython.no_gc_clear
cdef class CacheReader(Backend):
    """The state after one step, read from the cache; missing values are fetched one by one in the thread that reads.

    Any number of threads may read.
    """

    def __cinit__(self, Cache cache not None, seq, Fetcher fetcher not None, block_hash, double guess=0.001):
        cdef uint64_t step = <uint64_t>-1 if seq is None else seq
        self.view = new Reader()
        self.cache = cache
        self.fetcher = fetcher
        self.block_hash = block_hash
        self.damaged = {}
        self.errors = ReadErrors()
        self.retired.keeps = True
        self.view.owner = <void*>self
        self.view.complete_state = cache.complete
        self.view.has_upstream = fetcher.upstream is not None
        self.view.guess_ns = <int64_t>(guess * 1e9)
        self.reader.self = self.view
        self.reader.account = read_account
        self.reader.storage = read_storage
        self.reader.code = read_code
        self.reader.block_hash = read_block_hash
        if not cache.cache.open(&self.view.view, step):
            raise StateNotAvailable(
                f"step {seq} is not held: the steps that are go from {cache.oldest} to {cache.latest}"
            )

    def __init__(self, *args, **kwargs):
        pass

    def __dealloc__(self):
        cdef size_t i
        if self.view != NULL:
            if self.cache is not None:
                self.cache.cache.close(&self.view.view)
            del self.view
        for i in range(self.code_count):
            code_release(self.codes[i])
        free_array(self.codes)
        free_retired(&self.retired)

    cdef void begin_read(self) noexcept nogil:
        self.cache.cache.begin(&self.view.view)

    cdef void end_read(self) noexcept nogil:
        self.cache.cache.end(&self.view.view)

    cpdef object take_error(self):
        """The exception that made this thread's last read fail, returned once; None if there is none."""
        return self.errors.take()

    cdef object read_error(self):
        """The reason why a read has just failed."""
        return self.take_error() or StateUnavailable("what is missing could not be fetched")

    @property
    def seq(self) -> int:
        """The step of this reader."""
        return self.view.view.seq

    cdef bint fetch_at_once(self, const StateKey& key) noexcept nogil:
        return False

    cdef int check_damage(self, object key) except -1:
        error = self.damaged.get(key)
        if error is not None:
            self.damaged = {}                     # the next run asks again
            raise error
        return 0

    # ---- reading without guesses: one by one

    cdef int get(self, vector[StateKey]& keys, vector[Hash]& codes) except -1:
        cdef bint good
        with nogil:
            good = self.fetcher.fetch(self, keys, codes)
        if not good:
            raise self.read_error()
        return 0

    cdef int fetch_now(self, const StateKey* key, const uint8_t* code_hash) except -1:
        """Fetches one account or slot, or one code."""
        cdef vector[StateKey] keys
        cdef vector[Hash] codes
        if key != NULL:
            keys.push_back(key[0])
        else:
            codes.resize(1)
            memcpy(codes[0].data(), code_hash, 32)
        self.get(keys, codes)
        return self.check_damage(self.key_of(key) if key != NULL else code_hash[:32])

    def prefetch(self, addresses=(), slots=()) -> None:
        """Fetches accounts, and slots given as (address, slot), with one request, for later reads.

        Values that are in the cache already are not requested. Raises `StateUnavailable`.
        """
        cdef vector[StateKey] keys
        cdef vector[Hash] codes
        cdef AccountRecord record
        cdef u256 slot, value
        cdef bytes key
        cdef const uint8_t* at
        self.begin_read()
        try:
            for address in addresses:
                key = to_address(address, "addresses")
                at = <const uint8_t*>PyBytes_AS_STRING(key)
                if self.view.account(at, &record) == Answer.MISSING:
                    keys.push_back(StateKey.of_account(at))
            for address, number in slots:
                key = to_address(address, "slots: address")
                at = <const uint8_t*>PyBytes_AS_STRING(key)
                slot = u256_from_int(to_uint(number, "slots: slot"), "slots: slot")
                if self.view.slot(at, &slot, &value) == Answer.MISSING:
                    keys.push_back(StateKey.of_slot(at, &slot))
        finally:
            self.end_read()
        if keys.size():
            self.get(keys, codes)
            self.damaged = {}                     # a read that needs it will report it

    def prefetcher(self):
        """`prefetch`: one request for the values that will be read."""
        return self.prefetch

    # ---- names

    cdef object header(self):
        """The header of the block that is the head after this step."""
        from evmcore.blocks import Header
        return Header.decode(self.cache.label(self.view.view.seq)[2])

    cdef object key_of(self, const StateKey* key):
        address = PyBytes_FromStringAndSize(<char*>key.address_data(), 20)
        return address, u256_to_int(&key.slot) if key.is_slot else None

    # ---- codes that were fetched for this view

    cdef int keep_code(self, Code* code) except -1:
        """Takes over a reference."""
        if code == NULL:
            raise ResourceError("no memory for a code")
        if not grow_array(
            <void**>&self.codes, &self.code_capacity, <size_t>self.code_count + 1, sizeof(Code*), False, &self.retired
        ):
            code_release(code)
            raise ResourceError("no memory for a code")
        self.codes[self.code_count] = code
        atomic_release32(&self.code_count, self.code_count + 1)
        return 0

    cdef Code* kept_code(self, const uint8_t* code_hash) noexcept nogil:
        cdef uint32_t count = atomic_acquire32(&self.code_count)
        cdef Code** codes = <Code**>array_now(<void**>&self.codes)
        cdef uint32_t i
        for i in range(count):
            if memcmp(codes[i].hash, code_hash, 32) == 0:
                return codes[i]
        return NULL

    # ---- single values, for Python

    def account(self, address) -> AccountInfo | None:
        """The account without code and storage; None if it does not exist."""
        cdef bytes key = to_address(address, "address")
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(key)
        cdef AccountData data
        cdef Found found
        with nogil:
            self.begin_read()
            found = read_account(self.view, at, &data)
            self.end_read()
        if found == READ_FAILED:
            raise self.read_error()
        if found == ABSENT:
            return None
        return AccountInfo(data.nonce, u256_to_int(&data.balance), data.code_hash[:32], data.has_storage)

    def storage(self, address, slot) -> int:
        """The value of a storage slot."""
        cdef bytes key = to_address(address, "address")
        cdef u256 number = u256_from_int(to_uint(slot, "slot"), "slot")
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(key)
        cdef u256 value
        cdef Found found
        with nogil:
            self.begin_read()
            found = read_storage(self.view, at, &number, &value)
            self.end_read()
        if found == READ_FAILED:
            raise self.read_error()
        return u256_to_int(&value)

    def code(self, address) -> bytes:
        """The code of an account; empty if there is none."""
        cdef Code* code
        cdef const uint8_t* at
        cdef const uint8_t* name
        cdef bytes code_hash
        cdef bytes key = to_address(address, "address")
        account = self.account(key)
        if account is None or account.code_hash == EMPTY_CODE_HASH:
            return b""
        code_hash = account.code_hash
        at = <const uint8_t*>PyBytes_AS_STRING(key)
        name = <const uint8_t*>PyBytes_AS_STRING(code_hash)
        with nogil:
            self.begin_read()
            code = read_code(self.view, at, name)
            self.end_read()
        if code == NULL:
            raise self.read_error()
        try:
            return PyBytes_FromStringAndSize(<const char*>code.raw, code.size)
        finally:
            code_release(code)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of step {self.seq}>"


# ---- the reader's side; `self` is the C++ reader

cdef bint expired(Reader* view) noexcept with gil:
    (<CacheReader>view.owner).errors.keep(
        StateNotAvailable(f"step {view.view.seq} has left the window while it was pinned: pin a newer block")
    )
    return False


cdef bint resolve(Reader* view, const StateKey& key, Answer answer) noexcept with gil:
    """Gets a missing value, or one that the state lacks. False: the owner's `errors` have the reason."""
    cdef vector[StateKey] alone
    owner = <CacheReader>view.owner
    try:
        if answer == Answer.UNKNOWN:
            alone.push_back(key)
            owner.fetcher.ask_upstream(owner, alone)
        else:
            owner.fetch_now(&key, NULL)
        return True
    except BaseException as error:
        owner.errors.keep(error)
        return False


cdef bint resolve_code(Reader* view, const uint8_t* code_hash) noexcept with gil:
    owner = <CacheReader>view.owner
    try:
        owner.fetch_now(NULL, code_hash)
        return True
    except BaseException as error:
        owner.errors.keep(error)
        return False


cdef bint overtaken(Reader* view) noexcept with gil:
    (<CacheReader>view.owner).errors.keep(
        StateUnavailable("what was fetched left the cache at once: it is too small")
    )
    return False


cdef enum Miss:
    LOOK_AGAIN
    NOTED                         # guessed for now, and to be fetched
    HOPELESS                      # the owner's `errors` have the reason


cdef Miss meet(Reader* view, const StateKey& key, Answer answer, int* tries) noexcept nogil:
    """Decides what to do about a value that is not in the cache. `tries`: how often this read has fetched it."""
    if answer == Answer.EXPIRED:
        expired(view)
        return HOPELESS
    if view.speculating:
        if answer == Answer.MISSING and (<CacheReader>view.owner).fetch_at_once(key):
            return LOOK_AGAIN
        return NOTED if view.note(key, answer == Answer.UNKNOWN) else HOPELESS
    tries[0] += 1
    if tries[0] > MOST_TRIES:
        overtaken(view)
        return HOPELESS
    return LOOK_AGAIN if resolve(view, key, answer) else HOPELESS


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef Reader* view = <Reader*>self
    cdef AccountRecord record
    cdef Answer answer = view.account(address, &record)
    cdef Miss miss
    cdef int tries = 0
    while answer != Answer.KNOWN:
        miss = meet(view, StateKey.of_account(address), answer, &tries)
        if miss != LOOK_AGAIN:
            return ABSENT if miss == NOTED else READ_FAILED
        answer = view.account(address, &record)
    if record.presence != EXISTS:
        return ABSENT
    out.balance = record.balance
    out.nonce = record.nonce
    memcpy(out.code_hash, record.code_hash, 32)
    out.has_storage = record.slot_count != 0
    return FOUND


cdef Found read_storage(void* self, const uint8_t* address, const u256* slot, u256* value) noexcept nogil:
    cdef Reader* view = <Reader*>self
    cdef Answer answer = view.slot(address, slot, value)
    cdef Miss miss
    cdef int tries = 0
    while answer != Answer.KNOWN:
        miss = meet(view, StateKey.of_slot(address, slot), answer, &tries)
        if miss == HOPELESS:
            return READ_FAILED
        if miss == NOTED:
            u_zero(value)
            return FOUND
        answer = view.slot(address, slot, value)
    return FOUND


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef Reader* view = <Reader*>self
    cdef Code* code = code_find(code_hash)
    if code != NULL:
        return code
    code = (<CacheReader>view.owner).kept_code(code_hash)
    if code == NULL:
        if view.speculating:
            return code_empty() if view.note_code(code_hash) else NULL
        if not resolve_code(view, code_hash):
            return NULL
        code = (<CacheReader>view.owner).kept_code(code_hash)
    if code != NULL:
        code_retain(code)
    return code


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept with gil:
    owner = <CacheReader>(<Reader*>self).owner
    cdef bytes found
    try:
        found = None if owner.block_hash is None else owner.block_hash(number)
        if found is None:
            return ABSENT
        memcpy(out, PyBytes_AS_STRING(found), 32)
        return FOUND
    except BaseException as error:
        owner.errors.keep(error)
        return READ_FAILED
