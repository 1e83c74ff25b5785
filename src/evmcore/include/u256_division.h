// Division, modular arithmetic and powers of u256; included by u256.h.
//
// Knuth's algorithm D (TAOCP 4.3.1) with the reciprocals of Möller and Granlund, "Improved division by invariant
// integers" (2011): two multiplications in place of a hardware division for each quotient limb.
#ifndef EVMCORE_U256_DIVISION_H
#define EVMCORE_U256_DIVISION_H

#include "u256.h"

#define EVMCORE_OUT_OF_LINE static __attribute__((noinline, unused))

// First approximations of the reciprocal: (2^19 - 3 * 2^8) / d9 for the nine most significant bits of a divisor.
struct ReciprocalTable {
    uint16_t v[256];
    constexpr ReciprocalTable() : v() {
        for (unsigned i = 0; i < 256; ++i)
            v[i] = (uint16_t)((0x80000 - 0x300) / (256 + i));
    }
};
static constexpr ReciprocalTable RECIPROCAL_TABLE;

// floor((2^128 - 1) / d) - 2^64 for a normalised d (top bit set); algorithm 3 of the paper, names as there.
static inline uint64_t reciprocal_2by1(uint64_t d) {
    const uint64_t d0 = d & 1, d9 = d >> 55, d40 = (d >> 24) + 1, d63 = (d >> 1) + d0;
    const uint64_t v0 = RECIPROCAL_TABLE.v[d9 - 256];
    const uint64_t v1 = (v0 << 11) - (v0 * v0 * d40 >> 40) - 1;
    const uint64_t v2 = (v1 << 13) + (v1 * (((uint64_t)1 << 60) - v1 * d40) >> 47);
    const uint64_t e = ((v2 >> 1) & (0 - d0)) - v2 * d63;
    const uint64_t v3 = ((uint64_t)((u128)v2 * e >> 64) >> 1) + (v2 << 31);
    return v3 - (uint64_t)(((u128)v3 * d + d) >> 64) - d;
}

// The same for a divisor of two limbs: floor((2^192 - 1) / (d1, d0)) - 2^64; algorithm 6.
static inline uint64_t reciprocal_3by2(uint64_t d1, uint64_t d0) {
    uint64_t v = reciprocal_2by1(d1);
    uint64_t p = d1 * v + d0;
    if (p < d0) {
        --v;
        if (p >= d1) {
            --v;
            p -= d1;
        }
        p -= d1;
    }
    const u128 t = (u128)v * d0;
    p += (uint64_t)(t >> 64);
    if (p < (uint64_t)(t >> 64)) {
        --v;
        if (p > d1 || (p == d1 && (uint64_t)t >= d0))
            --v;
    }
    return v;
}

// Divides (*remainder, u0) by d, with *remainder < d; algorithm 4.
static inline uint64_t divide_2by1(uint64_t* remainder, uint64_t u0, uint64_t d, uint64_t v) {
    const uint64_t u1 = *remainder;
    const u128 t = (u128)v * u1 + ((u128)u1 << 64 | u0);
    uint64_t q = (uint64_t)(t >> 64) + 1;
    uint64_t r = u0 - q * d;
    if (r > (uint64_t)t) {
        --q;
        r += d;
    }
    if (__builtin_expect(r >= d, 0)) {
        ++q;
        r -= d;
    }
    *remainder = r;
    return q;
}

// Divides (*remainder, u0) by d = (d1, d0), with *remainder < d; algorithm 5.
static inline uint64_t divide_3by2(u128* remainder, uint64_t u0, u128 d, uint64_t v) {
    const uint64_t u2 = (uint64_t)(*remainder >> 64), u1 = (uint64_t)*remainder;
    const u128 t = (u128)v * u2 + *remainder;
    uint64_t q = (uint64_t)(t >> 64);
    const uint64_t r1 = u1 - q * (uint64_t)(d >> 64);
    u128 r = ((u128)r1 << 64 | u0) - (u128)q * (uint64_t)d - d;
    ++q;
    if ((uint64_t)(r >> 64) >= (uint64_t)t) {
        --q;
        r += d;
    }
    if (__builtin_expect(r >= d, 0)) {
        ++q;
        r -= d;
    }
    *remainder = r;
    return q;
}

static inline int limb_count(const uint64_t* w, int n) {
    while (n > 0 && w[n - 1] == 0)
        --n;
    return n;
}

