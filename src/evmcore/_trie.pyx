"""Roots and proofs of Merkle-Patricia tries. See `_trie.pxd`."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcmp, memcpy, memset

from evmcore._hash cimport keccak256
from evmcore._rlp cimport Buffer, buffer_free
from evmcore._sync cimport is_to_stop
from evmcore._trie_nodes cimport (
    EMPTY_NODE, Reference, common_nibbles, nibble, no_children, put_branch, put_extension, put_leaf, refer,
)
from evmcore._trie_record cimport record_put
from evmcore._workers cimport for_each

cdef struct Builder:
    const TrieItem* items
    const Reference* leaves       # per item its leaf, made ahead; NULL: none
    Buffer* node                  # the encoding of the last built node, from the start of the buffer
    const uint8_t* target         # the key whose path is recorded, or NULL
    uint32_t target_size
    Buffer* record                # nodes on the path, each after its size: the deepest first
    const uint32_t* stop          # once it is set, no more nodes are built; NULL: never

cdef enum:
    LEAVES_AT_ONCE = 32           # leaves that a thread makes at a time

cdef uint8_t EMPTY = EMPTY_NODE


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
    """Sorts the items and drops repeated keys; returns the number of items left."""
    cdef size_t i, kept = 0
    qsort(items, count, sizeof(TrieItem), compare)
    for i in range(count):
        if kept == 0 or compare(&items[kept - 1], &items[i]) != 0:
            items[kept] = items[i]
            kept += 1
    return kept


# ---------------------------------------------------------------------------------------------------- nodes

cdef bint put_below(Builder* builder, size_t low, size_t high, uint32_t depth) noexcept nogil:
    cdef Reference[16] children
    cdef const TrieItem* here = NULL
    cdef size_t i = low, end
    cdef uint8_t digit
    no_children(children)
    # A key that ends here is sorted before all keys of which it is a prefix.
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
    return put_branch(builder.node, children, here.value if here != NULL else NULL, here.value_size if here != NULL else 0)


cdef bint put_node(Builder* builder, size_t low, size_t high, uint32_t depth) noexcept nogil:
    """Encodes the node of the items `low` to `high`, whose keys agree in the first `depth` nibbles.

    The recursion is bounded: a branch consumes one nibble, an extension at least one, and no key has more than 128
    nibbles.
    """
    cdef const TrieItem* first = &builder.items[low]
    cdef const TrieItem* last = &builder.items[high - 1]
    cdef uint32_t end = 2 * first.key_size, common
    cdef Reference child
    if is_to_stop(builder.stop):
        return False
    if high - low == 1:
        if not put_leaf(builder.node, first.key, depth, end, first.value, first.value_size):
            return False
    else:
        # The items are sorted: the nibbles that the first and the last key share, all keys share.
        if 2 * last.key_size < end:
            end = 2 * last.key_size
        common = common_nibbles(first.key, last.key, depth, end)
        if common > depth:
            if not put_node(builder, low, high, common):
                return False
            refer(builder.node, &child)
            if not put_extension(builder.node, first.key, depth, common, &child):
                return False
        elif not put_below(builder, low, high, depth):
            return False
    return builder.target == NULL or record_node(builder, first.key, depth)


cdef bint record_node(Builder* builder, const uint8_t* key, uint32_t depth) noexcept nogil:
    """Records the node for a proof if it is on the target's path and not inside its parent."""
    cdef uint32_t i
    if depth > 2 * builder.target_size:
        return True
    for i in range(depth):
        if nibble(key, i) != nibble(builder.target, i):
            return True
    return record_put(builder.record, builder.node, depth == 0)


cdef bint trie_root_with(
    TrieItem* items, size_t count, Buffer* scratch, const uint32_t* stop, uint8_t* root
) noexcept nogil:
    if count == 0:
        keccak256(&EMPTY, 1, root)
        return True
    return root_of_sorted(items, sort_items(items, count), NULL, scratch, stop, root)


cdef bint root_of_sorted(
    const TrieItem* items, size_t count, const Reference* leaves, Buffer* scratch, const uint32_t* stop, uint8_t* root
) noexcept nogil:
    cdef Builder builder
    builder.items = items
    builder.leaves = leaves
    builder.node = scratch
    builder.target = NULL
    builder.target_size = 0
    builder.record = NULL
    builder.stop = stop
    if not put_node(&builder, 0, count, 0):
        return False
    keccak256(scratch.data, scratch.size, root)
    return True


cdef bint trie_root(TrieItem* items, size_t count, const uint32_t* stop, uint8_t* root) noexcept nogil:
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef bint done = trie_root_with(items, count, &scratch, stop, root)
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
    builder.stop = NULL
    done = put_node(&builder, 0, sort_items(items, count), 0)
    buffer_free(&scratch)
    return done


# ---------------------------------------------------------------------------------------------------- several threads

cdef struct Leaves:
    const TrieItem* items         # sorted, more than one
    size_t count
    Reference* references
    const uint32_t* stop          # as a builder's
    uint32_t failed


cdef uint32_t common_depth(const TrieItem* a, const TrieItem* b) noexcept nogil:
    return common_nibbles(a.key, b.key, 0, 2 * min(a.key_size, b.key_size))


cdef void make_leaves(void* context, uint64_t first, uint64_t end) noexcept nogil:
    """A leaf begins one nibble below the branch where its key parts from the nearer of its neighbours. A key that is a prefix
    of other keys ends in a branch; the leaf made for it here is not used."""
    cdef Leaves* leaves = <Leaves*>context
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef const TrieItem* item
    cdef uint32_t depth
    cdef uint64_t i
    for i in range(first, end):
        if is_to_stop(leaves.stop):
            leaves.failed = 1
            break
        item = &leaves.items[i]
        depth = 0
        if i:
            depth = common_depth(item - 1, item)
        if i + 1 < leaves.count:
            depth = max(depth, common_depth(item, item + 1))
        if depth < 2 * item.key_size:
            if not put_leaf(&scratch, item.key, depth + 1, 2 * item.key_size, item.value, item.value_size):
                leaves.failed = 1
                break
            refer(&scratch, &leaves.references[i])
    buffer_free(&scratch)


# For evenly spread keys, such as hashes: each child of the root is built separately, including the sort.
cdef struct Children:
    TrieItem* items               # by first nibble
    size_t[17] first
    Reference[16] references
    const uint32_t* stop          # as a builder's
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
    builder.stop = children.stop
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
    """The index at which the items of each first nibble begin after sorting. False: the keys are not spread evenly."""
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
    if not children.failed and put_branch(&scratch, children.references, NULL, 0):
        keccak256(scratch.data, scratch.size, root)
        done = True
    free(children.items)
    buffer_free(&scratch)
    return done


cdef bint trie_root_threaded(
    TrieItem* items, size_t count, unsigned int threads, const uint32_t* stop, uint8_t* root
) noexcept nogil:
    cdef Children children
    cdef Leaves leaves
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef bint done = False
    if threads <= 1 or count < 2 * LEAVES_AT_ONCE:
        return trie_root(items, count, stop, root)
    children.stop = leaves.stop = stop
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
        done = root_of_sorted(items, leaves.count, leaves.references if leaves.count > 1 else NULL, &scratch, stop, root)
    free(leaves.references)
    buffer_free(&scratch)
    return done
