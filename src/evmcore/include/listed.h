// Words that the threads of a block with a given access list share.
#pragma once
#include <cstdint>

namespace evmcore {

inline uint32_t listed_take(uint32_t* next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }
inline uint32_t listed_load(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
inline void listed_store(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }
inline uint32_t listed_exchange(uint32_t* word, uint32_t value) { return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST); }

inline void listed_lower(uint32_t* word, uint32_t value) {
    uint32_t current = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (value < current && !__atomic_compare_exchange_n(word, &current, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

// A value that whoever has it first keeps for all: 0 nobody has, 1 it is being written, 2 it is there.
inline bool listed_known(const int32_t* state) { return __atomic_load_n(state, __ATOMIC_ACQUIRE) == 2; }
inline bool listed_may_keep(int32_t* state) {
    int32_t nobody = 0;
    return __atomic_compare_exchange_n(state, &nobody, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
inline void listed_kept(int32_t* state) { __atomic_store_n(state, 2, __ATOMIC_RELEASE); }

}  // namespace evmcore