// Divides the N limbs of u by the divisor (not zero). N is 4 or, for a product, 8.
// The quotient may be null; the remainder always has four limbs.
template <int N>
static inline void divide_limbs(uint64_t* quotient, uint64_t* remainder, const uint64_t* u, const u256* divisor) {
    uint64_t d[4], n[N + 1];
    const int dn = limb_count(divisor->w, 4);
    const int un = limb_count(u, N);
    if (quotient)
        for (int i = 0; i < N; ++i)
            quotient[i] = 0;
    if (un < dn) {
        for (int i = 0; i < 4; ++i)
            remainder[i] = i < un ? u[i] : 0;
        return;
    }
    // Normalise: shift both so that the divisor's top bit is set.
    const int k = __builtin_clzll(divisor->w[dn - 1]), j = 63 - k;
    for (int i = dn - 1; i >= 0; --i)
        d[i] = divisor->w[i] << k | (i > 0 ? divisor->w[i - 1] >> 1 >> j : 0);
    n[un] = u[un - 1] >> 1 >> j;
    for (int i = un - 1; i >= 0; --i)
        n[i] = u[i] << k | (i > 0 ? u[i - 1] >> 1 >> j : 0);
    for (int i = 0; i < 4; ++i)
        remainder[i] = 0;

    if (dn == 1) {
        const uint64_t v = reciprocal_2by1(d[0]);
        uint64_t r = n[un];
        for (int i = un - 1; i >= 0; --i) {
            const uint64_t q = divide_2by1(&r, n[i], d[0], v);
            if (quotient)
                quotient[i] = q;
        }
        remainder[0] = r >> k;
        return;
    }
    const u128 top = (u128)d[dn - 1] << 64 | d[dn - 2];
    const uint64_t v = reciprocal_3by2(d[dn - 1], d[dn - 2]);
    if (dn == 2) {
        u128 r = (u128)n[un] << 64 | n[un - 1];
        for (int i = un - 2; i >= 0; --i) {
            const uint64_t q = divide_3by2(&r, n[i], top, v);
            if (quotient)
                quotient[i] = q;
        }
        r >>= k;
        remainder[0] = (uint64_t)r;
        remainder[1] = (uint64_t)(r >> 64);
        return;
    }
    for (int i = un - dn; i >= 0; --i) {
        u128 r = (u128)n[i + dn] << 64 | n[i + dn - 1];
        uint64_t q;
        bool overflow = false;
        if (__builtin_expect(r == top, 0)) {
            // The guess would need 65 bits: take the largest limb, which leaves top + the third limb.
            q = ~(uint64_t)0;
            r += n[i + dn - 2];
            overflow = r < top;
        } else {
            q = divide_3by2(&r, n[i + dn - 2], top, v);
        }
        // r is what is left of the three top limbs; take q times the lower divisor limbs away too.
        uint64_t borrow = 0;
        for (int l = 0; l < dn - 2; ++l) {
            const u128 t = (u128)q * d[l] + borrow;
            borrow = (uint64_t)(t >> 64) + (n[i + l] < (uint64_t)t);
            n[i + l] -= (uint64_t)t;
        }
        const bool too_much = r < borrow && !overflow;
        r -= borrow;
        if (__builtin_expect(too_much, 0)) {
            --q;
            unsigned char carry = 0;
            for (int l = 0; l < dn - 2; ++l)
                n[i + l] = limb_add(n[i + l], d[l], &carry);
            r += top + carry;
        }
        n[i + dn - 2] = (uint64_t)r;
        n[i + dn - 1] = (uint64_t)(r >> 64);
        if (quotient)
            quotient[i] = q;
    }
    for (int i = 0; i < dn; ++i)
        remainder[i] = n[i] >> k | (i + 1 < dn ? n[i + 1] << 1 << j : 0);
}

// The exponent of a divisor that is a power of two, or -1. Contracts older than SHR shift by dividing.
static inline int power_of_two(const u256* d) {
    const int top = limb_count(d->w, 4) - 1;
    if (top < 0 || (d->w[top] & (d->w[top] - 1)) != 0)
        return -1;
    for (int i = 0; i < top; ++i)
        if (d->w[i] != 0)
            return -1;
    return 64 * top + __builtin_ctzll(d->w[top]);
}

