// Keyed hashes for tables whose keys come from outside: without the key nobody can choose keys that crowd a table.
#ifndef EVMCORE_KEYED_HASH_H
#define EVMCORE_KEYED_HASH_H

#include <cstdint>
#include <cstring>

struct HashKey {
    uint64_t k[8];
};

namespace evmcore {

// NH (Black et al., UMAC): two different inputs collide with a probability of 2**-64 over random keys.
static inline unsigned __int128 nh_pair(const HashKey& key, int at, uint64_t a, uint64_t b) {
    return (unsigned __int128)(a + key.k[at]) * (b + key.k[at + 1]);
}

static inline uint64_t fold_keyed(const HashKey& key, unsigned __int128 sum) {
    const unsigned __int128 p = (unsigned __int128)((uint64_t)sum ^ key.k[4]) * ((uint64_t)(sum >> 64) ^ key.k[5]);
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

}  // namespace evmcore

static inline uint64_t hash_words4(const HashKey& key, const uint64_t* w) {
    using namespace evmcore;
    return fold_keyed(key, nh_pair(key, 0, w[0], w[1]) + nh_pair(key, 2, w[2], w[3]));
}

static inline uint64_t hash_bytes32(const HashKey& key, const uint8_t* bytes) {
    uint64_t w[4];
    memcpy(w, bytes, 32);
    return hash_words4(key, w);
}

static inline uint64_t hash_address(const HashKey& key, const uint8_t* address) {
    uint64_t w[2];
    uint32_t tail;
    memcpy(w, address, 16);
    memcpy(&tail, address + 16, 4);
    return evmcore::fold_keyed(key, evmcore::nh_pair(key, 0, w[0], w[1]) + evmcore::nh_pair(key, 2, tail, 0));
}

// A storage slot of the account with that number: three pairs of words, all of them keyed.
static inline uint64_t hash_slot(const HashKey& key, uint32_t account, const uint64_t* slot) {
    using namespace evmcore;
    return fold_keyed(key, nh_pair(key, 0, slot[0], slot[1]) + nh_pair(key, 2, slot[2], slot[3]) + nh_pair(key, 6, account, 0));
}

#endif
