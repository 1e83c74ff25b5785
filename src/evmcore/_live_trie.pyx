"""Tries that are kept; see `_live_trie.pxd`."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._hash cimport keccak256
from evmcore._rlp cimport Buffer, buffer_free
from evmcore._sync cimport is_to_stop
from evmcore._trie_nodes cimport EMPTY_NODE, common_nibbles, nibble, no_children, put_branch, put_extension, put_leaf, refer
from evmcore._trie_record cimport record_put
from evmcore._workers cimport for_each

cdef enum:
    KEY_NIBBLES = 64

cdef uint8_t EMPTY = EMPTY_NODE


cdef inline bint is_leaf(const LiveNode* node) noexcept nogil:
    return node.depth == KEY_NIBBLES


cdef inline size_t leaf_bytes(size_t value_size) noexcept nogil:
    return sizeof(LiveLeaf) + value_size


# ---------------------------------------------------------------------------------------------------- all nodes

cdef void free_node(LiveNode* node) noexcept nogil:
    cdef LiveTrie* below
    cdef int i
    if is_leaf(node):
        below = (<LiveLeaf*>node).below
        if below != NULL:
            live_free(below)
            free(below)
    else:
        for i in range(16):
            if (<LiveBranch*>node).children[i] != NULL:
                free_node((<LiveBranch*>node).children[i])
    free(node)


cdef void live_free(LiveTrie* trie) noexcept nogil:
    if trie.root != NULL:
        free_node(trie.root)
    memset(trie, 0, sizeof(LiveTrie))


cdef size_t bytes_below(const LiveNode* node) noexcept nogil:
    cdef const LiveTrie* below
    cdef size_t total = 0
    cdef int i
    if is_leaf(node):
        below = (<const LiveLeaf*>node).below
        return sizeof(LiveTrie) + live_bytes(below) if below != NULL else 0
    for i in range(16):
        if (<const LiveBranch*>node).children[i] != NULL:
            total += bytes_below((<const LiveBranch*>node).children[i])
    return total


cdef size_t live_bytes(const LiveTrie* trie) noexcept nogil:
    return trie.bytes + (bytes_below(trie.root) if trie.root != NULL else 0)


# ---------------------------------------------------------------------------------------------------- changing

cdef LiveLeaf* live_find(const LiveTrie* trie, const uint8_t* key) noexcept nogil:
    cdef LiveNode* node = trie.root
    while node != NULL and not is_leaf(node):
        node = (<LiveBranch*>node).children[nibble(key, node.depth)]
    return <LiveLeaf*>node if node != NULL and memcmp(node.key, key, 32) == 0 else NULL


cdef LiveLeaf* new_leaf(LiveTrie* trie, const uint8_t* key, const uint8_t* value, size_t size) noexcept nogil:
    cdef LiveLeaf* leaf = <LiveLeaf*>malloc(leaf_bytes(size))
    if leaf == NULL:
        return NULL
    leaf.node.reference.size = 0
    leaf.node.depth = KEY_NIBBLES
    memcpy(leaf.node.key, key, 32)
    leaf.below = NULL
    leaf.value_size = <uint8_t>size
    memcpy(leaf.value, value, size)
    trie.bytes += leaf_bytes(size)
    return leaf


cdef void drop_leaf(LiveTrie* trie, LiveLeaf* leaf) noexcept nogil:
    trie.bytes -= leaf_bytes(leaf.value_size)
    free_node(&leaf.node)


cdef void mark_path(LiveTrie* trie, const uint8_t* key, uint32_t depth) noexcept nogil:
    """Drops the references on the path to the key, because a node at `depth` or below has changed."""
    cdef LiveNode* node = trie.root
    while node != NULL and node.depth <= depth and not is_leaf(node):
        node.reference.size = 0
        node = (<LiveBranch*>node).children[nibble(key, node.depth)]


cdef LiveLeaf* live_put(LiveTrie* trie, const uint8_t* key, const uint8_t* value, size_t size) noexcept nogil:
    cdef LiveNode** place = &trie.root
    cdef LiveNode* node = trie.root
    cdef LiveLeaf* leaf
    cdef LiveBranch* branch
    cdef uint32_t depth = 0, common
    while node != NULL:
        common = common_nibbles(node.key, key, depth, node.depth)
        if common < node.depth:
            return put_beside(trie, place, common, key, value, size)
        if is_leaf(node):
            return replace_value(trie, place, value, size)
        depth = node.depth
        branch = <LiveBranch*>node
        place = &branch.children[nibble(key, depth)]
        node = place[0]
    leaf = new_leaf(trie, key, value, size)
    if leaf != NULL:
        place[0] = &leaf.node
        mark_path(trie, key, depth)
    return leaf


cdef LiveLeaf* put_beside(
    LiveTrie* trie, LiveNode** place, uint32_t depth, const uint8_t* key, const uint8_t* value, size_t size
) noexcept nogil:
    """Puts a branch in the place of the node at `place`, for that node and for the key, which parts from it at `depth`."""
    cdef LiveNode* node = place[0]
    cdef LiveBranch* branch = <LiveBranch*>malloc(sizeof(LiveBranch))
    cdef LiveLeaf* leaf = new_leaf(trie, key, value, size) if branch != NULL else NULL
    if leaf == NULL:
        free(branch)
        return NULL
    memset(branch, 0, sizeof(LiveBranch))
    branch.node.depth = <uint8_t>depth
    memcpy(branch.node.key, key, 32)
    branch.children[nibble(node.key, depth)] = node
    branch.children[nibble(key, depth)] = &leaf.node
    trie.bytes += sizeof(LiveBranch)
    node.reference.size = 0                      # its part of the path is shorter now
    place[0] = &branch.node
    mark_path(trie, key, depth)
    return leaf


cdef LiveLeaf* replace_value(LiveTrie* trie, LiveNode** place, const uint8_t* value, size_t size) noexcept nogil:
    cdef LiveLeaf* leaf = <LiveLeaf*>place[0]
    cdef LiveLeaf* fresh
    if leaf.value_size == size and memcmp(leaf.value, value, size) == 0:
        return leaf
    if leaf.value_size != size:
        fresh = new_leaf(trie, leaf.node.key, value, size)
        if fresh == NULL:
            return NULL
        fresh.below = leaf.below
        leaf.below = NULL
        drop_leaf(trie, leaf)
        place[0] = &fresh.node
        leaf = fresh
    memcpy(leaf.value, value, size)
    leaf.node.reference.size = 0
    mark_path(trie, leaf.node.key, KEY_NIBBLES)
    return leaf


cdef void live_remove(LiveTrie* trie, const uint8_t* key) noexcept nogil:
    cdef LiveNode** place = &trie.root
    cdef LiveNode** above = NULL                 # the pointer to the leaf's parent branch
    cdef LiveNode* node = trie.root
    cdef LiveNode* only = NULL
    cdef LiveBranch* branch
    cdef int i, left = 0
    while node != NULL and not is_leaf(node):
        above = place
        place = &(<LiveBranch*>node).children[nibble(key, node.depth)]
        node = place[0]
    if node == NULL or memcmp(node.key, key, 32) != 0:
        return
    mark_path(trie, key, KEY_NIBBLES)
    drop_leaf(trie, <LiveLeaf*>node)
    place[0] = NULL
    if above == NULL:
        return
    branch = <LiveBranch*>above[0]
    for i in range(16):
        if branch.children[i] != NULL:
            only = branch.children[i]
            left += 1
    if left == 1:
        only.reference.size = 0                  # its part of the path is longer now
        above[0] = only
        trie.bytes -= sizeof(LiveBranch)
        free(branch)


# ---------------------------------------------------------------------------------------------------- the root

cdef bint encode(LiveNode* node, uint32_t depth, const uint32_t* stop, Buffer* scratch) noexcept nogil:
    """Encodes the node whose part of the path begins at `depth`. False: no memory, or `stop` was set."""
    cdef Reference inner
    cdef LiveLeaf* leaf
    if is_leaf(node):
        leaf = <LiveLeaf*>node
        return put_leaf(scratch, node.key, depth, KEY_NIBBLES, leaf.value, leaf.value_size)
    if not encode_branch(<LiveBranch*>node, stop, scratch):
        return False
    if node.depth == depth:
        return True
    refer(scratch, &inner)
    return put_extension(scratch, node.key, depth, node.depth, &inner)


cdef bint encode_branch(LiveBranch* branch, const uint32_t* stop, Buffer* scratch) noexcept nogil:
    cdef Reference[16] children
    cdef LiveNode* child
    cdef int i
    if is_to_stop(stop):
        return False
    no_children(children)
    for i in range(16):
        child = branch.children[i]
        if child != NULL:
            if not make_reference(child, branch.node.depth + 1, stop, scratch):
                return False
            children[i] = child.reference
    return put_branch(scratch, children, NULL, 0)


cdef bint make_reference(LiveNode* node, uint32_t depth, const uint32_t* stop, Buffer* scratch) noexcept nogil:
    if node.reference.size == 0:
        if not encode(node, depth, stop, scratch):
            return False
        refer(scratch, &node.reference)
    return True


cdef struct Children:
    LiveBranch* branch
    const uint32_t* stop
    uint32_t failed


cdef void make_references(void* context, uint64_t first, uint64_t end) noexcept nogil:
    """Computes the references of some of a branch's children."""
    cdef Children* made = <Children*>context
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef LiveNode* child
    cdef uint64_t i
    for i in range(first, end):
        child = made.branch.children[i]
        if child != NULL and not make_reference(child, made.branch.node.depth + 1, made.stop, &scratch):
            made.failed = 1
    buffer_free(&scratch)


