"""Notes of the changes in a store since its trie was brought up to date: addresses and slots, not values."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from evmcore._u256 cimport u256

cdef enum TouchKind:
    TOUCHED_ACCOUNT               # nonce, balance, code or existence
    TOUCHED_SLOT
    TOUCHED_STORAGE               # the whole storage: destroyed, or restored

cdef struct Touch:
    u256 key                      # of a slot
    uint8_t[20] address
    uint8_t kind                  # of TouchKind

cdef struct Touched:              # zeroed: no notes are taken
    bint wanted
    bint lost                     # there was no room: the notes are incomplete
    Touch* items
    size_t count
    size_t capacity

cdef void note_touch(Touched* touched, TouchKind kind, const uint8_t* address, const u256* key) noexcept nogil


cdef inline void touch(Touched* touched, TouchKind kind, const uint8_t* address, const u256* key) noexcept nogil:
    """`key`: the slot's key, else NULL."""
    if touched.wanted:
        note_touch(touched, kind, address, key)


# Takes notes from now on; earlier notes are dropped.
cdef void touched_begin(Touched* touched) noexcept nogil
cdef void touched_end(Touched* touched) noexcept nogil                   # takes no more notes
