// Residues modulo a fixed 256-bit odd prime, kept in Montgomery form (value * 2^256 mod p) and always reduced.
//
// A modulus is a struct with `static constexpr uint64_t P[4]`, least significant limb first; everything else is derived
// from it at compile time. Nothing here is constant-time: the EVM handles public data only.
#pragma once

#include <cstdint>

#include "inverse256.h"
#include "mont256_x86.h"

// Hidden: calls between these functions must not go through the tables for symbols of other libraries.
#pragma GCC visibility push(hidden)

namespace evmcore {

using uint128 = unsigned __int128;

namespace mont256_detail {

struct Limbs {
    uint64_t w[4];
};

constexpr uint64_t negated_inverse64(uint64_t odd) {  // -odd^-1 mod 2^64; each Newton step doubles the correct bits
    uint64_t x = odd;
    for (int i = 0; i < 6; ++i) x *= 2 - odd * x;
    return 0 - x;
}

constexpr bool less(const uint64_t* a, const uint64_t* b) {
    for (int i = 3; i >= 0; --i) {
        if (a[i] != b[i]) return a[i] < b[i];
    }
    return false;
}

constexpr uint64_t add_carry(uint64_t a, uint64_t b, uint64_t& carry) {
    const uint128 sum = uint128(a) + b + carry;
    carry = uint64_t(sum >> 64);
    return uint64_t(sum);
}

constexpr uint64_t sub_borrow(uint64_t a, uint64_t b, uint64_t& borrow) {
    const uint128 difference = uint128(a) - b - borrow;
    borrow = uint64_t(difference >> 64) & 1;
    return uint64_t(difference);
}

// low limb of a * b + c + carry, whose high limb becomes the carry; never overflows
constexpr uint64_t mul_add(uint64_t a, uint64_t b, uint64_t c, uint64_t& carry) {
    const uint128 t = uint128(a) * b + c + carry;
    carry = uint64_t(t >> 64);
    return uint64_t(t);
}

// 2^exponent mod p by doubling.
constexpr Limbs power_of_two(const uint64_t* p, int exponent) {
    Limbs r{{1, 0, 0, 0}};
    for (int i = 0; i < exponent; ++i) {
        uint64_t carry = 0;
        for (auto& limb : r.w) limb = add_carry(limb, limb, carry);
        if (carry != 0 || !less(r.w, p)) {
            uint64_t borrow = 0;
            for (int j = 0; j < 4; ++j) r.w[j] = sub_borrow(r.w[j], p[j], borrow);
        }
    }
    return r;
}

}  // namespace mont256_detail

template <class Modulus>
struct Residue {
    uint64_t w[4];

    static constexpr uint64_t N0 = mont256_detail::negated_inverse64(Modulus::P[0]);
    static constexpr mont256_detail::Limbs R1 = mont256_detail::power_of_two(Modulus::P, 256);
    static constexpr mont256_detail::Limbs R2 = mont256_detail::power_of_two(Modulus::P, 512);
    static constexpr mont256_detail::Limbs R3 = mont256_detail::power_of_two(Modulus::P, 768);
    // With a spare top bit sums and products stay below 2^256 between reductions.
    static constexpr bool SPARE_BIT = Modulus::P[3] < (uint64_t(1) << 63) - 1;

    static constexpr Residue zero() { return {{0, 0, 0, 0}}; }
    static constexpr Residue one() { return {{R1.w[0], R1.w[1], R1.w[2], R1.w[3]}}; }

    // The residue of a plain number below 2^256.
    static constexpr Residue from_limbs(const uint64_t* limbs) {
        const Residue plain{{limbs[0], limbs[1], limbs[2], limbs[3]}};
        return plain * Residue{{R2.w[0], R2.w[1], R2.w[2], R2.w[3]}};
    }
    static constexpr Residue from_u64(uint64_t value) {
        const uint64_t limbs[4] = {value, 0, 0, 0};
        return from_limbs(limbs);
    }
    // 32 bytes, big-endian. False when the number is not below the modulus.
    static bool from_be(const uint8_t* bytes, Residue& out) {
        uint64_t limbs[4];
        limbs_from_be(bytes, limbs);
        if (!mont256_detail::less(limbs, Modulus::P)) return false;
        out = from_limbs(limbs);
        return true;
    }
    static void limbs_from_be(const uint8_t* bytes, uint64_t* limbs) {
        for (int i = 0; i < 4; ++i) {
            uint64_t v = 0;
            for (int j = 0; j < 8; ++j) v = v << 8 | bytes[8 * (3 - i) + j];
            limbs[i] = v;
        }
    }
    constexpr mont256_detail::Limbs plain() const {
        const Residue value = *this * Residue{{1, 0, 0, 0}};
        return {{value.w[0], value.w[1], value.w[2], value.w[3]}};
    }
    void to_be(uint8_t* bytes) const {
        const mont256_detail::Limbs value = plain();
        for (int i = 0; i < 32; ++i) bytes[31 - i] = uint8_t(value.w[i / 8] >> (8 * (i % 8)));
    }

    constexpr bool is_zero() const { return (w[0] | w[1] | w[2] | w[3]) == 0; }
    constexpr bool operator==(const Residue& o) const {
        return ((w[0] ^ o.w[0]) | (w[1] ^ o.w[1]) | (w[2] ^ o.w[2]) | (w[3] ^ o.w[3])) == 0;
    }
    constexpr bool operator!=(const Residue& o) const { return !(*this == o); }

