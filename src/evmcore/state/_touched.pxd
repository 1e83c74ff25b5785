"""What changed in a store since its trie was brought up to date: addresses and slots, not values."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from evmcore._u256 cimport u256

cdef enum TouchKind:
    TOUCHED_ACCOUNT               # nonce, balance or code, or whether there is one
    TOUCHED_SLOT
    TOUCHED_STORAGE               # all of it: destroyed, or put back

cdef struct Touch:
    u256 key                      # of a slot
    uint8_t[20] address
    uint8_t kind                  # of TouchKind

cdef struct Touched:              # all zero: nobody wants to know
    bint wanted
    bint lost                     # there was no room: it is not known any more what changed
    Touch* items
    size_t count
    size_t capacity

cdef void note_touch(Touched* touched, TouchKind kind, const uint8_t* address, const u256* key) noexcept nogil


cdef inline void touch(Touched* touched, TouchKind kind, const uint8_t* address, const u256* key) noexcept nogil:
    """`key`: of a slot, else NULL."""
    if touched.wanted:
        note_touch(touched, kind, address, key)


# From here on; what was noted before is forgotten.
cdef void touched_begin(Touched* touched) noexcept nogil
cdef void touched_end(Touched* touched) noexcept nogil                   # nobody wants to know any more
