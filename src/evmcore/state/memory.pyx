"""State in this process's memory. See `memory.pxd`.

A writer's arguments are turned into C data first; then the lock is taken, used and released without the GIL. A thread that waits for
the lock to read releases the GIL as well: a call that holds the lock for reading, and that a writer waits for, may need the GIL before
it ends.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport check_code_size
from evmcore._diff cimport StateDiff, diff_argument
from evmcore._diff_data cimport AccountChange
from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._handlers cimport run_aside
from evmcore._hash cimport keccak256
from evmcore._live_trie cimport live_bytes
from evmcore._u256 cimport u256, u256_from_int, u256_to_int
from evmcore.state._apply cimport APPLIED, ApplyResult, CodeBytes, apply_diff, apply_error, codes_of, complete_diff
from evmcore.state._edits cimport (
    EDIT_ACCOUNT, EDIT_BLOCK_HASH, EDIT_DISCARD, EDIT_INSIDE_READ, EDIT_NO_MEMORY, EDIT_NO_SNAPSHOT, EDIT_REMOVE, EDIT_REVERT,
    EDIT_SNAPSHOT, Edit, EditKind, EditOutcome, edit_store,
)
from evmcore.state._kept_trie cimport kept_free, kept_root
from evmcore.state._proof cimport AccountProof, proof_free, proof_init, proof_json, prove
from evmcore.state._reader cimport Backend
from evmcore.state._rows cimport known_code, row_account, row_alloc, slots_dict
from evmcore.state._store cimport (
    Row, Store, row_code_hash, store_drop_record, store_find, store_free, store_init, store_keep_record, store_memory, store_reader,
    store_rewind,
)
from evmcore.state._tables cimport BlockHashes, Slot, StoredCode, codes_release, hashes_find, slot_find
from evmcore.state._whole_store cimport store_copy

from collections.abc import Iterable, Mapping

from evmcore.errors import InputError, ResourceError, StateError
from evmcore.state.alloc import AllocEntry, parse_alloc
from evmcore.state.proofs import storage_root
from evmcore.threads import thread_count
from evmcore.types import Account, to_address, to_bytes, to_hash, to_uint, to_word

cdef extern from *:
    """
    static void begin_read_without_gil(evmcore::SharedLock* lock) {
        PyThreadState* held = PyGILState_Check() ? PyEval_SaveThread() : NULL;
        lock->begin_read();
        if (held)
            PyEval_RestoreThread(held);
    }
    """
    void begin_read_without_gil(SharedLock* lock) noexcept nogil


cdef enum:
    LONG = 20_000                 # accounts and slots to be hashed: some ten milliseconds and more

# A state root or a proof.
cdef struct Computing:
    SharedLock* lock
    KeptTrie* kept
    Store* store
    unsigned int threads
    uint8_t* root
    AccountProof* proof           # NULL: compute the root
    uint32_t stop                 # set: the result is not needed any more
    bint done


cdef void compute_in_turn(void* context) noexcept nogil:
    cdef Computing* computing = <Computing*>context
    computing.lock.begin_read()
    computing.lock.begin_turn()
    if computing.proof != NULL:
        computing.done = prove(computing.kept, computing.store, computing.proof, &computing.stop)
    else:
        computing.done = kept_root(
            computing.kept, computing.store, computing.threads, &computing.stop, computing.root
        )
    computing.lock.end_turn()
    computing.lock.end_read()


# A diff that is applied, permanently or while the state root is computed; in the latter case it stays if the root is `wanted`.
cdef struct Applying:
    SharedLock* lock
    KeptTrie* kept
    Store* store
    void* diff                    # a StateDiff
    bint backward
    CodeBytes* codes
    StoredCode** taken
    uint8_t* root                 # NULL: apply permanently
    const uint8_t* wanted         # NULL: no root
    unsigned int threads
    uint32_t stop                 # set: the root is not needed any more
    bint entered
    bint rooted
    bint stays
    ApplyResult result


cdef void apply_or_root(void* context) noexcept nogil:
    cdef Applying* applying = <Applying*>context
    cdef Store* store = applying.store
    cdef size_t position
    applying.entered = applying.lock.begin_write()
    if not applying.entered:
        return
    position = store.journal_count
    store_keep_record(store)
    apply_diff(store, <StateDiff>applying.diff, applying.backward, applying.codes, applying.taken, &applying.result)
    if applying.root != NULL and applying.result.problem == APPLIED:
        applying.rooted = kept_root(applying.kept, store, applying.threads, &applying.stop, applying.root)
        applying.stays = applying.rooted and applying.wanted != NULL and memcmp(applying.root, applying.wanted, 32) == 0
        if not applying.stays:
            store_rewind(store, position)
    store_drop_record(store)
    applying.lock.end_write()


cdef object no_memory_for_root():
    return ResourceError("no memory for the state root")


cdef class MemoryState(Backend):
    """Accounts, storage, codes and block hashes in memory, for one process and any number of threads.

    `MemoryState(alloc)` takes a geth-style alloc or a mapping of address to `Account`. Addresses are 20 bytes or
    0x-hex text, slots and values numbers below 2**256, balances in wei. Writing to an absent account creates it. A slot
    of value zero is the same as an absent slot. Calls read without taking locks. A thread that writes waits until
    running calls are done; if the thread is itself inside a call, it gets `StateError`.

    A process may fork at any time, also from inside a call: the fork waits until no thread is writing or computing a
    root. The child has the state of that moment, with each write complete, and may read and write it. Calls that run in
    other threads continue only in the parent.
    """

    def __cinit__(self, *args, **kwargs):
        self.lock = new SharedLock()
        self.snapshots.next = 1
        if not store_init(&self.store):
            raise ResourceError("no memory for a state")
        store_reader(&self.store, &self.reader)

    def __init__(self, alloc: Mapping | None = None) -> None:
        if alloc is not None:
            self.load(alloc)

    def __dealloc__(self):
        store_free(&self.store)
        kept_free(&self.kept)
        free(self.snapshots.ranges)
        del self.lock

    cdef void begin_read(self) noexcept nogil:
        if not self.lock.try_begin_read():
            begin_read_without_gil(self.lock)

    cdef void end_read(self) noexcept nogil:
        self.lock.end_read()

    # ------------------------------------------------------------------------------------------ reading

    def account(self, address) -> Account | None:
        """The account with its code and whole storage, or None if it does not exist."""
        cdef bytes key = to_address(address, "address")
        cdef const Row* row
        self.begin_read()
        try:
            row = store_find(&self.store, key)
            return None if row == NULL else row_account(row)
        finally:
            self.end_read()

    def __contains__(self, address) -> bool:
        """Whether the account exists."""
        cdef bytes key = to_address(address, "address")
        self.begin_read()
        cdef bint found = store_find(&self.store, key) != NULL
        self.end_read()
        return found

    def __len__(self) -> int:
        """The number of accounts."""
        return self.store.account_count

    def __iter__(self):
        """Addresses in ascending order, as of the start of the iteration."""
        return iter(self.addresses())

    def addresses(self) -> list[bytes]:
        """The addresses of all accounts, ascending."""
        cdef uint32_t i
        found = []
        self.begin_read()
        try:
            for i in range(self.store.row_count):
                if self.store.rows[i].used:
                    found.append(self.store.rows[i].address[:20])
        finally:
            self.end_read()
        found.sort()
        return found

    def balance(self, address) -> int:
        """The balance in wei; zero if the account does not exist."""
        cdef bytes key = to_address(address, "address")
        cdef const Row* row
        cdef u256 balance
        self.begin_read()
        row = store_find(&self.store, key)
        if row != NULL:
            balance = row.balance
        self.end_read()
        return 0 if row == NULL else u256_to_int(&balance)

    def nonce(self, address) -> int:
        """The nonce; zero if the account does not exist."""
        cdef bytes key = to_address(address, "address")
        cdef const Row* row
        cdef uint64_t nonce = 0
        self.begin_read()
        row = store_find(&self.store, key)
        if row != NULL:
            nonce = row.nonce
        self.end_read()
        return nonce

    def code(self, address) -> bytes:
        """The code; empty if there is none. `StateError` if only its hash is known."""
        cdef bytes key = to_address(address, "address")
        cdef const Row* row
        self.begin_read()
        try:
            row = store_find(&self.store, key)
            return b"" if row == NULL else known_code(row)
        finally:
            self.end_read()

    def code_hash(self, address) -> bytes:
        """The 32-byte Keccak-256 of the code; the hash of no bytes if there is no code."""
        cdef bytes key = to_address(address, "address")
        cdef const Row* row
        cdef uint8_t[32] digest
        self.begin_read()
        row = store_find(&self.store, key)
        memcpy(digest, EMPTY_CODE_HASH, 32)
        if row != NULL:
            memcpy(digest, row_code_hash(row), 32)
        self.end_read()
        return digest[:32]

    def storage(self, address, slot) -> int:
        """The value of a storage slot; zero if it is not set."""
        cdef bytes key = to_address(address, "address")
        cdef u256 number = u256_from_int(to_word(slot, "slot"), "slot")
        cdef u256 value
        cdef const u256* found = NULL
        cdef const Row* row
        self.begin_read()
        row = store_find(&self.store, key)
        if row != NULL:
            found = slot_find(&row.slots, &number)
        if found != NULL:
            value = found[0]
        self.end_read()
        return 0 if found == NULL else u256_to_int(&value)

    def slots(self, address) -> dict[int, int]:
        """All storage slots of an account that are not zero, by ascending key."""
        cdef bytes key = to_address(address, "address")
        cdef const Row* row
        self.begin_read()
        try:
            row = store_find(&self.store, key)
            return {} if row == NULL else slots_dict(&row.slots)
        finally:
            self.end_read()

    def block_hash(self, number) -> bytes | None:
        """The hash that BLOCKHASH returns for an earlier block, or None if it is not known."""
        cdef uint64_t wanted = to_uint(number, "number", 64)
        cdef const uint8_t* found
        cdef uint8_t[32] digest
        self.begin_read()
        found = hashes_find(&self.store.block_hashes, wanted)
        if found != NULL:
            memcpy(digest, found, 32)
        self.end_read()
        return None if found == NULL else digest[:32]

    # ------------------------------------------------------------------------------------------ writing

    def set_account(self, address, account) -> None:
        """Replaces an account with all its storage by an `Account`."""
        if not isinstance(account, Account):
            raise InputError(f"argument 'account': expected Account, got {type(account).__name__}")
        key = to_address(address, "address")
        entry = AllocEntry(key, account.nonce, account.balance, account.code, None, account.storage)
        self.put_account(key, entry)

    def delete_account(self, address) -> None:
        """Removes an account with its storage; does nothing if the account does not exist."""
        cdef bytes key = to_address(address, "address")
        cdef Edit edit = empty_edit(EDIT_REMOVE, key)
        self.edit(&edit)

    def set_balance(self, address, balance) -> None:
        """Sets the balance, in wei."""
        cdef bytes key = to_address(address, "address")
        cdef Edit edit = empty_edit(EDIT_ACCOUNT, key)
        edit.set_balance = True
        edit.balance = u256_from_int(to_uint(balance, "balance"), "balance")
        self.edit(&edit)

    def set_nonce(self, address, nonce) -> None:
        """Sets the nonce, below 2**64."""
        cdef bytes key = to_address(address, "address")
        cdef Edit edit = empty_edit(EDIT_ACCOUNT, key)
        edit.set_nonce = True
        edit.nonce = to_uint(nonce, "nonce", 64)
        self.edit(&edit)

    def set_code(self, address, code) -> None:
        """Sets the code, at most 2**30 bytes."""
        cdef bytes key = to_address(address, "address")
        cdef bytes data = to_bytes(code, "code")
        cdef bytes code_hash = code_hash_of(data)
        cdef Edit edit = empty_edit(EDIT_ACCOUNT, key)
        put_code(&edit, data, code_hash)
        self.edit(&edit)

    def set_storage(self, address, slot, value) -> None:
        """Sets a storage slot; zero clears it."""
        cdef bytes key = to_address(address, "address")
        cdef Slot cell
        cdef Edit edit = empty_edit(EDIT_ACCOUNT, key)
        cell.key = u256_from_int(to_word(slot, "slot"), "slot")
        cell.value = u256_from_int(to_word(value, "value"), "value")
        edit.slots = &cell
        edit.slot_count = 1
        self.edit(&edit)

    def set_block_hash(self, number, block_hash) -> None:
        """Sets the hash that BLOCKHASH returns for an earlier block; None removes it."""
        cdef bytes digest = None if block_hash is None else to_hash(block_hash, "block_hash")
        cdef Edit edit = empty_edit(EDIT_BLOCK_HASH, None)
        edit.number = to_uint(number, "number", 64)
        if digest is not None:
            edit.hash = digest
        self.edit(&edit)

    cdef int put_account(self, bytes address, object entry) except -1:
        """Replaces an account by an `AllocEntry`."""
        cdef Edit edit = empty_edit(EDIT_ACCOUNT, address)
        cdef bytes code = entry.code
        cdef bytes code_hash = entry.code_hash if code is None else code_hash_of(code)
        cdef dict storage = entry.storage
        cdef Slot* slots = <Slot*>malloc((len(storage) + 1) * sizeof(Slot))
        if slots == NULL:
            raise ResourceError("no memory for the storage of an account")
        try:
            for key, value in storage.items():
                slots[edit.slot_count].key = u256_from_int(key, "storage slot")
                slots[edit.slot_count].value = u256_from_int(value, "storage value")
                edit.slot_count += 1
            edit.slots = slots
            edit.set_nonce = edit.set_balance = edit.wipe = True
            edit.nonce = entry.nonce
            edit.balance = u256_from_int(entry.balance, "balance")
            put_code(&edit, code, code_hash)
            self.edit(&edit)
        finally:
            free(slots)
        return 0

    cdef int edit(self, Edit* edit) except -1:
        cdef EditOutcome outcome = EDIT_INSIDE_READ
        with nogil:
            if self.lock.begin_write():
                outcome = edit_store(&self.store, &self.snapshots, edit)
                self.lock.end_write()
        if outcome == EDIT_INSIDE_READ:
            raise inside_read()
        if outcome == EDIT_NO_MEMORY:
            raise ResourceError("no memory for a change of the state")
        if outcome == EDIT_NO_SNAPSHOT:
            raise StateError(f"snapshot {edit.number} is not known: never taken, discarded, or reverted past")
        return 0

    # ---------------------------------------------------------------------------------------- snapshots

    def snapshot(self) -> int:
        """Remembers the present state. Costs nothing now; later changes are journalled until the snapshot is discarded.

        Snapshots nest. A snapshot number is never used again.
        """
        cdef Edit edit = empty_edit(EDIT_SNAPSHOT, None)
        self.edit(&edit)
        return edit.number

    def revert(self, snapshot) -> None:
        """Returns to the state of a snapshot. The snapshot stays valid; later snapshots are discarded.

        The cost is proportional to the changes since the snapshot. Raises `StateError` if the snapshot is not known.
        """
        cdef Edit edit = empty_edit(EDIT_REVERT, None)
        edit.number = to_uint(snapshot, "snapshot", 64)
        self.edit(&edit)

    def discard(self, snapshot) -> None:
        """Forgets a snapshot and all later ones, keeping the state as it is.

        Raises `StateError` if the snapshot is not known.
        """
        cdef Edit edit = empty_edit(EDIT_DISCARD, None)
        edit.number = to_uint(snapshot, "snapshot", 64)
        self.edit(&edit)

    # -------------------------------------------------------------------------------------------- diffs

    cpdef object apply(self, object diff):
        """Brings the state from the diff's old to its new values, all of them or none.

        Makes the diff complete (see `StateDiff`). Raises `StateError` naming the account or slot, with both values, if the
        state is not the one the diff starts from, or if a code is neither in the diff nor in the state.
        """
        self.apply_direction(diff_argument(diff), False, NULL, NULL, 1)

    def apply_to(self, diff, state_root, threads=1) -> bytes:
        """Applies a diff if that leads to the state root of 32 bytes; gives the root that it leads to, on at most `threads`
        native threads. With another root the state stays as it is, and nobody sees it changed.

        Completes the diff. Raises `StateError` as `apply` does.
        """
        cdef bytes wanted = to_hash(state_root, "state_root")
        cdef uint8_t[32] root
        cdef unsigned int count = thread_count(threads)
        cdef bint kept
        with nogil:
            kept = self.keeps_trie()
        if kept:                                  # else all is hashed, once, as the diff is applied
            self.state_root(None, count)          # what is not known yet is hashed while others may read
        self.apply_direction(diff_argument(diff), False, root, wanted, count)
        return root[:32]

    def undo(self, diff) -> None:
        """Reverts a diff that was applied before: afterwards the state is exactly the earlier one.

        Raises `StateError` like `apply`; the state is then unchanged.
        """
        self.apply_direction(diff_argument(diff), True, NULL, NULL, 1)

    cdef int apply_direction(
        self, StateDiff diff, bint backward, uint8_t* root, const uint8_t* wanted, unsigned int threads
    ) except -1:
        """Applies or undoes. With `root`: only while the state root is computed, and for good if that is the `wanted` root."""
        cdef StateDiff changes = diff.present() if backward else diff.draft()
        cdef size_t count = changes.account_count
        cdef CodeBytes* codes = <CodeBytes*>calloc(count + 1, sizeof(CodeBytes))
        cdef StoredCode** taken = <StoredCode**>calloc(count + 1, sizeof(StoredCode*))
        cdef Applying applying = Applying(
            self.lock, &self.kept, &self.store, <void*>changes, backward, codes, taken, root, wanted, threads
        )
        cdef bint took = False
        cdef size_t i
        interruption = None
        applying.stop = 0
        applying.rooted = True
        applying.stays = False
        try:
            if codes == NULL or taken == NULL:
                raise ResourceError("no memory to apply a state diff")
            held = codes_of(changes, backward, codes)       # keeps the bytes alive
            if root == NULL:
                with nogil:
                    apply_or_root(&applying)
            else:
                interruption = self.run_long(apply_or_root, &applying, &applying.stop, changes)
            if not applying.entered:
                raise inside_read()
            if applying.result.problem != APPLIED:
                raise apply_error(&applying.result, backward)
            diff.accept(changes)
            for i in range(count):
                if taken[i] != NULL:
                    took = True
                    diff.codes.setdefault(taken[i].hash[:32], taken[i].data[:taken[i].size])
            if took:
                with nogil:
                    self.lock.begin_write()
                    for i in range(count):
                        codes_release(&self.store.codes, taken[i])
                    self.lock.end_write()
            if interruption is not None:
                if applying.stays:               # the handler raised when the root had just been found
                    self.apply_direction(diff, True, NULL, NULL, 1)
                raise interruption
            if not applying.rooted:
                raise no_memory_for_root()
        finally:
            free(codes)
            free(taken)
        return 0

    def complete(self, diff) -> None:
        """Makes a diff complete that starts from this state, as applying it would: adds the slots of wiped and removed
        accounts that are not in the diff, and the codes that the diff removes."""
        cdef StateDiff whole = diff_argument(diff)
        cdef StateDiff changes = whole.draft()
        cdef bint done
        self.begin_read()
        try:
            with nogil:
                done = complete_diff(&self.store, changes)
            if not done:
                raise ResourceError("no memory to complete a state diff")
            whole.accept(changes)
            self.add_old_codes(changes)
        finally:
            self.end_read()

    cdef int add_old_codes(self, StateDiff diff) except -1:
        cdef const AccountChange* change
        cdef const Row* row
        cdef size_t i
        for i in range(diff.account_count):
            change = &diff.accounts[i]
            if memcmp(change.old.code_hash, change.new.code_hash, 32) == 0:
                continue
            row = store_find(&self.store, change.address)
            if row != NULL and row.code != NULL and row.code.data != NULL:
                diff.codes.setdefault(row.code.hash[:32], row.code.data[:row.code.size])
        return 0

    # -------------------------------------------------------------------------------------------- roots

    roots_on_threads = True                      # `state_root` takes a number of threads

    def state_root(self, diff=None, threads=1) -> bytes:
        """The 32-byte root of the state trie over all accounts, on at most `threads` native threads (as for
        `execute_block`). The first root takes time in proportion to the state. From the second root on the trie is kept, and
        a root costs only what changed since the previous one. A trie that is not used any more is dropped.

        With `diff`: the root that the state would have after applying the diff, which becomes complete. The state stays
        unchanged, and no other thread sees it changed. Raises `StateError` as `apply` does. In the main thread, signal
        handlers run during a long computation; an exception they raise ends it.
        """
        cdef uint8_t[32] root
        cdef unsigned int count = thread_count(threads)
        if diff is not None:
            self.apply_direction(diff_argument(diff), False, root, NULL, count)
        else:
            self.compute(count, root, NULL)
        return root[:32]

    cdef int compute(self, unsigned int threads, uint8_t* root, AccountProof* proof) except -1:
        """Computes the root, or a proof."""
        cdef Computing computing = Computing(self.lock, &self.kept, &self.store, threads, root, proof, 0, False)
        interruption = self.run_long(compute_in_turn, &computing, &computing.stop, None)
        if interruption is not None:
            raise interruption
        if not computing.done:
            raise no_memory_for_root()
        return 0

    cdef object run_long(
        self, void (*work)(void* context) noexcept nogil, void* context, uint32_t* stop, StateDiff diff
    ):
        # A signal handler may use the state itself, and must then wait for the thread that holds it; so handlers never run in
        # that thread. A thread inside a read section of the state holds it already.
        if not self.lock.is_reading() and self.may_take_long(diff):
            return run_aside(work, context, stop)
        with nogil:
            work(context)
        return None

    cdef bint may_take_long(self, StateDiff diff):
        cdef size_t due = 0
        cdef uint32_t i
        if diff is not None:
            due = diff.account_count + diff.slot_count
        self.begin_read()
        if self.store.touched.wanted and not self.store.touched.lost:
            due += self.store.touched.count
        else:
            for i in range(self.store.row_count):
                due += 1 + self.store.rows[i].slots.count
                if due >= LONG:
                    break
        self.end_read()
        return due >= LONG

    cdef bint keeps_trie(self) noexcept nogil:
        cdef bint keeps
        self.begin_read()
        self.lock.begin_turn()
        keeps = self.kept.asked
        self.lock.end_turn()
        self.end_read()
        return keeps

    def storage_root(self, address) -> bytes:
        """The 32-byte root of an account's storage trie; the root of the empty trie if it has no storage."""
        return storage_root(self.slots(address))

    def proof(self, address, slots=()) -> dict:
        """The Merkle proof of an account and of some of its slots, in the form of eth_getProof (EIP-1186).

        Absent accounts and slots get proofs of absence. The first proof takes time in proportion to the state. From then on
        the trie is kept, as for `state_root`, and a proof costs only what changed since the trie was last used.
        """
        cdef AccountProof proof
        if isinstance(slots, (str, bytes)) or not isinstance(slots, Iterable):
            raise InputError(f"argument 'slots': expected slots in a list, got {type(slots).__name__}")
        wanted = [to_word(slot, "slots") for slot in slots]
        proof_init(&proof, to_address(address, "address"), wanted)
        try:
            self.compute(1, NULL, &proof)
            return proof_json(&proof)
        finally:
            proof_free(&proof)

    # -------------------------------------------------------------------------------------- whole states

    def load(self, alloc) -> None:
        """Sets all accounts of a geth-style alloc (or mapping of address to `Account`); accounts with the same address are
        replaced.

        Raises `InputError` naming the account and field that is malformed; nothing is changed then.
        """
        for entry in list(parse_alloc(alloc)):
            self.put_account(entry.address, entry)

    @classmethod
    def from_alloc(cls, alloc) -> MemoryState:
        """A state with the accounts of a geth-style alloc."""
        state = cls()
        state.load(alloc)
        return state

    def dump(self) -> dict[str, dict]:
        """All accounts as a geth-style alloc, by ascending address; slots by ascending key, as 32-byte hex."""
        self.begin_read()
        try:
            alloc = alloc_of(&self.store)
        finally:
            self.end_read()
        return dict(sorted(alloc.items()))

    def copy(self) -> MemoryState:
        """An independent state with the same accounts and block hashes, without the snapshots."""
        cdef MemoryState copied = MemoryState()
        cdef bint done
        with nogil:
            self.begin_read()
            done = store_copy(&copied.store, &self.store)
            self.end_read()
        if not done:
            raise ResourceError("no memory for a copy of the state")
        return copied

    def __reduce__(self):
        """Pickles and copies the state as `copy` does, without the snapshots."""
        self.begin_read()
        try:
            alloc, hashes = alloc_of(&self.store), hashes_of(&self.store.block_hashes)
        finally:
            self.end_read()
        return restored, (type(self), alloc, hashes, getattr(self, "__dict__", {}))

    def __eq__(self, other):
        """Whether both states have the same accounts."""
        if not isinstance(other, MemoryState):
            return NotImplemented
        return self is other or self.dump() == other.dump()

    __hash__ = None

    def __sizeof__(self) -> int:
        """Bytes of memory, tables included."""
        self.begin_read()
        self.lock.begin_turn()
        cdef size_t size = store_memory(&self.store) + live_bytes(&self.kept.accounts)
        self.lock.end_turn()
        self.end_read()
        return object.__sizeof__(self) + size

    def __repr__(self) -> str:
        return f"<MemoryState: {len(self)} accounts>"


