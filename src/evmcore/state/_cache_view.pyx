"""Pinned readers of the cache. See `_cache_view.pxd`."""
cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._code cimport Code, code_empty, code_find, code_intern, code_release, code_retain
from evmcore._hash cimport keccak256
from evmcore._interp cimport Machine
from evmcore._state cimport ABSENT, AccountData, FOUND, Found, READ_FAILED
from evmcore._u256 cimport u256, u256_from_int, u256_to_int, u_zero
from evmcore.state._cache cimport Cache
from evmcore.state._cache_native cimport (
    AccountRecord, Added, Answer, EXISTS, Hash, IS_ABSENT, Reader, StateKey, follow_up, record_without_account,
)
from evmcore.state._prefetch cimport CallBook, foresee_call, learn_call, predict_all, predict_call
from evmcore.state._reader cimport Backend

from evmcore.errors import ResourceError, StateError, StateNotAvailable, StateUnavailable, StateUnknown
from evmcore.state.base import EMPTY_CODE_HASH, AccountInfo
from evmcore.state.proofs import EMPTY_ROOT
from evmcore.types import to_address, to_uint

# Rounds of one `run` after which something must be wrong: every round makes something known that the work needs.
cdef int MOST_ROUNDS = 64
cdef int LONG_RUN = 4             # rounds
cdef int BRIEF_ROUNDS = 3         # of a run on an event loop
cdef int64_t MOST_GUESS_NS = 1_000_000_000
cdef int RELUCTANCE = 64          # rounds until a work is interrupted again to fetch, after one for which that was not enough

cdef uint8_t[32] NO_CODE_HASH
keccak256(NULL, 0, NO_CODE_HASH)


cdef class Fetcher:
    """Where a view gets what is not in the cache. Derived from: see `_fetch.pyx`."""

    cdef int fetch(self, CacheView view, vector[StateKey]& keys, vector[Hash]& codes) except -1:
        raise StateUnavailable("what is not in the cache cannot be fetched")

    cdef bint is_brief(self) noexcept:
        return False

    cdef void was_long(self) noexcept:
        pass


class NotHere(StateError):
    """Something is not in the cache, and the caller does not want to wait for it."""


