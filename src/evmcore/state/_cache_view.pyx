"""Work on a pinned reader of the cache, in rounds of fetching. See `_cache_view.pxd`."""
cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._code cimport Code, code_find, code_release
from evmcore._hash cimport keccak256
from evmcore._interp cimport Machine
from evmcore._u256 cimport u256, u256_from_int
from evmcore.state._cache_native cimport AccountRecord, Answer, EXISTS, Hash, Reader, StateKey, follow_up
from evmcore.state._cache_reader cimport CacheReader
from evmcore.state._prefetch cimport CallBook, foresee_call, learn_call, predict_all, predict_call

from evmcore.errors import ResourceError, StateError, StateNotAvailable, StateUnavailable
from evmcore.types import to_address, to_uint

# Rounds of one `run` after which there must be a defect: every round makes a value known that the work needs.
cdef int MOST_ROUNDS = 64
cdef int LONG_RUN = 4             # rounds
cdef int BRIEF_ROUNDS = 3         # of a run on an event loop
cdef int64_t MOST_GUESS_NS = 1_000_000_000
cdef int RELUCTANCE = 64          # works that do not fetch in their middle, after one for which such a fetch was not enough

cdef uint8_t[32] NO_CODE_HASH
keccak256(NULL, 0, NO_CODE_HASH)


class NotHere(StateError):
    """A value is not in the cache, and the caller does not want to wait for it."""


