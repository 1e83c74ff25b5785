"""Roots and proofs of Merkle-Patricia tries (yellow paper, appendix D), bottom-up from sorted keys."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcmp, memcpy

from evmcore._hash cimport keccak256
from evmcore._rlp cimport (
    RLP_LIST, buffer_free, buffer_reserve, rlp_bytes_size, rlp_header_size, rlp_put_bytes, rlp_put_header, rlp_put_u256,
    rlp_put_uint, rlp_u256_size, rlp_uint_size,
)
from evmcore._u256 cimport u256_from_int, u_is_zero, u_to_be
from evmcore._workers cimport for_each

from evmcore.errors import InputError, ResourceError

# What a parent holds of a child: the child's encoding where it is shorter than 32 bytes, else the hash as a string.
cdef struct Reference:
    uint8_t size
    uint8_t[33] data

cdef struct Builder:
    const TrieItem* items
    const Reference* leaves       # of each item, made ahead; NULL: none are
    Buffer* node                  # the encoding of the node that was built last, from the start of the buffer
    const uint8_t* target         # key whose path is recorded, or NULL
    uint32_t target_size
    Buffer* record                # nodes on the path, each after its size: the deepest first

cdef enum:
    LEAVES_AT_ONCE = 32           # that a thread makes

cdef uint8_t EMPTY_NODE = 0x80
cdef uint8_t LEAF = 0x20, ODD = 0x10


# ---------------------------------------------------------------------------------------------------- order

cdef int compare(const void* a, const void* b) noexcept nogil:
    cdef const TrieItem* x = <const TrieItem*>a
    cdef const TrieItem* y = <const TrieItem*>b
    cdef uint32_t shorter = x.key_size if x.key_size < y.key_size else y.key_size
    cdef int order = memcmp(x.key, y.key, shorter)
    if order:
        return order
    return (x.key_size > y.key_size) - (x.key_size < y.key_size)


cdef size_t sort_items(TrieItem* items, size_t count) noexcept nogil:
    """Returns how many are left without repeated keys."""
    cdef size_t i, kept = 0
    qsort(items, count, sizeof(TrieItem), compare)
    for i in range(count):
        if kept == 0 or compare(&items[kept - 1], &items[i]) != 0:
            items[kept] = items[i]
            kept += 1
    return kept


# ---------------------------------------------------------------------------------------------------- nodes

cdef inline uint8_t nibble(const uint8_t* key, uint32_t index) noexcept nogil:
    return key[index >> 1] & 15 if index & 1 else key[index >> 1] >> 4


cdef size_t hex_prefix(uint8_t* out, const uint8_t* key, uint32_t first, uint32_t end, uint8_t flag) noexcept nogil:
    """Appendix C: nibbles `first` to `end` with a flag in front. Returns the bytes written."""
    cdef size_t size = 1
    out[0] = flag
    if (end - first) & 1:
        out[0] |= ODD | nibble(key, first)
        first += 1
    while first < end:
        out[size] = <uint8_t>(nibble(key, first) << 4 | nibble(key, first + 1))
        size += 1
        first += 2
    return size


cdef bint put_pair(
    Builder* builder, const uint8_t* path, size_t path_size, const uint8_t* value, size_t value_size, bint encoded
) noexcept nogil:
    """A leaf or extension. `encoded`: the value is an item already."""
    cdef size_t payload = rlp_bytes_size(path, path_size) + (value_size if encoded else rlp_bytes_size(value, value_size))
    cdef uint8_t* at
    builder.node.size = 0
    at = buffer_reserve(builder.node, rlp_header_size(payload) + payload)
    if at == NULL:
        return False
    at = rlp_put_header(at, RLP_LIST, payload)
    at = rlp_put_bytes(at, path, path_size)
    if encoded:
        memcpy(at, value, value_size)
        at += value_size
    else:
        at = rlp_put_bytes(at, value, value_size)
    builder.node.size = <size_t>(at - builder.node.data)
    return True


cdef void refer(const Buffer* node, Reference* reference) noexcept nogil:
    if node.size < 32:
        reference.size = <uint8_t>node.size
        memcpy(reference.data, node.data, node.size)
    else:
        reference.size = 33
        reference.data[0] = 0xa0
        keccak256(node.data, node.size, reference.data + 1)


cdef bint put_branch(Builder* builder, size_t low, size_t high, uint32_t depth) noexcept nogil:
    cdef Reference[16] children
    cdef const TrieItem* here = NULL
    cdef size_t payload = 0, i = low, end
    cdef uint8_t digit
    cdef int child
    cdef uint8_t* at
    for child in range(16):
        children[child].size = 1
        children[child].data[0] = EMPTY_NODE
    # A key that ends here is before all that it is the start of.
    if 2 * builder.items[low].key_size == depth:
        here = &builder.items[low]
        i = low + 1
    while i < high:
        digit = nibble(builder.items[i].key, depth)
        end = i + 1
        while end < high and nibble(builder.items[end].key, depth) == digit:
            end += 1
        if builder.leaves != NULL and end == i + 1:
            children[digit] = builder.leaves[i]
            i = end
            continue
        if not put_node(builder, i, end, depth + 1):
            return False
        refer(builder.node, &children[digit])
        i = end
    for child in range(16):
        payload += children[child].size
    payload += rlp_bytes_size(here.value, here.value_size) if here != NULL else 1
    builder.node.size = 0
    at = buffer_reserve(builder.node, rlp_header_size(payload) + payload)
    if at == NULL:
        return False
    at = rlp_put_header(at, RLP_LIST, payload)
    for child in range(16):
        memcpy(at, children[child].data, children[child].size)
        at += children[child].size
    if here != NULL:
        at = rlp_put_bytes(at, here.value, here.value_size)
    else:
        at[0] = EMPTY_NODE
        at += 1
    builder.node.size = <size_t>(at - builder.node.data)
    return True


cdef bint put_node(Builder* builder, size_t low, size_t high, uint32_t depth) noexcept nogil:
    """Encodes the node of the items `low` to `high`, whose keys agree in the first `depth` nibbles.

    Recursion ends: a branch goes one nibble down, an extension at least one, and no key has more than
    2 * MAX_KEY_SIZE.
    """
    cdef const TrieItem* first = &builder.items[low]
    cdef const TrieItem* last = &builder.items[high - 1]
    cdef uint32_t end = 2 * first.key_size, common = depth
    cdef uint8_t[MAX_KEY_SIZE + 1] path
    cdef Reference child
    cdef size_t path_size
    if high - low == 1:
        path_size = hex_prefix(path, first.key, depth, end, LEAF)
        if not put_pair(builder, path, path_size, first.value, first.value_size, False):
            return False
    else:
        # Sorted: what the first and the last have in common, all have.
        if 2 * last.key_size < end:
            end = 2 * last.key_size
        while common < end and nibble(first.key, common) == nibble(last.key, common):
            common += 1
        if common > depth:
            if not put_node(builder, low, high, common):
                return False
            refer(builder.node, &child)
            path_size = hex_prefix(path, first.key, depth, common, 0)
            if not put_pair(builder, path, path_size, child.data, child.size, True):
                return False
        elif not put_branch(builder, low, high, depth):
            return False
    return builder.target == NULL or record_node(builder, first.key, depth)


cdef bint record_node(Builder* builder, const uint8_t* key, uint32_t depth) noexcept nogil:
    """Keeps the node for a proof if it is on the target's path, and not inside its parent."""
    cdef uint32_t i
    cdef uint8_t* at
    cdef size_t size = builder.node.size
    if depth > 2 * builder.target_size or (size < 32 and depth):
        return True
    for i in range(depth):
        if nibble(key, i) != nibble(builder.target, i):
            return True
    at = buffer_reserve(builder.record, sizeof(size_t) + size)
    if at == NULL:
        return False
    memcpy(at, &size, sizeof(size_t))
    memcpy(at + sizeof(size_t), builder.node.data, size)
    builder.record.size += sizeof(size_t) + size
    return True


