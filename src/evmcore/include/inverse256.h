// Inverses modulo an odd number of 256 bits by the binary GCD on approximations (Pornin 2020, "Optimized Binary GCD for
// Modular Inversion"): 31 steps at a time are decided on 64-bit stand-ins and then applied to the full numbers at once.
#pragma once

#include <cstdint>
#include <cstring>

namespace evmcore::inverse256_detail {

inline constexpr int STEPS = 31;
inline constexpr uint64_t LOW_MASK = (uint64_t(1) << STEPS) - 1;

// The signed number a * f + b * g in five limbs; |f| + |g| <= 2^31.
inline void combine(const uint64_t* a, const uint64_t* b, int64_t f, int64_t g, uint64_t* out) {
    __int128 sum = 0;
    for (int i = 0; i < 4; ++i) {
        sum += static_cast<__int128>(a[i]) * f + static_cast<__int128>(b[i]) * g;
        out[i] = static_cast<uint64_t>(sum);
        sum >>= 64;
    }
    out[4] = static_cast<uint64_t>(sum);
}

inline void shift_down(const uint64_t* t, uint64_t* out) {
    for (int i = 0; i < 4; ++i) out[i] = t[i] >> STEPS | t[i + 1] << (64 - STEPS);
}

inline void negate5(uint64_t* t) {
    uint64_t carry = 1;
    for (int i = 0; i < 5; ++i) {
        t[i] = ~t[i] + carry;
        carry = carry & (t[i] == 0);
    }
}

// out = |t| / 2^31, exactly; true when t was negative.
inline bool absolute_shifted(uint64_t* t, uint64_t* out) {
    const bool negative = t[4] >> 63;
    if (negative) negate5(t);
    shift_down(t, out);
    return negative;
}

// out = t / 2^31 mod m, for |t| < 2^31 m. minus_inverse: -1 / m mod 2^64.
inline void divide_modulo(uint64_t* t, const uint64_t* m, uint64_t minus_inverse, uint64_t* out) {
    const uint64_t q = (t[0] * minus_inverse) & LOW_MASK;
    unsigned __int128 carry = 0;
    for (int i = 0; i < 4; ++i) {
        carry += static_cast<unsigned __int128>(m[i]) * q + t[i];
        t[i] = static_cast<uint64_t>(carry);
        carry >>= 64;
    }
    t[4] += static_cast<uint64_t>(carry);
    shift_down(t, out);
    // The quotient lies in (-m, 2m); this is its sign and its bit 256.
    const int64_t top = static_cast<int64_t>(t[4]) >> STEPS;
    unsigned __int128 borrow = 0;
    uint64_t difference[4];
    if (top < 0) {  // + m
        for (int i = 0; i < 4; ++i) {
            borrow += static_cast<unsigned __int128>(out[i]) + m[i];
            out[i] = static_cast<uint64_t>(borrow);
            borrow >>= 64;
        }
        return;
    }
    for (int i = 0; i < 4; ++i) {
        borrow = static_cast<unsigned __int128>(out[i]) - m[i] - (static_cast<uint64_t>(borrow >> 64) & 1);
        difference[i] = static_cast<uint64_t>(borrow);
    }
    const bool below = static_cast<uint64_t>(borrow >> 64) & 1;
    if (top > 0 || !below) std::memcpy(out, difference, sizeof difference);
}

inline int top_limb(const uint64_t* a, const uint64_t* b) {
    int i = 3;
    while (i > 0 && (a[i] | b[i]) == 0) --i;
    return i;
}

// The low 31 bits and the top 33 of the `bits` that both numbers fit; the number itself when it fits 64.
inline uint64_t approximate(const uint64_t* a, int bits) {
    if (bits <= 64) return a[0];
    const int at = bits - 33, limb = at / 64, shift = at % 64;
    uint64_t top = a[limb] >> shift;
    if (shift > 31 && limb < 3) top |= a[limb + 1] << (64 - shift);
    return (a[0] & LOW_MASK) | top << STEPS;
}

}  // namespace evmcore::inverse256_detail

namespace evmcore {

// out = 1 / value mod m for 0 < value < m, prime to the odd m.
inline void invert_modulo(const uint64_t* value, const uint64_t* m, uint64_t minus_inverse, uint64_t* out) {
    using namespace inverse256_detail;
    // a = value * u and b = value * v modulo m, throughout; b is odd.
    uint64_t a[4], b[4], u[4] = {1, 0, 0, 0}, v[4] = {0, 0, 0, 0};
    std::memcpy(a, value, sizeof a);
    std::memcpy(b, m, sizeof b);
    while ((a[0] | a[1] | a[2] | a[3]) != 0) {
        const int limb = top_limb(a, b), bits = 64 * limb + 64 - __builtin_clzll(a[limb] | b[limb]);
        uint64_t x = approximate(a, bits), y = approximate(b, bits);
        int64_t f0 = 1, g0 = 0, f1 = 0, g1 = 1;
        for (int i = 0; i < STEPS; ++i) {
            // Masks, not branches: neither can be predicted.
            const uint64_t odd = 0 - (x & 1), swap = odd & (0 - uint64_t(x < y));
            const uint64_t dx = swap & (x ^ y);
            x ^= dx;
            y ^= dx;
            const int64_t df = int64_t(swap) & (f0 ^ f1), dg = int64_t(swap) & (g0 ^ g1);
            f0 ^= df;
            f1 ^= df;
            g0 ^= dg;
            g1 ^= dg;
            x = (x - (odd & y)) >> 1;
            f0 -= int64_t(odd) & f1;
            g0 -= int64_t(odd) & g1;
            f1 *= 2;
            g1 *= 2;
        }
        uint64_t t[5], next_a[4], next_u[4];
        combine(a, b, f0, g0, t);
        const bool negative_a = absolute_shifted(t, next_a);
        combine(a, b, f1, g1, t);
        const bool negative_b = absolute_shifted(t, b);
        std::memcpy(a, next_a, sizeof a);
        combine(u, v, negative_a ? -f0 : f0, negative_a ? -g0 : g0, t);
        divide_modulo(t, m, minus_inverse, next_u);
        combine(u, v, negative_b ? -f1 : f1, negative_b ? -g1 : g1, t);
        divide_modulo(t, m, minus_inverse, v);
        std::memcpy(u, next_u, sizeof u);
    }
    std::memcpy(out, v, sizeof v);  // b is the greatest common divisor, 1
}

}  // namespace evmcore