EVMCORE_OUT_OF_LINE void u_div(u256* r, const u256* a, const u256* b) {
    if (u_fits64(b) && u_fits64(a)) {
        u_set64(r, b->w[0] ? a->w[0] / b->w[0] : 0);
        return;
    }
    const int shift = power_of_two(b);
    if (shift >= 0) {
        u_shr_small(r, a, (unsigned)shift, 0);
        return;
    }
    if (u_lt(a, b) || u_is_zero(b)) {
        u_zero(r);
        return;
    }
    u256 quotient, remainder;
    divide_limbs<4>(quotient.w, remainder.w, a->w, b);
    u_copy(r, &quotient);
}

EVMCORE_OUT_OF_LINE void u_mod(u256* r, const u256* a, const u256* b) {
    if (u_fits64(b) && u_fits64(a)) {
        u_set64(r, b->w[0] ? a->w[0] % b->w[0] : 0);
        return;
    }
    if (power_of_two(b) >= 0) {
        const u256 one = {{1, 0, 0, 0}};
        u256 mask;
        u_sub(&mask, b, &one);
        u_and(r, a, &mask);
        return;
    }
    if (u_lt(a, b)) {
        u_copy(r, a);
        return;
    }
    if (u_is_zero(b)) {
        u_zero(r);
        return;
    }
    u256 remainder;
    divide_limbs<4>(nullptr, remainder.w, a->w, b);
    u_copy(r, &remainder);
}

static inline bool u_negative(const u256* a) { return a->w[3] >> 63; }

static inline void u_abs(u256* r, const u256* a) {
    if (u_negative(a))
        u_negate(r, a);
    else
        u_copy(r, a);
}

EVMCORE_OUT_OF_LINE void u_sdiv(u256* r, const u256* a, const u256* b) {
    const bool negative = u_negative(a) != u_negative(b);
    u256 x, y;
    u_abs(&x, a);
    u_abs(&y, b);
    u_div(&x, &x, &y);
    if (negative)
        u_negate(&x, &x);
    u_copy(r, &x);
}

// The result has the sign of the dividend.
EVMCORE_OUT_OF_LINE void u_smod(u256* r, const u256* a, const u256* b) {
    const bool negative = u_negative(a);
    u256 x, y;
    u_abs(&x, a);
    u_abs(&y, b);
    u_mod(&x, &x, &y);
    if (negative)
        u_negate(&x, &x);
    u_copy(r, &x);
}

// ---- modular arithmetic ----

// Brings a below m if that takes at most one subtraction; says whether it did.
static inline bool nearly_reduced(u256* a, const u256* m) {
    if (u_lt(a, m))
        return true;
    u_sub(a, a, m);
    return u_lt(a, m);
}

EVMCORE_OUT_OF_LINE void u_addmod(u256* r, const u256* a, const u256* b, const u256* m) {
    if (u_is_zero(m)) {
        u_zero(r);
        return;
    }
    u256 x, y;
    u_copy(&x, a);
    u_copy(&y, b);
    // Operands are nearly always below the modulus already, or the modulus is about as long as they are.
    if (nearly_reduced(&x, m) && nearly_reduced(&y, m)) {
        const bool carry = u_add_carry(&x, &x, &y);
        const bool below = u_sub_borrow(&y, &x, m) && !carry;
        u_copy(r, below ? &x : &y);
        return;
    }
    u256 sum, remainder;
    const bool carry = u_add_carry(&sum, a, b);
    const uint64_t wide[5] = {sum.w[0], sum.w[1], sum.w[2], sum.w[3], carry};
    divide_limbs<5>(nullptr, remainder.w, wide, m);
    u_copy(r, &remainder);
}

// product += a * b * 2^(64 i), where the limbs of product above i + 3 are still unset. Low and high halves are added
// in two separate carry chains, for which compilers find add-with-carry; 128-bit sums they do not do as well.
static inline __attribute__((always_inline)) void multiply_row(uint64_t* product, uint64_t a, const uint64_t* b, int i) {
    const u128 t0 = (u128)a * b[0], t1 = (u128)a * b[1], t2 = (u128)a * b[2], t3 = (u128)a * b[3];
    unsigned char carry = 0;
    const uint64_t w1 = limb_add((uint64_t)t1, (uint64_t)(t0 >> 64), &carry);
    const uint64_t w2 = limb_add((uint64_t)t2, (uint64_t)(t1 >> 64), &carry);
    const uint64_t w3 = limb_add((uint64_t)t3, (uint64_t)(t2 >> 64), &carry);
    const uint64_t w4 = (uint64_t)(t3 >> 64) + carry;
    carry = 0;
    product[i] = limb_add(product[i], (uint64_t)t0, &carry);
    product[i + 1] = limb_add(product[i + 1], w1, &carry);
    product[i + 2] = limb_add(product[i + 2], w2, &carry);
    product[i + 3] = limb_add(product[i + 3], w3, &carry);
    product[i + 4] = w4 + carry;
}

