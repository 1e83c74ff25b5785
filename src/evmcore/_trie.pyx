"""Roots and proofs of Merkle-Patricia tries. See `_trie.pxd`."""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcmp, memcpy, memset

from evmcore._hash cimport keccak256
from evmcore._rlp cimport (
    RLP_LIST, Buffer, buffer_free, buffer_reserve, rlp_bytes_size, rlp_header_size, rlp_put_bytes, rlp_put_header,
)
from evmcore._workers cimport for_each

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


cdef void no_children(Reference* children) noexcept nogil:
    cdef int child
    for child in range(16):
        children[child].size = 1
        children[child].data[0] = EMPTY_NODE


cdef bint put_children(Buffer* node, const Reference* children, const TrieItem* here) noexcept nogil:
    """A branch. `here`: the item whose key ends there, or NULL."""
    cdef size_t payload = rlp_bytes_size(here.value, here.value_size) if here != NULL else 1
    cdef int child
    cdef uint8_t* at
    for child in range(16):
        payload += children[child].size
    node.size = 0
    at = buffer_reserve(node, rlp_header_size(payload) + payload)
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
    node.size = <size_t>(at - node.data)
    return True


cdef bint put_branch(Builder* builder, size_t low, size_t high, uint32_t depth) noexcept nogil:
    cdef Reference[16] children
    cdef const TrieItem* here = NULL
    cdef size_t i = low, end
    cdef uint8_t digit
    no_children(children)
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
    return put_children(builder.node, children, here)


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


cdef bint trie_root_with(TrieItem* items, size_t count, Buffer* scratch, uint8_t* root) noexcept nogil:
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
    cdef bint done = trie_root_with(items, count, &scratch, root)
    buffer_free(&scratch)
    return done


cdef bint trie_proof(
    TrieItem* items, size_t count, const uint8_t* key, uint32_t key_size, Buffer* record
) noexcept nogil:
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef Builder builder
    cdef bint done
    if count == 0:
        return True
    builder.items = items
    builder.leaves = NULL
    builder.node = &scratch
    builder.target = key
    builder.target_size = key_size
    builder.record = record
    done = put_node(&builder, 0, sort_items(items, count), 0)
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


# Where keys are spread evenly, as hashes are: each child of the root by itself, sorting included.
cdef struct Children:
    TrieItem* items               # by first nibble
    size_t[17] first
    Reference[16] references
    uint32_t failed


cdef void make_children(void* context, uint64_t first, uint64_t end) noexcept nogil:
    cdef Children* children = <Children*>context
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef Builder builder
    cdef TrieItem* items
    cdef size_t count
    cdef uint64_t i
    memset(&builder, 0, sizeof(Builder))
    builder.node = &scratch
    for i in range(first, end):
        items = children.items + children.first[i]
        count = children.first[i + 1] - children.first[i]
        if count == 0:
            continue
        builder.items = items
        if not put_node(&builder, 0, sort_items(items, count), 1):
            children.failed = 1
            break
        refer(&scratch, &children.references[i])
    buffer_free(&scratch)


cdef bint first_nibbles(const TrieItem* items, size_t count, size_t* first) noexcept nogil:
    """Where the items of each first nibble begin when they are put in order. False: they are not spread evenly."""
    cdef size_t[16] counts
    cdef size_t i
    memset(counts, 0, sizeof(counts))
    for i in range(count):
        if items[i].key_size == 0:
            return False
        counts[nibble(items[i].key, 0)] += 1
    first[0] = 0
    for i in range(16):
        if counts[i] > count // 4:
            return False
        first[i + 1] = first[i] + counts[i]
    return True


cdef bint root_by_children(Children* children, const TrieItem* items, size_t count, unsigned int threads, uint8_t* root) noexcept nogil:
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef size_t[16] place
    cdef size_t i
    cdef uint8_t digit
    cdef bint done = False
    memcpy(place, children.first, sizeof(place))
    children.items = <TrieItem*>malloc(count * sizeof(TrieItem))
    if children.items == NULL:
        return False
    for i in range(count):
        digit = nibble(items[i].key, 0)
        children.items[place[digit]] = items[i]
        place[digit] += 1
    no_children(children.references)
    children.failed = 0
    for_each(threads, 16, 1, make_children, children)
    if not children.failed and put_children(&scratch, children.references, NULL):
        keccak256(scratch.data, scratch.size, root)
        done = True
    free(children.items)
    buffer_free(&scratch)
    return done


cdef bint trie_root_threaded(TrieItem* items, size_t count, unsigned int threads, uint8_t* root) noexcept nogil:
    cdef Children children
    cdef Leaves leaves
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef bint done = False
    if threads <= 1 or count < 2 * LEAVES_AT_ONCE:
        return trie_root(items, count, root)
    if first_nibbles(items, count, children.first):
        return root_by_children(&children, items, count, threads, root)
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
