// RIPEMD-160 (Dobbertin, Bosselaers, Preneel 1996).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace evmcore::ripemd160_detail {

// Message word and rotation of each step: left line, then right line.
inline constexpr uint8_t WORD[2][80] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9,
     5, 2, 14, 11, 8, 3, 10, 14, 4, 9, 15, 8, 1, 2, 7, 0, 6, 13, 11, 5, 12, 1, 9, 11, 10, 0, 8,
     12, 4, 13, 3, 7, 15, 14, 5, 6, 2, 4, 0, 5, 9, 7, 12, 2, 10, 14, 1, 3, 8, 11, 6, 15, 13},
    {5, 14, 7, 0, 9, 2, 11, 4, 13, 6, 15, 8, 1, 10, 3, 12, 6, 11, 3, 7, 0, 13, 5, 10, 14, 15, 8,
     12, 4, 9, 1, 2, 15, 5, 1, 3, 7, 14, 6, 9, 11, 8, 12, 2, 10, 0, 4, 13, 8, 6, 4, 1, 3, 11,
     15, 0, 5, 12, 2, 13, 9, 7, 10, 14, 12, 15, 10, 4, 1, 5, 8, 7, 6, 2, 13, 14, 0, 3, 9, 11},
};
inline constexpr uint8_t ROTATION[2][80] = {
    {11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8, 7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15,
     9, 11, 7, 13, 12, 11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5, 11, 12, 14, 15, 14, 15,
     9, 8, 9, 14, 5, 6, 8, 6, 5, 12, 9, 15, 5, 11, 6, 8, 13, 12, 5, 12, 13, 14, 11, 8, 5, 6},
    {8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6, 9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12,
     7, 6, 15, 13, 11, 9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5, 15, 5, 8, 11, 14, 14,
     6, 14, 6, 9, 12, 9, 12, 5, 15, 8, 8, 5, 12, 9, 12, 5, 14, 6, 8, 13, 6, 5, 15, 13, 11, 11},
};
inline constexpr uint32_t CONSTANT[2][5] = {
    {0x00000000, 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xa953fd4e},
    {0x50a28be6, 0x5c4dd124, 0x6d703ef3, 0x7a6d76e9, 0x00000000},
};

inline uint32_t rotate_left(uint32_t x, int n) { return (x << n) | (x >> (32 - n)); }

template <int KIND>
inline uint32_t mix(uint32_t x, uint32_t y, uint32_t z) {
    if constexpr (KIND == 0) return x ^ y ^ z;
    if constexpr (KIND == 1) return (x & y) | (~x & z);
    if constexpr (KIND == 2) return (x | ~y) ^ z;
    if constexpr (KIND == 3) return (x & z) | (y & ~z);
    return x ^ (y | ~z);
}

template <int LINE, int ROUND>
inline void round16(uint32_t* v, const uint32_t* words) {
    // The right line runs the boolean functions in the opposite order.
    constexpr int kind = LINE == 0 ? ROUND : 4 - ROUND;
#pragma GCC unroll 16
    for (int i = 16 * ROUND; i < 16 * ROUND + 16; ++i) {
        uint32_t t = v[0] + mix<kind>(v[1], v[2], v[3]) + words[WORD[LINE][i]] + CONSTANT[LINE][ROUND];
        t = rotate_left(t, ROTATION[LINE][i]) + v[4];
        v[0] = v[4];
        v[4] = v[3];
        v[3] = rotate_left(v[2], 10);
        v[2] = v[1];
        v[1] = t;
    }
}

template <int LINE>
inline void line(uint32_t* v, const uint32_t* words) {
    round16<LINE, 0>(v, words);
    round16<LINE, 1>(v, words);
    round16<LINE, 2>(v, words);
    round16<LINE, 3>(v, words);
    round16<LINE, 4>(v, words);
}

inline void compress(uint32_t* h, const uint8_t* block) {
    uint32_t words[16];
    for (int i = 0; i < 16; ++i) {
        const uint8_t* p = block + 4 * i;
        words[i] = uint32_t(p[0]) | uint32_t(p[1]) << 8 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 24;
    }
    uint32_t left[5], right[5];
    std::memcpy(left, h, sizeof left);
    std::memcpy(right, h, sizeof right);
    line<0>(left, words);
    line<1>(right, words);
    const uint32_t first = h[1] + left[2] + right[3];
    h[1] = h[2] + left[3] + right[4];
    h[2] = h[3] + left[4] + right[0];
    h[3] = h[4] + left[0] + right[1];
    h[4] = h[0] + left[1] + right[2];
    h[0] = first;
}

}  // namespace evmcore::ripemd160_detail

namespace evmcore {

// digest: 20 bytes; must not overlap data.
inline void ripemd160(const uint8_t* data, size_t size, uint8_t* digest) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    const size_t rest = size % 64, tail_size = rest < 56 ? 64 : 128;
    for (size_t at = 0; at + 64 <= size; at += 64) ripemd160_detail::compress(h, data + at);
    uint8_t tail[128] = {0};
    if (rest != 0) std::memcpy(tail, data + (size - rest), rest);
    tail[rest] = 0x80;
    const uint64_t bits = uint64_t(size) * 8;
    for (int i = 0; i < 8; ++i) tail[tail_size - 8 + i] = uint8_t(bits >> (8 * i));
    for (size_t at = 0; at < tail_size; at += 64) ripemd160_detail::compress(h, tail + at);
    for (int i = 0; i < 20; ++i) digest[i] = uint8_t(h[i / 4] >> (8 * (i % 4)));
}

}  // namespace evmcore