cdef bint root_with(TrieItem* items, size_t count, Buffer* scratch, uint8_t* root) noexcept nogil:
    if count == 0:
        keccak256(&EMPTY_NODE, 1, root)
        return True
    return root_of_sorted(items, sort_items(items, count), NULL, scratch, root)


cdef bint root_of_sorted(
    const TrieItem* items, size_t count, const Reference* leaves, Buffer* scratch, uint8_t* root
) noexcept nogil:
    cdef Builder builder
    builder.items = items
    builder.leaves = leaves
    builder.node = scratch
    builder.target = NULL
    builder.target_size = 0
    builder.record = NULL
    if not put_node(&builder, 0, count, 0):
        return False
    keccak256(scratch.data, scratch.size, root)
    return True


cdef bint trie_root(TrieItem* items, size_t count, uint8_t* root) noexcept nogil:
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef bint done = root_with(items, count, &scratch, root)
    buffer_free(&scratch)
    return done


# ---------------------------------------------------------------------------------------------------- several threads

cdef struct Leaves:
    const TrieItem* items         # sorted, more than one
    size_t count
    Reference* references
    uint32_t failed


cdef uint32_t common_nibbles(const TrieItem* a, const TrieItem* b) noexcept nogil:
    cdef uint32_t end = 2 * min(a.key_size, b.key_size), i = 0
    while i < end and nibble(a.key, i) == nibble(b.key, i):
        i += 1
    return i