    constexpr Residue operator+(const Residue& o) const {
#ifdef EVMCORE_MONT256_X86
        if (!__builtin_is_constant_evaluated()) {
            Residue r{};
            mont256_detail::add_x86<SPARE_BIT>(r.w, w, o.w, Modulus::P);
            return r;
        }
#endif
        uint64_t carry = 0;
        const uint64_t s0 = mont256_detail::add_carry(w[0], o.w[0], carry);
        const uint64_t s1 = mont256_detail::add_carry(w[1], o.w[1], carry);
        const uint64_t s2 = mont256_detail::add_carry(w[2], o.w[2], carry);
        const uint64_t s3 = mont256_detail::add_carry(w[3], o.w[3], carry);
        return reduced_once(s0, s1, s2, s3, carry);
    }
    constexpr Residue doubled() const { return *this + *this; }
    constexpr Residue operator-(const Residue& o) const {
#ifdef EVMCORE_MONT256_X86
        if (!__builtin_is_constant_evaluated()) {
            Residue r{};
            mont256_detail::subtract_x86(r.w, w, o.w, Modulus::P);
            return r;
        }
#endif
        uint64_t borrow = 0;
        const uint64_t d0 = mont256_detail::sub_borrow(w[0], o.w[0], borrow);
        const uint64_t d1 = mont256_detail::sub_borrow(w[1], o.w[1], borrow);
        const uint64_t d2 = mont256_detail::sub_borrow(w[2], o.w[2], borrow);
        const uint64_t d3 = mont256_detail::sub_borrow(w[3], o.w[3], borrow);
        const uint64_t mask = 0 - borrow;
        uint64_t carry = 0;
        Residue r{};
        r.w[0] = mont256_detail::add_carry(d0, Modulus::P[0] & mask, carry);
        r.w[1] = mont256_detail::add_carry(d1, Modulus::P[1] & mask, carry);
        r.w[2] = mont256_detail::add_carry(d2, Modulus::P[2] & mask, carry);
        r.w[3] = mont256_detail::add_carry(d3, Modulus::P[3] & mask, carry);
        return r;
    }
    constexpr Residue operator-() const { return zero() - *this; }

    // Montgomery product, operand scanning: one limb of `o` is multiplied in and one limb reduced away per step.
    constexpr Residue operator*(const Residue& o) const {
#ifdef EVMCORE_MONT256_X86
        if (!__builtin_is_constant_evaluated() && mont256_detail::HAS_BMI2_AND_ADX) {
            Residue r{};
            mont256_detail::multiply_adx<SPARE_BIT>(r.w, w, o.w, Modulus::P, N0);
            return r;
        }
#endif
        using mont256_detail::mul_add;
        const uint64_t* const p = Modulus::P;
        uint64_t t0 = 0, t1 = 0, t2 = 0, t3 = 0, t4 = 0;
        for (int i = 0; i < 4; ++i) {
            const uint64_t b = o.w[i];
            uint64_t high = 0, fold = 0;
            t0 = mul_add(w[0], b, t0, high);
            const uint64_t q = t0 * N0;
            mul_add(q, p[0], t0, fold);
            t1 = mul_add(w[1], b, t1, high);
            t0 = mul_add(q, p[1], t1, fold);
            t2 = mul_add(w[2], b, t2, high);
            t1 = mul_add(q, p[2], t2, fold);
            t3 = mul_add(w[3], b, t3, high);
            t2 = mul_add(q, p[3], t3, fold);
            if constexpr (SPARE_BIT) {
                t3 = high + fold;
            } else {
                uint64_t carry = 0;
                const uint64_t top = mont256_detail::add_carry(t4, high, carry);
                uint64_t carry2 = 0;
                t3 = mont256_detail::add_carry(top, fold, carry2);
                t4 = carry + carry2;
            }
        }
        return reduced_once(t0, t1, t2, t3, t4);
    }
    constexpr Residue squared() const { return *this * *this; }

    // this^exponent; the exponent is a plain number, least significant limb first.
    constexpr Residue power(const uint64_t* exponent) const {
        Residue r = one();
        for (int i = 255; i >= 0; --i) {
            r = r.squared();
            if (exponent[i / 64] >> (i % 64) & 1) r = r * *this;
        }
        return r;
    }
    // 0 for 0.
    Residue inverse() const {
        if (is_zero()) return zero();
        Residue r{};
        invert_modulo(w, Modulus::P, N0, r.w);  // 1 / (value * 2^256), which takes 2^768 to bring back
        return r * Residue{{R3.w[0], R3.w[1], R3.w[2], R3.w[3]}};
    }

  private:
    // The number s + carry * 2^256, which is below 2p, modulo p.
    static constexpr Residue reduced_once(uint64_t s0, uint64_t s1, uint64_t s2, uint64_t s3, uint64_t carry) {
        uint64_t borrow = 0;
        const uint64_t d0 = mont256_detail::sub_borrow(s0, Modulus::P[0], borrow);
        const uint64_t d1 = mont256_detail::sub_borrow(s1, Modulus::P[1], borrow);
        const uint64_t d2 = mont256_detail::sub_borrow(s2, Modulus::P[2], borrow);
        const uint64_t d3 = mont256_detail::sub_borrow(s3, Modulus::P[3], borrow);
        // Masks, not a branch: which of the two it is cannot be predicted.
        const uint64_t keep = 0 - (SPARE_BIT ? borrow : borrow & (carry ^ 1));
        return {{d0 ^ (keep & (d0 ^ s0)), d1 ^ (keep & (d1 ^ s1)), d2 ^ (keep & (d2 ^ s2)), d3 ^ (keep & (d3 ^ s3))}};
    }
};

}  // namespace evmcore

#pragma GCC visibility pop