@cython.no_gc_clear
cdef class CacheView(Backend):
    """The state after one step, as a backend: for `EVM` and for `execute_block` (which cannot write to it).

    Reads are answered from the cache, without locks, without the GIL. What is not there is fetched: inside of `run` all
    at once, elsewhere one by one in the thread that reads. Any number of threads may read; `run` belongs to one.
    """

    def __cinit__(self, Cache cache not None, seq, Fetcher fetcher not None, block_hash, double guess=0.001):
        cdef uint64_t step = <uint64_t>-1 if seq is None else seq
        self.view = new Reader()
        self.cache = cache
        self.fetcher = fetcher
        self.block_hash = block_hash
        self.damaged = {}
        self.book = (<CallBook>fetcher.book).book
        self.view.owner = <void*>self
        self.view.complete_state = cache.complete
        self.view.has_upstream = fetcher.upstream is not None
        self.view.guess_ns = <int64_t>(guess * 1e9)
        self.run_hooks.self = self.view
        self.run_hooks.stop_at = &self.view.stop_at
        self.run_hooks.began = run_began
        self.run_hooks.ended = run_ended
        self.hooks = &self.run_hooks
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
        free(self.codes)

    cdef void begin_read(self) noexcept nogil:
        self.cache.cache.begin(&self.view.view)

    cdef void end_read(self) noexcept nogil:
        self.cache.cache.end(&self.view.view)

    cpdef object take_error(self):
        """The exception that made the last read fail, given once; None when there is none."""
        error, self.error = self.error, None
        return error

    @property
    def seq(self) -> int:
        """The step that is read."""
        return self.view.view.seq

    @property
    def reads(self) -> int:
        """Accounts and slots that runs on this view have read."""
        return self.view.reads.load()

    # ---- running on guesses

    def run(self, work, hint=(), wait=True, brief=False):
        """What `work(self)` gives once nothing it read was missing.

        Until then it is run again: what is missing is answered as empty, noted, and fetched, all of it in one request,
        before the next try; so `work` must be free of side effects. With `wait` False, `NotHere` is raised instead of
        fetching anything; with `brief` besides, instead of fetching what takes longer than an event loop may be held up,
        a few milliseconds at most. Raises what `work` raised when it had everything, `StateUnavailable`, `StateCorrupted`,
        `StateUnknown`, `StateNotAvailable`.
        """
        return self.run_rounds(work, hint, wait, brief)

    cdef object run_rounds(self, object work, object hint, bint wait, bint brief):
        cdef int64_t first_guess = self.view.guess_ns
        cdef object result = None
        cdef object failure = None
        cdef bint may_fetch = wait or (brief and self.fetcher.is_brief())
        # What goes as predicted is learnt from now and then only, so that what is not needed any more loses weight.
        self.view.begin_work(self.cold_runs % 32 == 0)
        self.view.at_once = may_fetch and self.fetcher.reluctant == 0
        self.interrupted = False
        self.brief = not wait
        self.hint = hint
        try:
            if may_fetch and isinstance(hint, (list, tuple)) and len(hint) > 1:
                self.foresee(hint, wait)
            while True:
                self.view.forget_missing()
                self.view.speculating = True
                result = failure = None
                try:
                    result = work(self)
                except Exception as error:
                    failure = error
                finally:
                    self.view.speculating = False
                if self.failure is not None:
                    failure, self.failure = self.failure, None
                    self.error = None
                    if wait or not isinstance(failure, (StateUnavailable, StateNotAvailable)):
                        raise failure
                    self.fetcher.was_long()
                    raise NotHere("something that is needed takes longer to fetch") from None
                if not self.view.incomplete.load():
                    if failure is not None:
                        raise failure
                    return result
                self.error = None
                if not wait and (
                    not brief or self.view.rounds == BRIEF_ROUNDS or self.view.unknown_first
                    or not self.fetcher.is_brief()
                ):
                    raise NotHere("something that is needed is not in the cache")
                self.view.at_once = False
                if self.interrupted:
                    # It was not enough, as where a work makes several calls: those are better fetched together.
                    self.interrupted = False
                    self.fetcher.reluctant = RELUCTANCE
                elif self.fetcher.reluctant:
                    self.fetcher.reluctant -= 1
                self.next_round(hint, wait)
        finally:
            self.view.guess_ns = first_guess
            self.hint = None
            self.brief = False

    cdef int next_round(self, object hint, bint wait) except -1:
        """Gets what the last run missed, for the next one."""
        self.view.rounds += 1
        if self.view.rounds == 1:
            self.cold_runs += 1
            self.add_hints(hint)
        elif self.view.rounds > LONG_RUN:   # work that reads a lot: let each guess go on for longer than the one before
            self.view.guess_ns = min(2 * self.view.guess_ns, MOST_GUESS_NS)
        if self.view.rounds > MOST_ROUNDS:
            raise StateUnavailable(f"the state that is needed was not complete after {MOST_ROUNDS} rounds of fetching")
        try:
            self.fetch_all()
        except (StateUnavailable, StateNotAvailable):
            if wait:
                raise
            self.fetcher.was_long()
            raise NotHere("something that is needed takes longer to fetch") from None
        return 0

    cdef int fetch_expected(self) except -1:
        """In the middle of a run that has missed something for the first time: fetches that, with all it is going to need."""
        self.view.rounds += 1
        self.cold_runs += 1
        self.add_hints(self.hint)
        self.view.guesses.insert(self.view.guesses.end(), self.view.missing.begin(), self.view.missing.end())
        self.view.missing.clear()
        self.fetcher.fetch(self, self.view.guesses, self.view.missing_codes)
        self.view.guesses.clear()
        self.view.missing_codes.clear()
        return 0

    cdef int fetch_all(self) except -1:
        """Fetches what the last run missed. What it missed first it certainly needs: raises when that cannot be had."""
        if self.view.unknown_first:
            self.ask_upstream(self.view.unknown)
            return 0
        if self.view.missing.size():
            self.check_damage(self.key_of(&self.view.missing[0]))
        elif self.view.missing_codes.size():
            self.check_damage(hash_bytes(&self.view.missing_codes[0]))
        if self.view.missing.size() or self.view.missing_codes.size():
            self.want_codes(self.view.chased)
            self.view.chased.clear()
            self.follow_up(self.view.followed)
            self.view.missing.insert(self.view.missing.end(), self.view.guesses.begin(), self.view.guesses.end())
            self.fetcher.fetch(self, self.view.missing, self.view.missing_codes)
            self.view.missing_codes.clear()
            self.want_codes(self.view.missing)
            if self.view.missing_codes.size():
                self.view.guesses.clear()
                self.follow_up(self.view.missing)
                self.fetcher.fetch(self, self.view.guesses, self.view.missing_codes)
                self.view.followed.swap(self.view.guesses)
            else:
                self.view.followed.swap(self.view.missing)
        return 0

    cdef void follow_up(self, vector[StateKey]& fetched) noexcept:
        """Adds to the guesses what the values that have come lead to."""
        if self.view.strange.load() and fetched.size():
            self.begin_read()
            follow_up(self.view[0], keccak256, fetched)
            self.end_read()

    cdef int foresee(self, object hints, bint wait) except -1:
        """Fetches together what several calls are known to read. Where that fails, the runs say what is wrong."""
        cdef bytes to, sender, data
        self.view.forget_missing()
        self.begin_read()
        try:
            for call in hints:
                if getattr(call, "to", None) is None:
                    continue
                to = to_address(call.to, "hint: to")
                sender = to_address(call.sender or bytes(20), "hint: sender")
                data = bytes(call.data or b"")
                foresee_call(
                    self.book, self.view, <const uint8_t*>PyBytes_AS_STRING(to), <const uint8_t*>PyBytes_AS_STRING(sender),
                    <const uint8_t*>PyBytes_AS_STRING(data), len(data)
                )
        finally:
            self.end_read()
        if self.view.guesses.size() == 0 and self.view.missing_codes.size() == 0:
            return 0
        self.view.at_once = False
        try:
            self.fetch_expected()
        except (StateUnavailable, StateNotAvailable):
            if not wait:
                self.fetcher.was_long()
                raise NotHere("something that is needed takes longer to fetch") from None
        return 0

    cdef int want_codes(self, vector[StateKey]& accounts) except -1:
        """Accounts have come whose code is not here: no run is needed to know that it will be."""
        cdef AccountRecord record
        cdef Hash code_hash
        cdef Code* code
        cdef size_t i
        self.begin_read()
        for i in range(accounts.size()):
            if (
                accounts[i].is_slot
                or self.view.account(accounts[i].address_data(), &record) != Answer.KNOWN
                or record.presence != EXISTS or memcmp(record.code_hash, NO_CODE_HASH, 32) == 0
            ):
                continue
            code = code_find(record.code_hash)
            if code == NULL and self.kept_code(record.code_hash) == NULL:
                memcpy(code_hash.data(), record.code_hash, 32)
                self.view.missing_codes.push_back(code_hash)
            code_release(code)
        self.end_read()
        return 0

    cdef int add_hints(self, object hint) except -1:
        """What the access lists of calls name goes into the first request."""
        cdef bytes key
        cdef u256 slot
        for call in hint if isinstance(hint, (list, tuple)) else (hint,):
            for address, slots in call.access_list:
                key = to_address(address, "access list: address")
                self.view.missing.push_back(StateKey.of_account(<const uint8_t*>PyBytes_AS_STRING(key)))
                for number in slots:
                    slot = u256_from_int(to_uint(number, "access list: slot"), "access list: slot")
                    self.view.missing.push_back(StateKey.of_slot(<const uint8_t*>PyBytes_AS_STRING(key), &slot))
        return 0

    cdef int check_damage(self, object key) except -1:
        error = self.damaged.get(key)
        if error is not None:
            self.damaged = {}                     # the next run asks again
            raise error
        return 0

    # ---- reading without guesses: one by one

    cdef int fetch_now(self, const StateKey* key, const uint8_t* code_hash) except -1:
        """Fetches one account or slot, or one code."""
        cdef vector[StateKey] keys
        cdef vector[Hash] codes
        if key != NULL:
            keys.push_back(key[0])
        else:
            codes.resize(1)
            memcpy(codes[0].data(), code_hash, 32)
        self.fetcher.fetch(self, keys, codes)
        return self.check_damage(self.key_of(key) if key != NULL else code_hash[:32])

    def prefetch(self, addresses=(), slots=()) -> None:
        """Fetches accounts, and slots given as (address, slot), with one request, for reads that will come.

        What is in the cache already is not asked for. Raises `StateUnavailable`.
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
            self.fetcher.fetch(self, keys, codes)
            self.damaged = {}                     # whoever needs it will see

    def prefetcher(self):
        """`prefetch`: one request for what is going to be read."""
        return self.prefetch

    # ---- what an incomplete state lacks

    cdef int ask_upstream(self, vector[StateKey]& keys) except -1:
        """Asks the other source, if there is one, for what Redis does not have, all of it at once; raises StateUnknown
        where there is none. What it says holds at this view's step; see `keep_slot` for what holds longer."""
        cdef dict wanted = {}
        cdef set accounts = set()
        cdef bytes address
        cdef size_t i
        upstream = self.fetcher.upstream
        if upstream is None:
            address, slot = self.key_of(&keys[0])
            what = f"account 0x{address.hex()}" if slot is None else f"slot {slot:#x} of 0x{address.hex()}"
            raise StateUnknown(
                f"{what} was not loaded into this incomplete state, and no node is configured to ask for it"
            )
        for i in range(keys.size()):
            address, slot = self.key_of(&keys[i])
            slots = wanted.setdefault(address, [])
            if slot is None:
                accounts.add(address)
            elif slot not in slots:
                slots.append(slot)
        header = self.header()
        self.fetcher.upstream_questions += 1
        found = upstream.accounts(header, wanted)
        self.keep_codes_of(upstream, header, {address: found[address].code_hash for address in accounts})
        for i in range(keys.size()):
            address, slot = self.key_of(&keys[i])
            if slot is None:
                self.keep_account(keys[i], found[address])
            else:
                self.keep_slot(keys[i], found[address].slots[slot])
        return 0

    cdef int keep_codes_of(self, object upstream, object header, dict hashes) except -1:
        """Gets the codes of accounts, given by their hashes, unless they are in this process."""
        cdef bytes code_hash, code
        cdef Code* known
        cdef dict needed = {}
        for address, code_hash in hashes.items():
            if code_hash == EMPTY_CODE_HASH:
                continue
            known = code_find(<const uint8_t*>PyBytes_AS_STRING(code_hash))
            if known == NULL:
                needed[address] = code_hash
            else:
                self.keep_code(known)
        if needed:
            for address, code in upstream.codes(header, needed).items():
                code_hash = needed[address]
                self.keep_code(code_intern(
                    <const uint8_t*>PyBytes_AS_STRING(code_hash), <const uint8_t*>PyBytes_AS_STRING(code), len(code)
                ))
        return 0

    cdef int keep_account(self, StateKey& key, object account) except -1:
        """An account that Redis does not have: nothing will tell how it changes, so it holds at this step alone."""
        cdef AccountRecord record
        cdef bytes code_hash
        if not account.exists:
            record = record_without_account(IS_ABSENT)
        else:
            code_hash = account.code_hash
            record = record_without_account(EXISTS)
            record.nonce = account.nonce
            record.balance = u256_from_int(account.balance, "upstream balance")
            memcpy(record.code_hash, PyBytes_AS_STRING(code_hash), 32)
            record.storage_complete = account.storage_root == EMPTY_ROOT
            record.slot_count = account.storage_root is not None and not record.storage_complete
        self.view.own_account(key.address_data(), record)
        return 0

    cdef int keep_slot(self, StateKey& key, object given) except -1:
        """A slot of an account that is known in part goes into the cache for all: the feed tells how it changes."""
        cdef u256 value = u256_from_int(given, "upstream storage")
        cdef u256 here
        cdef Added added = Added.OUTSIDE
        cdef AccountRecord record
        self.begin_read()
        try:
            if self.cache.cache.account(self.view.view.seq, key.address_data(), &record) and record.presence == EXISTS:
                self.cache.cache.editing.lock()
                added = self.cache.cache.add_slot(self.view.view.seq, key.address_data(), &key.slot, &value)
                self.cache.cache.editing.unlock()
            if added == Added.NO_MEMORY:
                raise ResourceError("no memory for the state cache")
            if self.view.slot(key.address_data(), &key.slot, &here) != Answer.KNOWN:
                self.view.own_slot(key.address_data(), &key.slot, value)
        finally:
            self.end_read()
        return 0

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
        cdef Code** bigger
        if code == NULL:
            raise ResourceError("no memory for a code")
        if self.code_count == self.code_capacity:
            bigger = <Code**>realloc(self.codes, (self.code_capacity + 8) * sizeof(Code*))
            if bigger == NULL:
                code_release(code)
                raise ResourceError("no memory for a code")
            self.codes = bigger
            self.code_capacity += 8
        self.codes[self.code_count] = code
        self.code_count += 1
        return 0

    cdef Code* kept_code(self, const uint8_t* code_hash) noexcept nogil:
        cdef size_t i
        for i in range(self.code_count):
            if memcmp(self.codes[i].hash, code_hash, 32) == 0:
                return self.codes[i]
        return NULL

    # ---- single values, for Python

    def account(self, address) -> AccountInfo | None:
        """The account without code and storage; None when it does not exist."""
        cdef bytes key = to_address(address, "address")
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(key)
        cdef AccountData data
        cdef Found found
        with nogil:
            self.begin_read()
            found = read_account(self.view, at, &data)
            self.end_read()
        if found == READ_FAILED:
            raise self.take_error()
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
            raise self.take_error()
        return u256_to_int(&value)

    def code(self, address) -> bytes:
        """The code of an account; empty when there is none."""
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
            raise self.take_error()
        try:
            return PyBytes_FromStringAndSize(<const char*>code.raw, code.size)
        finally:
            code_release(code)

    def __repr__(self) -> str:
        return f"<CacheView of step {self.seq}>"