cdef void make_leaves(void* context, uint64_t first, uint64_t end) noexcept nogil:
    """A leaf hangs on the branch where its key parts from the nearer of its neighbours', one nibble down. Keys that others
    start with end in a branch; what is made for them here is not used."""
    cdef Leaves* leaves = <Leaves*>context
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef Builder builder
    cdef uint8_t[MAX_KEY_SIZE + 1] path
    cdef const TrieItem* item
    cdef uint32_t depth
    cdef size_t path_size
    cdef uint64_t i
    builder.node = &scratch
    for i in range(first, end):
        item = &leaves.items[i]
        depth = 0
        if i:
            depth = common_nibbles(item - 1, item)
        if i + 1 < leaves.count:
            depth = max(depth, common_nibbles(item, item + 1))
        if depth < 2 * item.key_size:
            path_size = hex_prefix(path, item.key, depth + 1, 2 * item.key_size, LEAF)
            if not put_pair(&builder, path, path_size, item.value, item.value_size, False):
                leaves.failed = 1
                break
            refer(&scratch, &leaves.references[i])
    buffer_free(&scratch)


cdef bint trie_root_threaded(TrieItem* items, size_t count, unsigned int threads, uint8_t* root) noexcept nogil:
    cdef Leaves leaves
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef bint done = False
    if threads <= 1 or count < 2 * LEAVES_AT_ONCE:
        return trie_root(items, count, root)
    leaves.count = sort_items(items, count)
    leaves.items = items
    leaves.failed = 0
    leaves.references = <Reference*>malloc(leaves.count * sizeof(Reference))
    if leaves.references == NULL:
        return False
    for_each(threads, leaves.count, LEAVES_AT_ONCE, make_leaves, &leaves)
    if not leaves.failed:
        done = root_of_sorted(items, leaves.count, leaves.references if leaves.count > 1 else NULL, &scratch, root)
    free(leaves.references)
    buffer_free(&scratch)
    return done


# ---------------------------------------------------------------------------------------------------- state

cdef bint storage_root(StateTrie* trie, const u256* slots, size_t slot_count, uint8_t* root) noexcept nogil:
    """Uses the buffers of `trie` but the leaves."""
    cdef size_t i, used = 0
    cdef uint8_t[32] word
    cdef uint8_t* pair
    cdef TrieItem* item
    for i in range(slot_count):
        used += not u_is_zero(&slots[2 * i + 1])
    trie.slots.size = 0
    trie.items.size = 0
    if buffer_reserve(&trie.slots, used * 65) == NULL or buffer_reserve(&trie.items, used * sizeof(TrieItem)) == NULL:
        return used == 0 and root_with(NULL, 0, &trie.scratch, root)
    pair = trie.slots.data
    item = <TrieItem*>trie.items.data
    for i in range(slot_count):
        if u_is_zero(&slots[2 * i + 1]):
            continue
        u_to_be(word, &slots[2 * i])
        keccak256(word, 32, pair)
        item.key = pair
        item.key_size = 32
        item.value = pair + 32
        item.value_size = <uint32_t>rlp_u256_size(&slots[2 * i + 1])
        rlp_put_u256(pair + 32, &slots[2 * i + 1])
        pair += 65
        item += 1
    return root_with(<TrieItem*>trie.items.data, used, &trie.scratch, root)