cdef bint live_root(LiveTrie* trie, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil:
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef Children children
    cdef bint done
    if trie.root == NULL:
        keccak256(&EMPTY, 1, root)
        return True
    if trie.root.reference.size == 33:
        memcpy(root, trie.root.reference.data + 1, 32)
        return True
    if threads > 1 and not is_leaf(trie.root):
        children.branch = <LiveBranch*>trie.root
        children.stop = stop
        children.failed = 0
        for_each(threads, 16, 1, make_references, &children)
        if children.failed:
            return False
    done = encode(trie.root, 0, stop, &scratch)
    if done:
        # The root is hashed even if it is short. Its reference can hold the hash, because no parent uses it.
        keccak256(scratch.data, scratch.size, root)
        trie.root.reference.size = 33
        memcpy(trie.root.reference.data + 1, root, 32)
    buffer_free(&scratch)
    return done


# ---------------------------------------------------------------------------------------------------- proofs

cdef bint record_way(
    LiveNode* node, const uint8_t* key, const uint32_t* stop, Buffer* inner, Buffer* outer, Buffer* record
) noexcept nogil:
    """Records the nodes from the root down to where the path of the key ends. `inner` and `outer`: scratch."""
    cdef Reference reference
    cdef uint32_t depth = 0
    while node != NULL:
        if is_leaf(node):
            return encode(node, depth, stop, inner) and record_put(record, inner, depth == 0)
        if not encode_branch(<LiveBranch*>node, stop, inner):
            return False
        if node.depth > depth:
            refer(inner, &reference)
            if not put_extension(outer, node.key, depth, node.depth, &reference) or not record_put(record, outer, depth == 0):
                return False
            if common_nibbles(node.key, key, depth, node.depth) < node.depth:
                return True                      # the key is not below this node
        if not record_put(record, inner, node.depth == 0):
            return False
        depth = node.depth + 1
        node = (<LiveBranch*>node).children[nibble(key, node.depth)]
    return True


cdef bint live_proof(LiveTrie* trie, const uint8_t* key, const uint32_t* stop, Buffer* record) noexcept nogil:
    cdef Buffer inner = Buffer(NULL, 0, 0)
    cdef Buffer outer = Buffer(NULL, 0, 0)
    cdef bint done = record_way(trie.root, key, stop, &inner, &outer, record)
    buffer_free(&inner)
    buffer_free(&outer)
    return done