cdef class PinRunner:
    """A pinned step: `moment` has the views of it that are not in use, `state` makes further ones."""

    def __cinit__(self, state, moment):
        self.state = state
        self.moment = moment
        self.idle = moment.idle

    def run(self, work, hint=(), *, bint wait=True, bint brief=False):
        """What `work(backend)` gives for this state, once it has run on state that was known completely.

        It is called again when something it read had to be fetched first, so it must be free of side effects; what it
        raised before does not count. All that one run missed is fetched with one request, and with it what calls like
        those that missed something have read before (see `_prefetch`). `hint`: what `work` is going to call, for its
        access lists. With `wait` False, `NotHere` is raised where something would have to be fetched; with `brief`
        besides, where that would take longer than an event loop may be held up: usually a request takes tens of
        microseconds, and a change of threads more.

        Raises `StateUnavailable`, `StateCorrupted`, `StateUnknown`, `StateNotAvailable` (the pin was open for too
        long), `UnsafeStorage` (something would have to be fetched from a server that has evicted keys or may do so),
        and what `work` raises.
        """
        cdef CacheView view
        try:
            view = self.idle.pop()
        except IndexError:
            view = self.state._view(self.moment)
        try:
            return view.run_rounds(work, hint, wait, brief)
        finally:
            self.idle.append(view)