@cython.no_gc_clear
cdef class CacheView(CacheReader):
    """The state after one step, as a backend: for `EVM` and for `execute_block` (which cannot write to it).

    Reads are answered from the cache, without locks, without the GIL. Missing values are fetched: inside `run` all at once,
    elsewhere one by one in the thread that reads. Any number of threads may read; only one may `run`.
    """

    def __cinit__(self, *args, **kwargs):
        self.book = (<CallBook>self.fetcher.book).book
        self.run_hooks.self = self.view
        self.run_hooks.stop_at = &self.view.stop_at
        self.run_hooks.began = run_began
        self.run_hooks.ended = run_ended
        self.hooks = &self.run_hooks

    @property
    def reads(self) -> int:
        """Accounts and slots that runs on this view have read."""
        return self.view.reads.load()

    # ---- running on guesses

    def run(self, work, hint=(), wait=True, brief=False):
        """The result of `work(self)`, from a run that missed no value.

        Until then `work` runs again: missing values are answered as empty, noted, and fetched, all in one request, before the
        next run; so `work` must be free of side effects. With `wait` False, `NotHere` is raised instead of fetching anything;
        with `brief` as well, only instead of a fetch that would take longer than an event loop may be held up, a few
        milliseconds at most. Raises the exception of `work` in its last run, `StateUnavailable`, `StateCorrupted`,
        `StateUnknown`, `StateNotAvailable`.
        """
        return self.run_rounds(work, hint, wait, brief)

    cdef object run_rounds(self, object work, object hint, bint wait, bint brief):
        cdef int64_t first_guess = self.view.guess_ns
        cdef object result = None
        cdef object failure = None
        cdef bint may_fetch = wait or (brief and self.fetcher.is_brief())
        # Work that reads as predicted is learnt from only now and then, so that outdated predictions lose weight.
        self.view.begin_work(self.cold_runs % 32 == 0)
        self.view.at_once = may_fetch and self.fetcher.reluctant == 0
        self.interrupted = False
        self.brief = not wait
        self.hint = hint
        self.hinted = not (isinstance(hint, tuple) and len(hint) == 0)
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
                    self.errors.kept.clear()
                    if wait or not isinstance(failure, (StateUnavailable, StateNotAvailable)):
                        raise failure
                    self.fetcher.was_long()
                    raise NotHere("something that is needed takes longer to fetch") from None
                if not self.view.incomplete.load():
                    if failure is not None:
                        raise failure
                    return result
                self.errors.kept.clear()
                if not wait and (
                    not brief or self.view.rounds == BRIEF_ROUNDS or self.view.unknown_first
                    or not self.fetcher.is_brief()
                ):
                    raise NotHere("something that is needed is not in the cache")
                self.view.at_once = False
                if self.interrupted:
                    # It was not enough, as for work with several calls: their values are better fetched together.
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
        """Gets the values that the last run missed, for the next run."""
        self.view.rounds += 1
        if self.view.rounds == 1:
            self.cold_runs += 1
            self.add_hints(hint)
        elif self.view.rounds > LONG_RUN:   # work that reads a lot: let each run on guesses go on longer than the last
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

    cdef bint fetch_at_once(self, const StateKey& key) noexcept nogil:
        """For a call that is known well: fetches all values that it is going to need."""
        cdef RunningCall* call = &self.call
        if not self.view.at_once or not self.view.in_call():
            return False
        self.view.at_once = False                 # whatever the result
        if self.view.incomplete.load() or not predict_all(
            self.book, self.view, call.machine, call.target, call.sender, call.data, call.size, key
        ):
            return False
        self.interrupted = True
        return self.fetch_expected()

    cdef bint fetch_expected(self) noexcept nogil:
        """In the middle of a run that has missed a value for the first time: fetches it, and all values it will need."""
        self.view.rounds += 1
        self.cold_runs += 1
        if self.hinted:
            with gil:
                try:
                    self.add_hints(self.hint)
                except BaseException as error:
                    self.failure = error
                    return False
        if not self.view.join_guesses() or not self.fetcher.fetch(self, self.view.guesses, self.view.missing_codes):
            with gil:
                self.failure = self.take_error() or ResourceError("no memory for what is going to be read")
            return False
        self.view.guesses.clear()
        self.view.missing_codes.clear()
        return True

    cdef int fetch_all(self) except -1:
        """Fetches what the last run missed. The first missing value is certainly needed: raises if it is not available."""
        if self.view.unknown_first:
            self.fetcher.ask_upstream(self, self.view.unknown)
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
            self.get(self.view.missing, self.view.missing_codes)
            self.view.missing_codes.clear()
            self.want_codes(self.view.missing)
            if self.view.missing_codes.size():
                self.view.guesses.clear()
                self.follow_up(self.view.missing)
                self.get(self.view.guesses, self.view.missing_codes)
                self.view.followed.swap(self.view.guesses)
            else:
                self.view.followed.swap(self.view.missing)
        return 0

    cdef void follow_up(self, vector[StateKey]& fetched) noexcept:
        """Adds to the guesses the values to which the fetched values lead."""
        if self.view.strange.load() and fetched.size():
            self.begin_read()
            follow_up(self.view[0], keccak256, fetched)
            self.end_read()

    cdef int foresee(self, object hints, bint wait) except -1:
        """Fetches together the known reads of several calls. If that fails, the runs report the error."""
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
        if not self.fetch_expected():
            failure, self.failure = self.failure, None
            if not isinstance(failure, (StateUnavailable, StateNotAvailable)):
                raise failure
            if not wait:
                self.fetcher.was_long()
                raise NotHere("something that is needed takes longer to fetch") from None
        return 0

    cdef int want_codes(self, vector[StateKey]& accounts) except -1:
        """For fetched accounts whose code is not here: requests the code, without a run that misses it first."""
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
        """Adds the accounts and slots in the access lists of calls to the first request."""
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


cdef class PinRunner:
    """A pinned step: `moment` has its idle views, `state` makes more views."""

    def __cinit__(self, state, moment):
        self.state = state
        self.moment = moment
        self.idle = moment.idle

    def run(self, work, hint=(), *, bint wait=True, bint brief=False):
        """The result of `work(backend)` on this state, from a run for which everything it read was known.

        `work` is called again if a value that it read had to be fetched first, so it must be free of side effects;
        exceptions of discarded runs are ignored. All values that one run missed are fetched with one request, together with
        the values that similar calls have read before (see `_prefetch`). `hint`: the calls that `work` will make, for their
        access lists. With `wait` False, `NotHere` is raised if something would have to be fetched; with `brief` as well,
        only if that would take longer than an event loop may be held up: usually a request takes tens of microseconds, and
        a change of threads more.

        Raises `StateUnavailable`, `StateCorrupted`, `StateUnknown`, `StateNotAvailable` (the pin was open for too
        long), `UnsafeStorage` (something would have to be fetched from a server that has evicted keys or may do so),
        and the exceptions of `work`.
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