cdef Edit empty_edit(EditKind kind, bytes address):
    """The address must outlive the edit."""
    cdef Edit edit
    memset(&edit, 0, sizeof(Edit))
    edit.kind = kind
    if address is not None:
        edit.address = address
    return edit


cdef int put_code(Edit* edit, bytes code, bytes code_hash) except -1:
    """`code` and `code_hash` must outlive the edit."""
    edit.set_code = True
    if code_hash != EMPTY_CODE_HASH[:32]:
        edit.code_hash = code_hash
        if code is not None:
            edit.code = code
            edit.code_size = len(code)
    return 0


cdef bytes code_hash_of(bytes data):
    cdef uint8_t[32] digest
    check_code_size(len(data), "code")
    keccak256(data, len(data), digest)
    return digest[:32]


cdef object inside_read():
    return StateError(
        "this thread is inside a call that reads the state: write to it before or after, not from a callback"
    )


cdef dict alloc_of(const Store* store):
    cdef uint32_t i
    cdef const Row* row
    cdef dict alloc = {}
    for i in range(store.row_count):
        row = &store.rows[i]
        if row.used:
            alloc["0x" + row.address[:20].hex()] = row_alloc(row)
    return alloc


cdef dict hashes_of(const BlockHashes* hashes):
    cdef size_t i
    return {hashes.entries[i].number: hashes.entries[i].hash[:32] for i in range(hashes.count)}


def restored(kind, alloc, hashes, attributes):
    """The unpickled state: an instance of class `kind`, with the accounts of `alloc`, the block hashes by number, and the
    attributes that a class derived in Python had set."""
    state = kind.__new__(kind)
    state.load(alloc)
    for number, block_hash in hashes.items():
        state.set_block_hash(number, block_hash)
    if attributes:
        vars(state).update(attributes)
    return state
