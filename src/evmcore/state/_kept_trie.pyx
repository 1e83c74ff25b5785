"""The kept trie of a store; see `_kept_trie.pxd`."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort
from libc.string cimport memcmp, memcpy, memset

from evmcore._hash cimport keccak256
from evmcore._live_trie cimport LiveLeaf, LiveTrie, live_find, live_free, live_put, live_remove, live_root
from evmcore._rlp cimport rlp_put_u256, rlp_u256_size
from evmcore._state_root cimport StateLeaf, put_state_leaf
from evmcore._sync cimport is_to_stop
from evmcore._u256 cimport u256, u_is_zero, u_to_be
from evmcore._workers cimport for_each
from evmcore.state._store cimport Row, row_code_hash, store_find
from evmcore.state._tables cimport slot_find
from evmcore.state._touched cimport TOUCHED_SLOT, TOUCHED_STORAGE, Touch, touched_begin, touched_end
from evmcore.state._whole_store cimport store_root

cdef enum:
    MOST_AT_ONCE = 4096           # accounts that are prepared before they are put into the trie
    ACCOUNTS_AT_ONCE = 8          # accounts that a thread prepares at a time

# An account that is to be brought up to date.
cdef struct Due:
    const uint8_t* address
    const Touch* touches          # its noted changes
    size_t count
    bint whole                    # read its whole storage anew
    const Row* row                # NULL: the account does not exist
    LiveTrie* below               # of its storage, until it is attached to the leaf; NULL: no storage
    StateLeaf leaf

cdef struct Round:
    LiveTrie* accounts
    const Store* store
    Due* due                      # room for `at_once`
    size_t at_once
    size_t count                  # of accounts that are due now
    unsigned int threads
    uint8_t[32] no_storage        # the root of an empty trie
    const uint32_t* stop          # once it is set, no more accounts are prepared
    uint32_t failed


# ---------------------------------------------------------------------------------------------------- one account

cdef bint put_slot(LiveTrie* trie, const u256* key, const u256* value) noexcept nogil:
    cdef uint8_t[32] word, hashed
    cdef uint8_t[33] encoded
    u_to_be(word, key)
    keccak256(word, 32, hashed)
    if value == NULL or u_is_zero(value):
        live_remove(trie, hashed)
        return True
    rlp_put_u256(encoded, value)
    return live_put(trie, hashed, encoded, rlp_u256_size(value)) != NULL


cdef bint put_all_slots(LiveTrie* trie, const Row* row, const uint32_t* stop) noexcept nogil:
    cdef uint64_t i
    live_free(trie)
    for i in range(<uint64_t>row.slots.mask + 1):
        if is_to_stop(stop):
            return False
        if not u_is_zero(&row.slots.cells[i].value):
            if not put_slot(trie, &row.slots.cells[i].key, &row.slots.cells[i].value):
                return False
    return True


cdef bint bring_storage_up(Due* due, const uint32_t* stop) noexcept nogil:
    cdef size_t i
    if due.row.slots.count == 0:
        drop_storage(due)
        return True
    if due.below == NULL:
        due.whole = True
        due.below = <LiveTrie*>calloc(1, sizeof(LiveTrie))
        if due.below == NULL:
            return False
    if due.whole:
        return put_all_slots(due.below, due.row, stop)
    for i in range(due.count):
        if due.touches[i].kind == TOUCHED_SLOT:
            if not put_slot(due.below, &due.touches[i].key, slot_find(&due.row.slots, &due.touches[i].key)):
                return False
    return True


cdef void drop_storage(Due* due) noexcept nogil:
    if due.below != NULL:
        live_free(due.below)
        free(due.below)
        due.below = NULL


cdef void make_ready(void* context, uint64_t first, uint64_t end) noexcept nogil:
    """Prepares storage and leaf of accounts. Each takes its storage trie from the leaf: no other thread uses that leaf."""
    cdef Round* round = <Round*>context
    cdef LiveLeaf* leaf
    cdef Due* due
    cdef uint8_t[32] root
    cdef uint64_t i
    cdef size_t j
    for i in range(first, end):
        if is_to_stop(round.stop):
            round.failed = 1
            return
        due = &round.due[i]
        due.row = store_find(round.store, due.address)
        keccak256(due.address, 20, due.leaf.key)
        if due.row == NULL:
            continue
        for j in range(due.count):
            due.whole = due.whole or due.touches[j].kind == TOUCHED_STORAGE
        leaf = live_find(round.accounts, due.leaf.key)
        if leaf != NULL:
            due.below = leaf.below
            leaf.below = NULL
        memcpy(root, round.no_storage, 32)
        if not bring_storage_up(due, round.stop) or (due.below != NULL and not live_root(due.below, 1, round.stop, root)):
            round.failed = 1
            return
        put_state_leaf(&due.leaf, due.row.nonce, &due.row.balance, root, row_code_hash(due.row))


# ---------------------------------------------------------------------------------------------------- all of them

cdef bint bring_up(Round* round) noexcept nogil:
    """Brings the due accounts up to date. False: no memory, or `stop` was set."""
    cdef LiveLeaf* leaf
    cdef Due* due
    cdef size_t i
    round.failed = 0
    for_each(round.threads, round.count, ACCOUNTS_AT_ONCE, make_ready, round)
    for i in range(round.count):
        due = &round.due[i]
        if round.failed:
            drop_storage(due)
        elif due.row == NULL:
            live_remove(round.accounts, due.leaf.key)
        else:
            leaf = live_put(round.accounts, due.leaf.key, due.leaf.value, due.leaf.size)
            if leaf == NULL:
                round.failed = 1
                drop_storage(due)
            else:
                leaf.below = due.below
    round.count = 0
    return not round.failed


cdef inline Due* next_due(Round* round, const uint8_t* address) noexcept nogil:
    """Room for another account; if there is none, brings the accounts so far up to date. NULL: no memory, or `stop`."""
    cdef Due* due
    if round.count == round.at_once and not bring_up(round):
        return NULL
    due = &round.due[round.count]
    round.count += 1
    due.address = address
    due.touches = NULL
    due.count = 0
    due.whole = False
    due.below = NULL
    return due


cdef bint bring_all_up(Round* round) noexcept nogil:
    cdef Due* due
    cdef uint32_t i
    for i in range(round.store.row_count):
        if round.store.rows[i].used:
            due = next_due(round, <const uint8_t*>round.store.rows[i].address)
            if due == NULL:
                return False
            due.whole = True
    return bring_up(round)


cdef int by_address(const void* a, const void* b) noexcept nogil:
    return memcmp((<const Touch*>a).address, (<const Touch*>b).address, 20)


cdef bint bring_touched_up(Round* round) noexcept nogil:
    cdef Touch* touches = round.store.touched.items
    cdef size_t total = round.store.touched.count, at = 0
    cdef Due* due
    if total:
        qsort(touches, total, sizeof(Touch), by_address)
    while at < total:
        due = next_due(round, <const uint8_t*>touches[at].address)
        if due == NULL:
            return False
        due.touches = &touches[at]
        while at < total and memcmp(touches[at].address, due.address, 20) == 0:
            due.count += 1
            at += 1
    return bring_up(round)


cdef bint trie_is_up(KeptTrie* kept, Store* store, unsigned int threads, const uint32_t* stop) noexcept nogil:
    """Brings the trie up to date with the store. False: no memory, or `stop` was set; the trie is then unusable."""
    cdef Round round
    cdef LiveTrie empty
    cdef bint done
    memset(&empty, 0, sizeof(LiveTrie))
    live_root(&empty, 1, NULL, round.no_storage)
    round.accounts = &kept.accounts
    round.store = store
    round.threads = threads
    round.stop = stop
    round.count = 0
    round.at_once = store.touched.count if store.touched.wanted else store.account_count
    round.at_once = min(max(round.at_once, <size_t>1), <size_t>MOST_AT_ONCE)
    round.due = <Due*>malloc(round.at_once * sizeof(Due))
    if round.due == NULL:
        return False
    done = bring_touched_up(&round) if store.touched.wanted else bring_all_up(&round)
    free(round.due)
    touched_begin(&store.touched)
    return done


cdef void give_up(KeptTrie* kept, Store* store) noexcept nogil:
    kept_free(kept)
    touched_end(&store.touched)


cdef bint kept_ready(KeptTrie* kept, Store* store, unsigned int threads, const uint32_t* stop) noexcept nogil:
    if store.touched.lost:
        give_up(kept, store)
    if not trie_is_up(kept, store, threads, stop):
        give_up(kept, store)
        return False
    kept.asked = True
    return True


cdef bint kept_root(KeptTrie* kept, Store* store, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil:
    if store.touched.lost:
        give_up(kept, store)
    if kept.asked and trie_is_up(kept, store, threads, stop):
        if live_root(&kept.accounts, threads, stop, root):
            return True
        if is_to_stop(stop):
            return False                         # the trie is up to date; the root can be requested again
    give_up(kept, store)
    kept.asked = True
    return store_root(store, threads, stop, root)


cdef void kept_free(KeptTrie* kept) noexcept nogil:
    live_free(&kept.accounts)
    kept.asked = False
