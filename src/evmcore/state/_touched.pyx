"""Notes of changes; see `_touched.pxd`."""
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

cdef enum:
    MOST = 1 << 18                # beyond this no root is needed any more, or a new trie is hardly more work


cdef void note_touch(Touched* touched, TouchKind kind, const uint8_t* address, const u256* key) noexcept nogil:
    cdef Touch* item
    if touched.count == touched.capacity and not grow(touched):
        touched_end(touched)
        touched.lost = True
        return
    item = &touched.items[touched.count]
    touched.count += 1
    item.kind = kind
    memcpy(item.address, address, 20)
    if key != NULL:
        item.key = key[0]


cdef bint grow(Touched* touched) noexcept nogil:
    cdef size_t capacity = 2 * touched.capacity + 64
    cdef Touch* items
    if capacity > MOST:
        return False
    items = <Touch*>realloc(touched.items, capacity * sizeof(Touch))
    if items == NULL:
        return False
    touched.items = items
    touched.capacity = capacity
    return True


cdef void touched_begin(Touched* touched) noexcept nogil:
    touched.wanted = True
    touched.lost = False
    touched.count = 0


cdef void touched_end(Touched* touched) noexcept nogil:
    free(touched.items)
    memset(touched, 0, sizeof(Touched))