cdef bytes hash_bytes(Hash* value):
    return PyBytes_FromStringAndSize(<char*>value.data(), 32)


# ---- the reader's side; `self` is the C++ reader

cdef bint expired(Reader* view) noexcept with gil:
    (<CacheView>view.owner).error = StateNotAvailable(
        f"step {view.view.seq} has left the window while it was pinned: pin a newer block"
    )
    return False


cdef bint resolve(Reader* view, const StateKey& key, Answer answer) noexcept with gil:
    """Gets what is missing, or what the state lacks. False: `error` says why not."""
    cdef vector[StateKey] alone
    owner = <CacheView>view.owner
    try:
        if answer == Answer.UNKNOWN:
            alone.push_back(key)
            owner.ask_upstream(alone)
        else:
            owner.fetch_now(&key, NULL)
        return True
    except BaseException as error:
        owner.error = error
        return False


cdef bint resolve_code(Reader* view, const uint8_t* code_hash) noexcept with gil:
    owner = <CacheView>view.owner
    try:
        owner.fetch_now(NULL, code_hash)
        return True
    except BaseException as error:
        owner.error = error
        return False


cdef bint fetch_at_once(Reader* view, const StateKey& key) noexcept nogil:
    """Whether the run goes on with what was missing, which has been fetched, if it is not to go on with a guess."""
    cdef RunningCall* call
    if not view.at_once or not view.in_call():
        return False
    view.at_once = False                          # whatever comes of it
    if view.incomplete.load():
        return False
    call = &(<CacheView>view.owner).call
    return predict_all(
        (<CacheView>view.owner).book, view, call.machine, call.target, call.sender, call.data, call.size, key
    ) and fetch_expected(view)


