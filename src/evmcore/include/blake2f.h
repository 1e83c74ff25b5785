// The BLAKE2b compression function F (RFC 7693) with a free number of rounds, as EIP-152 has it.
#pragma once

#include <cstdint>
#include <cstring>

namespace evmcore::blake2f_detail {

inline constexpr uint8_t SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};
inline constexpr uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

inline uint64_t rotate_right(uint64_t x, int n) { return (x >> n) | (x << (64 - n)); }

inline uint64_t load_le64(const uint8_t* p) {
    uint64_t v = 0;
    for (int i = 7; i >= 0; --i) v = v << 8 | p[i];
    return v;
}

inline void mix(uint64_t& a, uint64_t& b, uint64_t& c, uint64_t& d, uint64_t x, uint64_t y) {
    a += b + x;
    d = rotate_right(d ^ a, 32);
    c += d;
    b = rotate_right(b ^ c, 24);
    a += b + y;
    d = rotate_right(d ^ a, 16);
    c += d;
    b = rotate_right(b ^ c, 63);
}

}  // namespace evmcore::blake2f_detail

namespace evmcore {

// state: 64 bytes, block: 128 bytes, offset: 16 bytes, all little-endian words; out: 64 bytes.
inline void blake2f(uint32_t rounds, const uint8_t* state, const uint8_t* block, const uint8_t* offset, bool last,
                    uint8_t* out) {
    using namespace blake2f_detail;
    uint64_t v[16], m[16];
    for (int i = 0; i < 8; ++i) v[i] = load_le64(state + 8 * i);
    for (int i = 0; i < 8; ++i) v[8 + i] = IV[i];
    for (int i = 0; i < 16; ++i) m[i] = load_le64(block + 8 * i);
    v[12] ^= load_le64(offset);
    v[13] ^= load_le64(offset + 8);
    if (last) v[14] = ~v[14];
    const uint8_t* s = SIGMA[0];
    for (uint32_t round = 0; round < rounds; ++round) {
        mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
        mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
        mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
        mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
        mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
        mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
        mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
        mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
        s = s == SIGMA[9] ? SIGMA[0] : s + 16;
    }
    for (int i = 0; i < 8; ++i) {
        const uint64_t word = load_le64(state + 8 * i) ^ v[i] ^ v[8 + i];
        for (int j = 0; j < 8; ++j) out[8 * i + j] = uint8_t(word >> (8 * j));
    }
}

}  // namespace evmcore