cdef bint state_trie_add(
    StateTrie* trie, const uint8_t* address, uint64_t nonce, const u256* balance, const uint8_t* code_hash,
    const u256* slots, size_t slot_count,
) noexcept nogil:
    cdef uint8_t[32] root
    cdef size_t payload = rlp_uint_size(nonce) + rlp_u256_size(balance) + 33 + 33
    cdef uint32_t size = <uint32_t>(rlp_header_size(payload) + payload)
    cdef uint8_t* at
    if not storage_root(trie, slots, slot_count, root):
        return False
    at = buffer_reserve(&trie.leaves, 32 + sizeof(uint32_t) + size)
    if at == NULL:
        return False
    keccak256(address, 20, at)
    memcpy(at + 32, &size, sizeof(uint32_t))
    at = rlp_put_header(at + 32 + sizeof(uint32_t), RLP_LIST, payload)
    at = rlp_put_uint(at, nonce)
    at = rlp_put_u256(at, balance)
    at = rlp_put_bytes(at, root, 32)
    at = rlp_put_bytes(at, code_hash, 32)
    trie.leaves.size += 32 + sizeof(uint32_t) + size
    trie.count += 1
    return True


cdef bint state_trie_root(StateTrie* trie, uint8_t* root) noexcept nogil:
    cdef const uint8_t* leaf = trie.leaves.data
    cdef TrieItem* item
    cdef size_t i
    trie.items.size = 0
    if trie.count and buffer_reserve(&trie.items, trie.count * sizeof(TrieItem)) == NULL:
        return False
    item = <TrieItem*>trie.items.data
    for i in range(trie.count):
        item.key = leaf
        item.key_size = 32
        memcpy(&item.value_size, leaf + 32, sizeof(uint32_t))
        item.value = leaf + 32 + sizeof(uint32_t)
        leaf = item.value + item.value_size
        item += 1
    return root_with(<TrieItem*>trie.items.data, trie.count, &trie.scratch, root)


cdef void state_trie_free(StateTrie* trie) noexcept nogil:
    buffer_free(&trie.leaves)
    buffer_free(&trie.items)
    buffer_free(&trie.slots)
    buffer_free(&trie.scratch)
    trie.count = 0


# ---------------------------------------------------------------------------------------------------- for Python

cdef object no_memory():
    return ResourceError("trie: not enough memory")


cdef bytes digest(const uint8_t* data, size_t size):
    cdef uint8_t[32] out
    keccak256(data, size, out)
    return PyBytes_FromStringAndSize(<char*>out, 32)


cdef bytes checked(object value, str name):
    if not isinstance(value, bytes):
        raise InputError(f"argument '{name}': expected bytes, got {type(value).__name__}")
    return value


