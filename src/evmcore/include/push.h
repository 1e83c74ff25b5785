// PUSH data to stack words: fixed sizes, so that every case is a few loads and stores.
#pragma once
#include <cstdint>
#include <cstring>

#include "u256.h"

// N bytes, big-endian, at p. Reads up to 7 bytes past them, which the padding of the code allows.
template <int N>
static inline void u_push(u256* r, const uint8_t* p) {
    constexpr int full = N / 8, rest = N % 8;
    uint64_t w[4] = {0, 0, 0, 0};
    if constexpr (rest != 0) w[full] = load_be64(p) >> (64 - 8 * rest);
    for (int i = 0; i < full; ++i) w[full - 1 - i] = load_be64(p + rest + 8 * i);
    u_set(r, w[0], w[1], w[2], w[3]);
}
