// SHA-256 (FIPS 180-4), with the x86 SHA extensions where the processor has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EVMCORE_SHA_EXTENSIONS 1
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace evmcore::sha256_detail {

alignas(16) inline constexpr uint32_t ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

inline uint32_t rotate_right(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

inline uint32_t load_be32(const uint8_t* p) {
    return uint32_t(p[0]) << 24 | uint32_t(p[1]) << 16 | uint32_t(p[2]) << 8 | uint32_t(p[3]);
}

inline void store_be32(uint8_t* p, uint32_t v) {
    p[0] = uint8_t(v >> 24);
    p[1] = uint8_t(v >> 16);
    p[2] = uint8_t(v >> 8);
    p[3] = uint8_t(v);
}

using Compress = void (*)(uint32_t* state, const uint8_t* data, size_t blocks);

inline void compress_portable(uint32_t* state, const uint8_t* data, size_t blocks) {
    uint32_t schedule[64];
    for (; blocks != 0; --blocks, data += 64) {
        for (int i = 0; i < 16; ++i) schedule[i] = load_be32(data + 4 * i);
        for (int i = 16; i < 64; ++i) {
            uint32_t w15 = schedule[i - 15], w2 = schedule[i - 2];
            uint32_t s0 = rotate_right(w15, 7) ^ rotate_right(w15, 18) ^ (w15 >> 3);
            uint32_t s1 = rotate_right(w2, 17) ^ rotate_right(w2, 19) ^ (w2 >> 10);
            schedule[i] = schedule[i - 16] + s0 + schedule[i - 7] + s1;
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 64; ++i) {
            uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
            uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[i] + schedule[i];
            uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
            uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

#ifdef EVMCORE_SHA_EXTENSIONS
// The instructions keep the state as the word groups (A B E F) and (C D G H), high lane first.
__attribute__((target("sha,sse4.1"))) inline void compress_extensions(uint32_t* state, const uint8_t* data,
                                                                      size_t blocks) {
    const __m128i byte_swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abcd = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
    __m128i efgh = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
    __m128i badc = _mm_shuffle_epi32(abcd, 0xB1), hgfe = _mm_shuffle_epi32(efgh, 0x1B);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
    for (; blocks != 0; --blocks, data += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i words[4];
        for (int i = 0; i < 4; ++i) {
            words[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * i)), byte_swap);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {
            __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(ROUND_CONSTANTS + 4 * i));
            __m128i k = _mm_add_epi32(words[i & 3], constants);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0E));
            if (i < 12) {  // the four words that replace the ones just used
                const __m128i w4 = words[(i + 1) & 3], w8 = words[(i + 2) & 3], w12 = words[(i + 3) & 3];
                __m128i next = _mm_sha256msg1_epu32(words[i & 3], w4);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w12, w8, 4));
                words[i & 3] = _mm_sha256msg2_epu32(next, w12);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

inline bool has_extensions() {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 19))) return false;  // SSE4.1
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & (1u << 29));      // SHA
}
#endif

inline Compress best_compress() {
#ifdef EVMCORE_SHA_EXTENSIONS
    if (has_extensions()) return compress_extensions;
#endif
    return compress_portable;
}

inline void digest_with(Compress compress, const uint8_t* data, size_t size, uint8_t* digest) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    compress(state, data, size / 64);
    uint8_t tail[128] = {0};
    const size_t rest = size % 64, tail_blocks = rest < 56 ? 1 : 2;
    if (rest != 0) std::memcpy(tail, data + (size - rest), rest);
    tail[rest] = 0x80;
    const uint64_t bits = uint64_t(size) * 8;
    store_be32(tail + 64 * tail_blocks - 8, uint32_t(bits >> 32));
    store_be32(tail + 64 * tail_blocks - 4, uint32_t(bits));
    compress(state, tail, tail_blocks);
    for (int i = 0; i < 8; ++i) store_be32(digest + 4 * i, state[i]);
}

}  // namespace evmcore::sha256_detail

namespace evmcore {

// digest: 32 bytes; must not overlap data.
inline void sha256(const uint8_t* data, size_t size, uint8_t* digest) {
    static const sha256_detail::Compress compress = sha256_detail::best_compress();
    sha256_detail::digest_with(compress, data, size, digest);
}

// The same without the processor's extensions: lets one machine test both paths.
inline void sha256_portable(const uint8_t* data, size_t size, uint8_t* digest) {
    sha256_detail::digest_with(sha256_detail::compress_portable, data, size, digest);
}

}  // namespace evmcore