cdef bint fetch_expected(Reader* view) noexcept with gil:
    owner = <CacheView>view.owner
    try:
        owner.interrupted = True
        owner.fetch_expected()
        return True
    except BaseException as error:
        owner.failure = error
        return False


cdef bint overtaken(Reader* view) noexcept with gil:
    (<CacheView>view.owner).error = StateUnavailable("what was fetched left the cache at once: it is too small")
    return False


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef Reader* view = <Reader*>self
    cdef AccountRecord record
    cdef Answer answer = view.account(address, &record)
    cdef int tries = 0
    while answer != Answer.KNOWN:
        if answer == Answer.EXPIRED:
            expired(view)
            return READ_FAILED
        if view.speculating:
            if answer == Answer.MISSING and fetch_at_once(view, StateKey.of_account(address)):
                answer = view.account(address, &record)
                continue
            if not view.note(StateKey.of_account(address), answer == Answer.UNKNOWN):
                return READ_FAILED
            return ABSENT
        tries += 1
        if tries > 4:
            overtaken(view)
            return READ_FAILED
        if not resolve(view, StateKey.of_account(address), answer):
            return READ_FAILED
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
    cdef int tries = 0
    while answer != Answer.KNOWN:
        if answer == Answer.EXPIRED:
            expired(view)
            return READ_FAILED
        if view.speculating:
            if answer == Answer.MISSING and fetch_at_once(view, StateKey.of_slot(address, slot)):
                answer = view.slot(address, slot, value)
                continue
            if not view.note(StateKey.of_slot(address, slot), answer == Answer.UNKNOWN):
                return READ_FAILED
            u_zero(value)
            return FOUND
        tries += 1
        if tries > 4:
            overtaken(view)
            return READ_FAILED
        if not resolve(view, StateKey.of_slot(address, slot), answer):
            return READ_FAILED
        answer = view.slot(address, slot, value)
    return FOUND


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef Reader* view = <Reader*>self
    cdef Code* code = code_find(code_hash)
    if code != NULL:
        return code
    code = (<CacheView>view.owner).kept_code(code_hash)
    if code == NULL:
        if view.speculating:
            return code_empty() if view.note_code(code_hash) else NULL
        if not resolve_code(view, code_hash):
            return NULL
        code = (<CacheView>view.owner).kept_code(code_hash)
    if code != NULL:
        code_retain(code)
    return code


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept with gil:
    owner = <CacheView>(<Reader*>self).owner
    cdef bytes found
    try:
        found = None if owner.block_hash is None else owner.block_hash(number)
        if found is None:
            return ABSENT
        memcpy(out, PyBytes_AS_STRING(found), 32)
        return FOUND
    except BaseException as error:
        owner.error = error
        return READ_FAILED


cdef void run_began(void* self, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
                    size_t size) noexcept nogil:
    cdef Reader* view = <Reader*>self
    cdef RunningCall* call
    if view.begin_call():
        call = &(<CacheView>view.owner).call
        call.machine = machine
        call.target = target
        call.sender = sender
        call.data = data
        call.size = size


cdef void run_ended(void* self, Machine* machine, const uint8_t* target, const uint8_t* sender, const uint8_t* data,
                    size_t size) noexcept nogil:
    cdef Reader* view = <Reader*>self
    view.end_call()
    view.reads.fetch_add(machine.ws.account_count + machine.ws.slot_count - 2)
    if target == NULL or not view.speculating:
        return
    if view.incomplete.load():
        predict_call((<CacheView>view.owner).book, view, machine, target, sender, data, size)
    elif view.rounds and (view.surprised.load() or view.by_name.load()):
        learn_call((<CacheView>view.owner).book, view, machine, target, sender, data, size)