// product = a * b, eight limbs.
static inline __attribute__((always_inline)) void multiply_wide(uint64_t* product, const u256* a, const u256* b) {
    product[0] = product[1] = product[2] = product[3] = 0;
    multiply_row(product, a->w[0], b->w, 0);
    multiply_row(product, a->w[1], b->w, 1);
    multiply_row(product, a->w[2], b->w, 2);
    multiply_row(product, a->w[3], b->w, 3);
}

// A modulus prepared for division without dividing: algorithm 4 of the paper again, with words of 256 bits.
struct Modulus {
    u256 m;           // as given
    u256 d;           // shifted up until its top bit is set
    u256 reciprocal;  // floor((2^512 - 1) / d) - 2^256
    unsigned shift;
    bool ready;  // d, reciprocal and shift are computed
};

static inline void modulus_prepare(Modulus* modulus) {
    modulus->shift = 256 - (unsigned)u_bits(&modulus->m);
    u_shl_small(&modulus->d, &modulus->m, modulus->shift);
    const u256 d = modulus->d;
    const uint64_t ones = ~(uint64_t)0;
    const uint64_t numerator[8] = {ones, ones, ones, ones, ~d.w[0], ~d.w[1], ~d.w[2], ~d.w[3]};
    uint64_t quotient[8];
    u256 remainder;
    divide_limbs<8>(quotient, remainder.w, numerator, &d);
    u_set(&modulus->reciprocal, quotient[0], quotient[1], quotient[2], quotient[3]);
    modulus->ready = true;
}

// remainder = (u1, u0) mod d, for u1 < d.
static inline void modulus_reduce(u256* remainder, const u256* u1, const u256* u0, const Modulus* modulus) {
    uint64_t t[8];
    multiply_wide(t, u1, &modulus->reciprocal);
    u256 low, q, r;
    unsigned char carry = 0;
    for (int i = 0; i < 4; ++i)
        low.w[i] = limb_add(t[i], u0->w[i], &carry);
    for (int i = 0; i < 4; ++i)
        q.w[i] = limb_add(t[4 + i], u1->w[i], &carry);
    u_add64(&q, &q, 1);
    u_mul(&r, &q, &modulus->d);
    u_sub(&r, u0, &r);
    const uint64_t too_much = 0 - (uint64_t)u_lt(&low, &r);
    carry = 0;
    for (int i = 0; i < 4; ++i)
        r.w[i] = limb_add(r.w[i], modulus->d.w[i] & too_much, &carry);
    if (__builtin_expect(!u_lt(&r, &modulus->d), 0))
        u_sub(&r, &r, &modulus->d);
    u_copy(remainder, &r);
}

// Code that multiplies modulo something does so many times modulo the same thing: the second time in a row the modulus
// is prepared, and from then on a MULMOD takes three multiplications instead of a division (some three times faster).
static thread_local Modulus last_modulus;

// y = (factor mod m) * 2^shift, which is below d.
static inline void modulus_shift_up(u256* y, const u256* factor, const Modulus* modulus) {
    u256 below;
    u_copy(&below, factor);
    // Code that reduces seldom has factors a little above the modulus.
    if (__builtin_expect(nearly_reduced(&below, &modulus->m), 1)) {
        u_shl_small(y, &below, modulus->shift);
        return;
    }
    u256 u1, u0;
    u_shl_small(&u0, factor, modulus->shift);
    if (modulus->shift)
        u_shr_small(&u1, factor, 256 - modulus->shift, 0);
    else
        u_zero(&u1);
    modulus_reduce(y, &u1, &u0, modulus);
}