cdef bytes checked_key(object value, bint secure):
    cdef bytes key = checked(value, "key")
    if secure:
        return digest(<const uint8_t*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    if PyBytes_GET_SIZE(key) > MAX_KEY_SIZE:
        raise InputError(f"argument 'key': expected at most {MAX_KEY_SIZE} bytes, got {PyBytes_GET_SIZE(key)}")
    return key


cdef dict collected(object items, bint secure):
    """The pairs that are in the trie: the last of those with the same key, if its value is not empty."""
    cdef dict pairs = {}
    for key, value in items.items() if hasattr(items, "items") else items:
        key = checked_key(key, secure)
        if checked(value, "value"):
            pairs[key] = value
        else:
            pairs.pop(key, None)
    return pairs


cdef bytes native(dict pairs):
    """The pairs as `TrieItem`s, which borrow from them."""
    cdef bytes memory = PyBytes_FromStringAndSize(NULL, len(pairs) * sizeof(TrieItem))
    cdef TrieItem* item = <TrieItem*>PyBytes_AS_STRING(memory)
    cdef bytes key, value
    for key, value in pairs.items():
        if PyBytes_GET_SIZE(value) > 0xffffffff:
            raise InputError("argument 'value': expected less than 4 GiB")
        item.key = <const uint8_t*>PyBytes_AS_STRING(key)
        item.key_size = <uint32_t>PyBytes_GET_SIZE(key)
        item.value = <const uint8_t*>PyBytes_AS_STRING(value)
        item.value_size = <uint32_t>PyBytes_GET_SIZE(value)
        item += 1
    return memory


cdef bytes root_of_pairs(dict pairs, unsigned int threads=1):
    cdef bytes memory = native(pairs)
    cdef TrieItem* items = <TrieItem*>PyBytes_AS_STRING(memory)
    cdef size_t count = len(pairs)
    cdef uint8_t[32] root
    cdef bint done
    with nogil:
        done = trie_root_threaded(items, count, threads, root)
    if not done:
        raise no_memory()
    return PyBytes_FromStringAndSize(<char*>root, 32)


def root_of(items, bint secure=False):
    return root_of_pairs(collected(items, secure))


def ordered_root(values, unsigned int threads=1):
    cdef dict pairs = {}
    cdef uint8_t[9] key
    cdef uint64_t index = 0
    for value in values:
        if not checked(value, "values"):
            raise InputError(f"argument 'values': value {index} is empty")
        pairs[PyBytes_FromStringAndSize(<char*>key, rlp_put_uint(key, index) - key)] = value
        index += 1
    return root_of_pairs(pairs, threads)


def proof(items, key, bint secure=False):
    cdef dict pairs = collected(items, secure)
    cdef bytes target = checked_key(key, secure)
    cdef bytes memory = native(pairs)
    cdef TrieItem* first = <TrieItem*>PyBytes_AS_STRING(memory)
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef Buffer record = Buffer(NULL, 0, 0)
    cdef Builder builder
    cdef size_t count = len(pairs), at = 0, size
    cdef bint done
    cdef list nodes = []
    if count == 0:
        return nodes
    builder.items = first
    builder.leaves = NULL
    builder.node = &scratch
    builder.target = <const uint8_t*>PyBytes_AS_STRING(target)
    builder.target_size = <uint32_t>PyBytes_GET_SIZE(target)
    builder.record = &record
    with nogil:
        done = put_node(&builder, 0, sort_items(first, count), 0)
    try:
        if not done:
            raise no_memory()
        while at < record.size:
            memcpy(&size, record.data + at, sizeof(size_t))
            at += sizeof(size_t)
            nodes.append(PyBytes_FromStringAndSize(<char*>record.data + at, size))
            at += size
    finally:
        buffer_free(&scratch)
        buffer_free(&record)
    nodes.reverse()
    return nodes


def state_root(accounts):
    cdef StateTrie trie = StateTrie(Buffer(NULL, 0, 0), Buffer(NULL, 0, 0), Buffer(NULL, 0, 0), Buffer(NULL, 0, 0), 0)
    cdef uint8_t[32] root
    cdef u256 balance
    cdef bytes code_hash, slots
    cdef const uint8_t* address_bytes
    cdef const uint8_t* code_hash_bytes
    cdef const u256* pairs
    cdef size_t slot_count
    cdef uint64_t nonce
    cdef bint done
    try:
        for address, account in accounts.items():
            if len(checked(address, "accounts")) != 20:
                raise InputError(f"argument 'accounts': expected addresses of 20 bytes, got {len(address)}")
            nonce = account.nonce
            balance = u256_from_int(account.balance, "balance")
            code_hash = digest(<const uint8_t*>PyBytes_AS_STRING(account.code), PyBytes_GET_SIZE(account.code))
            slots = words(account.storage)
            slot_count = len(account.storage)
            address_bytes = <const uint8_t*>PyBytes_AS_STRING(address)
            code_hash_bytes = <const uint8_t*>PyBytes_AS_STRING(code_hash)
            pairs = <const u256*>PyBytes_AS_STRING(slots)
            with nogil:
                done = state_trie_add(&trie, address_bytes, nonce, &balance, code_hash_bytes, pairs, slot_count)
            if not done:
                raise no_memory()
        with nogil:
            done = state_trie_root(&trie, root)
        if not done:
            raise no_memory()
    finally:
        state_trie_free(&trie)
    return PyBytes_FromStringAndSize(<char*>root, 32)


cdef bytes words(dict storage):
    """Slots and values as pairs of words."""
    cdef bytes memory = PyBytes_FromStringAndSize(NULL, len(storage) * 2 * sizeof(u256))
    cdef u256* at = <u256*>PyBytes_AS_STRING(memory)
    for slot, value in storage.items():
        at[0] = u256_from_int(slot, "slot")
        at[1] = u256_from_int(value, "value")
        at += 2
    return memory
