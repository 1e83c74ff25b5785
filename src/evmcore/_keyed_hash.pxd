"""Keyed hashes for tables whose keys come from outside (`include/keyed_hash.h`); all inline, no module of its own."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "include/keyed_hash.h" nogil:
    ctypedef struct HashKey:
        pass
    uint64_t hash_words4(const HashKey& key, const uint64_t* words)
    uint64_t hash_bytes32(const HashKey& key, const uint8_t* data)
    uint64_t hash_address(const HashKey& key, const uint8_t* address)
    uint64_t hash_slot(const HashKey& key, uint32_t account, const uint64_t* slot)


cdef inline int draw_key(HashKey* key) except -1:
    """Fills a key with random bytes. Each module draws one for its tables when it is imported."""
    import os

    cdef bytes drawn = os.urandom(sizeof(HashKey))
    memcpy(key, <const uint8_t*>drawn, sizeof(HashKey))
    return 0