EVMCORE_OUT_OF_LINE void u_mulmod(u256* r, const u256* a, const u256* b, const u256* m) {
    if (u_is_zero(m)) {
        u_zero(r);
        return;
    }
    Modulus* const modulus = &last_modulus;
    uint64_t product[8];
    if (__builtin_expect(u_eq(&modulus->m, m), 1)) {
        if (!modulus->ready)
            modulus_prepare(modulus);
        const u256* factor = u_lt(b, m) ? b : a;
        const u256* other = factor == b ? a : b;
        // One factor is shifted as the modulus was, so the product is too; and its upper half is below d, as the
        // factor is below m.
        u256 y;
        modulus_shift_up(&y, factor, modulus);
        multiply_wide(product, other, &y);
        u256 u0, u1;
        u_set(&u0, product[0], product[1], product[2], product[3]);
        u_set(&u1, product[4], product[5], product[6], product[7]);
        modulus_reduce(&y, &u1, &u0, modulus);
        u_shr_small(r, &y, modulus->shift, 0);
        return;
    }
    u_copy(&modulus->m, m);
    modulus->ready = false;
    multiply_wide(product, a, b);
    u256 remainder;
    divide_limbs<8>(nullptr, remainder.w, product, m);
    u_copy(r, &remainder);
}

// ---- powers ----

// Long exponents: an odd base to the power 2^64 is 1 modulo 2^66, say 1 + x. For an exponent of low limb l and upper
// limbs h, base^exponent = base^l (1 + x)^h, and x^4 = 0 modulo 2^256, so the binomial series has four terms.
// That is 64 squarings in place of 256.
static inline void power_of_odd(u256* r, const u256* base, const u256* exponent) {
    u256 square = *base, result = {{1, 0, 0, 0}};
    for (int i = 0; i < 64; ++i) {
        if (exponent->w[0] >> i & 1)
            u_mul(&result, &result, &square);
        u_mul(&square, &square, &square);
    }
    const u256 one = {{1, 0, 0, 0}}, h = {{exponent->w[1], exponent->w[2], exponent->w[3], 0}};
    u256 x, h1, h2;
    u_sub(&x, &square, &one);
    u_sub(&h1, &h, &one);
    u_sub(&h2, &h1, &one);
    // (1 + x)^h = 1 + h x (1 + (h - 1) / 2 x (1 + (h - 2) / 3 x)). x is a multiple of 2^66, so x / 2 is exact where it
    // stands, and 1 / 3 is the inverse of 3 modulo 2^256.
    const uint64_t a = 0xaaaaaaaaaaaaaaaa;
    const u256 third = {{a + 1, a, a, a}};
    u256 half, series;
    u_shr_small(&half, &x, 1, 0);
    u_mul(&series, &h2, &third);
    u_mul(&series, &series, &x);
    u_add(&series, &series, &one);
    u_mul(&series, &series, &half);
    u_mul(&series, &series, &h1);
    u_add(&series, &series, &one);
    u_mul(&series, &series, &x);
    u_mul(&series, &series, &h);
    u_add(&series, &series, &one);
    u_mul(r, &result, &series);
}

static inline void power_by_squaring(u256* r, const u256* base, const u256* exponent) {
    u256 result = *base;
    for (int i = u_bits(exponent) - 2; i >= 0; --i) {
        u_mul(&result, &result, &result);
        if (exponent->w[i / 64] >> (i % 64) & 1)
            u_mul(&result, &result, base);
    }
    u_copy(r, &result);
}

EVMCORE_OUT_OF_LINE void u_exp(u256* r, const u256* base, const u256* exponent) {
    u256 b, e;
    u_copy(&b, base);
    u_copy(&e, exponent);
    if (u_is_zero(&e)) {
        u_set64(r, 1);
        return;
    }
    const int shift = power_of_two(&b);
    if (shift >= 0) {
        const u256 one = {{1, 0, 0, 0}};
        if (shift == 0)
            u_set64(r, 1);
        else if (u_fits64(&e) && e.w[0] < 256 && (unsigned)shift * e.w[0] < 256)
            u_shl_small(r, &one, (unsigned)(shift * e.w[0]));
        else
            u_zero(r);
        return;
    }
    // An even base to the 256th power is zero.
    if ((b.w[0] & 1) == 0 && !(u_fits64(&e) && e.w[0] < 256)) {
        u_zero(r);
        return;
    }
    if (u_fits64(&e))
        power_by_squaring(r, &b, &e);
    else
        power_of_odd(r, &b, &e);
}

#endif
