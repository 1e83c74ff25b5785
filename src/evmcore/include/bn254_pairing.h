// The optimal ate pairing on BN254 (Vercauteren 2010) and the product check of EIP-197.
#pragma once

#include <cstddef>

#include "bn254_curve.h"

#pragma GCC visibility push(hidden)

namespace evmcore::bn254 {

namespace pairing_detail {

inline constexpr int LOOP_DIGITS = 66;

struct LoopDigits {
    int8_t digit[LOOP_DIGITS];
    int count;
};

// The non-adjacent form of the loop length 6u + 2.
constexpr LoopDigits loop_digits() {
    LoopDigits r{};
    uint128 k = uint128(U) * 6 + 2;
    while (k != 0) {
        int digit = 0;
        if (k & 1) {
            digit = (k & 2) ? -1 : 1;
            k -= uint128(digit);
        }
        r.digit[r.count++] = int8_t(digit);
        k >>= 1;
    }
    return r;
}

inline constexpr LoopDigits LOOP = loop_digits();
inline constexpr Fp2 TWIST_B_3 = TWIST_B.doubled() + TWIST_B;

// k + l w + m w^3: the line through points of the twist, taken at a point of G1 once k and l are scaled by its
// coordinates. Factors in Fp2 vanish in the final exponentiation, so no denominator is kept.
struct Line {
    Fp2 k, l, m;
};

// One pair under way: P, Q, and T = [digits so far] Q in homogeneous coordinates. Formulas of Costello, Lange and
// Naehrig 2010, scaled so that nothing is halved.
struct Pair {
    G1 p;
    G2 q;
    Fp2 x, y, z;

    Line doubling_step() {
        const Fp2 xy = x * y, b = y.squared(), c = z.squared(), e = c * TWIST_B_3, f = e.doubled() + e;
        const Fp2 h = (y + z).squared() - b - c, j = x.squared(), ee = e.squared();
        const Fp2 ee4 = ee.doubled().doubled();
        x = (xy * (b - f)).doubled();
        y = (b + f).squared() - (ee4.doubled() + ee4);
        z = (b * h).doubled().doubled();
        return {-h, j.doubled() + j, e - b};
    }
    Line addition_step(const G2& o) {
        const Fp2 theta = y - o.y * z, lambda = x - o.x * z;
        const Fp2 d = lambda.squared(), e = lambda * d, f = z * theta.squared(), g = x * d;
        const Fp2 h = e + f - g.doubled();
        x = lambda * h;
        y = theta * (g - h) - e * y;
        z = z * e;
        return {lambda, -theta, theta * o.x - lambda * o.y};
    }
    Fp12 times(const Fp12& f, const Line& line) const { return f.times_line(line.k * p.y, line.l * p.x, line.m); }
};

// The product of the Miller functions of all pairs: the squarings are shared.
inline Fp12 miller_loop(Pair* pairs, size_t count) {
    Fp12 f = Fp12::one();
    for (size_t i = 0; i < count; ++i) {
        pairs[i].x = pairs[i].q.x;
        pairs[i].y = pairs[i].q.y;
        pairs[i].z = Fp2::one();
    }
    for (int at = LOOP.count - 2; at >= 0; --at) {
        f = f.squared();
        for (size_t i = 0; i < count; ++i) {
            Pair& pair = pairs[i];
            f = pair.times(f, pair.doubling_step());
            if (LOOP.digit[at] != 0) f = pair.times(f, pair.addition_step(LOOP.digit[at] > 0 ? pair.q : -pair.q));
        }
    }
    for (size_t i = 0; i < count; ++i) {
        Pair& pair = pairs[i];
        const G2 q1 = frobenius(pair.q), q2 = -frobenius(q1);
        f = pair.times(f, pair.addition_step(q1));
        f = pair.times(f, pair.addition_step(q2));
    }
    return f;
}

// f^((p^12 - 1) / n * 2u (6u^2 + 3u + 1)): a multiple, prime to n, of the exponent, which has a cheap form
// (Fuentes-Castaneda, Knapp, Rodriguez-Henriquez 2011).
inline Fp12 final_exponentiation(const Fp12& f) {
    Fp12 g = f.conjugate() * f.inverse();
    g = g.frobenius().frobenius() * g;
    const Fp12 u1 = g.cyclotomic_power_u(), u2 = u1.cyclotomic_power_u(), u3 = u2.cyclotomic_power_u();
    const Fp12 u1_2 = u1.cyclotomic_squared(), u1_4 = u1_2.cyclotomic_squared(), u1_6 = u1_2 * u1_4;
    const Fp12 u2_2 = u2.cyclotomic_squared(), u2_6 = u2_2.cyclotomic_squared() * u2_2;
    const Fp12 u3_2 = u3.cyclotomic_squared(), u3_4 = u3_2.cyclotomic_squared();
    const Fp12 common = u3_4.cyclotomic_squared() * u3_4 * u2_6;  // 12 u^3 + 6 u^2
    const Fp12 by_p = common * u1_4;                              // ... + 4 u
    const Fp12 by_p2 = common * u1_6;                             // ... + 6 u
    const Fp12 by_p3 = by_p * g.conjugate();                      // ... + 4 u - 1
    const Fp12 by_1 = by_p2 * u2_6 * g;                           // ... + 6 u + 6 u^2 + 1
    return ((by_p3.frobenius() * by_p2).frobenius() * by_p).frobenius() * by_1;
}

}  // namespace pairing_detail

}  // namespace evmcore::bn254

namespace evmcore {

// Pairs of a G1 point (64 bytes) and a G2 point (128 bytes). 1 when the product of their pairings is one, 0 when it is
// not, -1 when some encoding is not a point of its group.
inline int bn254_pairing_check(const uint8_t* input, size_t pairs) {
    using namespace bn254;
    using namespace bn254::pairing_detail;
    constexpr size_t BATCH = 16;  // pairs that share squarings; bounds the stack
    Pair batch[BATCH];
    size_t filled = 0;
    Fp12 product = Fp12::one();
    for (size_t i = 0; i < pairs; ++i, input += 192) {
        Pair& pair = batch[filled];
        if (!decode(input, pair.p) || !decode(input + 64, pair.q) || !in_subgroup(pair.q)) return -1;
        if (pair.p.is_infinity() || pair.q.is_infinity()) continue;
        if (++filled == BATCH) {
            product = product * miller_loop(batch, filled);
            filled = 0;
        }
    }
    if (filled != 0) product = product * miller_loop(batch, filled);
    return final_exponentiation(product).is_one();
}

}  // namespace evmcore

#pragma GCC visibility pop
