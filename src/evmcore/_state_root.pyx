"""State roots: each account's storage root, its leaf, and the trie of the leaves. See `_state_root.pxd`."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from evmcore._hash cimport keccak256
from evmcore._rlp cimport (
    RLP_LIST, Buffer, buffer_free, buffer_reserve, rlp_header_size, rlp_put_bytes, rlp_put_header, rlp_put_u256, rlp_put_uint,
    rlp_u256_size, rlp_uint_size,
)
from evmcore._sync cimport is_to_stop
from evmcore._trie cimport TrieItem, trie_root_threaded, trie_root_with
from evmcore._u256 cimport u_is_zero, u_to_be
from evmcore._workers cimport for_each

cdef enum:                        # items that a thread makes at a time
    ACCOUNTS_AT_ONCE = 16
    SLOTS_AT_ONCE = 256

cdef enum:
    MANY_SLOTS = 4096             # an account with this many slots is hashed on all threads
    HASHED_SIZE = 65              # of a slot: hashed key, and at most the RLP of a word

cdef struct Scratch:              # of one thread
    Buffer items                  # TrieItem of an account's slots
    Buffer slots                  # HASHED_SIZE bytes per slot; then one byte per slot: the size of its RLP
    Buffer node
    const uint32_t* stop          # once it is set, the work ends; NULL: never

# ---------------------------------------------------------------------------------------------------- storage

cdef struct Slots:                # an account's, to be hashed
    const u256* pairs
    uint8_t* hashed               # HASHED_SIZE for each pair
    uint8_t* sizes                # of the RLP of its value; 0: not in the trie
    const uint32_t* stop


cdef void hash_slots(void* context, uint64_t first, uint64_t end) noexcept nogil:
    cdef Slots* slots = <Slots*>context
    cdef uint8_t[32] word
    cdef uint64_t i
    for i in range(first, end):
        if is_to_stop(slots.stop):
            return
        slots.sizes[i] = 0
        if not u_is_zero(&slots.pairs[2 * i + 1]):
            u_to_be(word, &slots.pairs[2 * i])
            keccak256(word, 32, slots.hashed + HASHED_SIZE * i)
            slots.sizes[i] = <uint8_t>rlp_u256_size(&slots.pairs[2 * i + 1])
            rlp_put_u256(slots.hashed + HASHED_SIZE * i + 32, &slots.pairs[2 * i + 1])


cdef bint storage_root(Scratch* scratch, const StateAccount* account, unsigned int threads, uint8_t* root) noexcept nogil:
    """Writes the 32-byte root. False: no memory, or `stop` was set."""
    cdef Slots slots
    cdef TrieItem* item
    cdef size_t i, count = 0
    if account.slot_count == 0:
        return trie_root_with(NULL, 0, &scratch.node, NULL, root)
    scratch.slots.size = scratch.items.size = 0
    if (
        buffer_reserve(&scratch.slots, account.slot_count * (HASHED_SIZE + 1)) == NULL
        or buffer_reserve(&scratch.items, account.slot_count * sizeof(TrieItem)) == NULL
    ):
        return False
    slots.pairs = account.slots
    slots.hashed = scratch.slots.data
    slots.sizes = scratch.slots.data + HASHED_SIZE * account.slot_count
    slots.stop = scratch.stop
    for_each(threads, account.slot_count, SLOTS_AT_ONCE, hash_slots, &slots)
    if is_to_stop(scratch.stop):
        return False
    item = <TrieItem*>scratch.items.data
    for i in range(account.slot_count):
        if slots.sizes[i]:
            item.key = slots.hashed + HASHED_SIZE * i
            item.key_size = 32
            item.value = item.key + 32
            item.value_size = slots.sizes[i]
            item += 1
            count += 1
    if threads > 1:
        return trie_root_threaded(<TrieItem*>scratch.items.data, count, threads, scratch.stop, root)
    return trie_root_with(<TrieItem*>scratch.items.data, count, &scratch.node, scratch.stop, root)


# ---------------------------------------------------------------------------------------------------- accounts

cdef void put_state_leaf(
    StateLeaf* leaf, uint64_t nonce, const u256* balance, const uint8_t* storage_root, const uint8_t* code_hash
) noexcept nogil:
    cdef size_t payload = rlp_uint_size(nonce) + rlp_u256_size(balance) + 33 + 33
    cdef uint8_t* at
    leaf.size = <uint8_t>(rlp_header_size(payload) + payload)
    at = rlp_put_header(leaf.value, RLP_LIST, payload)
    at = rlp_put_uint(at, nonce)
    at = rlp_put_u256(at, balance)
    at = rlp_put_bytes(at, storage_root, 32)
    rlp_put_bytes(at, code_hash, 32)


cdef bint make_leaf(Scratch* scratch, const StateAccount* account, unsigned int threads, StateLeaf* leaf) noexcept nogil:
    cdef uint8_t[32] root
    if not storage_root(scratch, account, threads, root):
        return False
    keccak256(account.address, 20, leaf.key)
    put_state_leaf(leaf, account.nonce, account.balance, root, account.code_hash)
    return True


cdef struct AccountLeaves:
    const StateAccount* accounts
    StateLeaf* leaves             # size 0: not made yet
    const uint32_t* stop          # as of `Scratch`
    uint32_t failed


cdef void make_state_leaves(void* context, uint64_t first, uint64_t end) noexcept nogil:
    cdef AccountLeaves* made = <AccountLeaves*>context
    cdef Scratch scratch
    cdef uint64_t i
    memset(&scratch, 0, sizeof(Scratch))
    scratch.stop = made.stop
    for i in range(first, end):
        if is_to_stop(made.stop):
            made.failed = 1
            break
        if made.leaves[i].size == 0 and not make_leaf(&scratch, &made.accounts[i], 1, &made.leaves[i]):
            made.failed = 1
            break
    scratch_free(&scratch)


cdef void scratch_free(Scratch* scratch) noexcept nogil:
    buffer_free(&scratch.items)
    buffer_free(&scratch.slots)
    buffer_free(&scratch.node)


cdef bint make_large_leaves(AccountLeaves* made, size_t count, unsigned int threads) noexcept nogil:
    """Makes the leaves of accounts with large storage, one after the other, each on all threads: on a single thread, the other
    threads would wait for them."""
    cdef Scratch scratch
    cdef bint done = True
    cdef size_t i
    memset(&scratch, 0, sizeof(Scratch))
    scratch.stop = made.stop
    for i in range(count):
        if done and made.accounts[i].slot_count >= MANY_SLOTS:
            done = make_leaf(&scratch, &made.accounts[i], threads, &made.leaves[i])
    scratch_free(&scratch)
    return done


cdef bint state_root_of(
    const StateAccount* accounts, size_t count, unsigned int threads, const uint32_t* stop, uint8_t* root
) noexcept nogil:
    cdef AccountLeaves made
    cdef StateLeaf* leaves = <StateLeaf*>calloc(count + 1, sizeof(StateLeaf))
    cdef TrieItem* items = <TrieItem*>malloc((count + 1) * sizeof(TrieItem))
    cdef bint done = leaves != NULL and items != NULL
    cdef size_t i
    made.accounts = accounts
    made.leaves = leaves
    made.stop = stop
    made.failed = 0
    if done and threads > 1:
        done = make_large_leaves(&made, count, threads)
    if done:
        for_each(threads, count, ACCOUNTS_AT_ONCE, make_state_leaves, &made)
        done = not made.failed
    if done:
        for i in range(count):
            items[i].key = leaves[i].key
            items[i].key_size = 32
            items[i].value = leaves[i].value
            items[i].value_size = leaves[i].size
        done = trie_root_threaded(items, count, threads, stop, root)
    free(leaves)
    free(items)
    return done
