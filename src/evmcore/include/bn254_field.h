// The field tower of BN254 (alt_bn128, EIP-196 and EIP-197):
// Fp2 = Fp[i] / (i^2 + 1), Fp6 = Fp2[v] / (v^3 - XI) with XI = 9 + i, Fp12 = Fp6[w] / (w^2 - v).
#pragma once

#include "mont256.h"

#pragma GCC visibility push(hidden)

namespace evmcore::bn254 {

struct BaseModulus {
    // p = 36 u^4 + 36 u^3 + 24 u^2 + 6 u + 1
    static constexpr uint64_t P[4] = {0x3c208c16d87cfd47, 0x97816a916871ca8d, 0xb85045b68181585d, 0x30644e72e131a029};
};
inline constexpr uint64_t U = 4965661367192848881;  // the curve parameter u
// n = 36 u^4 + 36 u^3 + 18 u^2 + 6 u + 1, the order of both groups
inline constexpr uint64_t ORDER[4] = {0x43e1f593f0000001, 0x2833e84879b97091, 0xb85045b68181585d, 0x30644e72e131a029};

using Fp = Residue<BaseModulus>;

struct Fp2 {
    Fp a, b;  // a + b i

    static constexpr Fp2 zero() { return {Fp::zero(), Fp::zero()}; }
    static constexpr Fp2 one() { return {Fp::one(), Fp::zero()}; }
    constexpr bool is_zero() const { return a.is_zero() && b.is_zero(); }
    constexpr bool operator==(const Fp2& o) const { return a == o.a && b == o.b; }
    constexpr Fp2 operator+(const Fp2& o) const { return {a + o.a, b + o.b}; }
    constexpr Fp2 operator-(const Fp2& o) const { return {a - o.a, b - o.b}; }
    constexpr Fp2 operator-() const { return {-a, -b}; }
    constexpr Fp2 doubled() const { return {a.doubled(), b.doubled()}; }
    constexpr Fp2 operator*(const Fp2& o) const {
        const Fp aa = a * o.a, bb = b * o.b;
        return {aa - bb, (a + b) * (o.a + o.b) - aa - bb};
    }
    constexpr Fp2 operator*(const Fp& k) const { return {a * k, b * k}; }
    constexpr Fp2 squared() const { return {(a + b) * (a - b), (a * b).doubled()}; }
    constexpr Fp2 conjugate() const { return {a, -b}; }  // this^p
    constexpr Fp2 times_xi() const {                     // (9 + i)(a + b i)
        const Fp a9 = a.doubled().doubled().doubled() + a, b9 = b.doubled().doubled().doubled() + b;
        return {a9 - b, b9 + a};
    }
    Fp2 inverse() const {
        const Fp norm = (a.squared() + b.squared()).inverse();
        return {a * norm, -(b * norm)};
    }
    constexpr Fp2 power(const uint64_t* exponent) const {
        Fp2 r = one();
        for (int i = 255; i >= 0; --i) {
            r = r.squared();
            if (exponent[i / 64] >> (i % 64) & 1) r = r * *this;
        }
        return r;
    }
};

inline constexpr Fp2 XI{Fp::from_u64(9), Fp::one()};

struct Fp6 {
    Fp2 a, b, c;  // a + b v + c v^2

    static constexpr Fp6 zero() { return {Fp2::zero(), Fp2::zero(), Fp2::zero()}; }
    static constexpr Fp6 one() { return {Fp2::one(), Fp2::zero(), Fp2::zero()}; }
    bool operator==(const Fp6& o) const { return a == o.a && b == o.b && c == o.c; }
    Fp6 operator+(const Fp6& o) const { return {a + o.a, b + o.b, c + o.c}; }
    Fp6 operator-(const Fp6& o) const { return {a - o.a, b - o.b, c - o.c}; }
    Fp6 operator-() const { return {-a, -b, -c}; }
    Fp6 operator*(const Fp6& o) const {
        const Fp2 aa = a * o.a, bb = b * o.b, cc = c * o.c;
        return {aa + ((b + c) * (o.b + o.c) - bb - cc).times_xi(),
                (a + b) * (o.a + o.b) - aa - bb + cc.times_xi(),
                (a + c) * (o.a + o.c) - aa - cc + bb};
    }
    Fp6 operator*(const Fp2& k) const { return {a * k, b * k, c * k}; }
    Fp6 times_sparse(const Fp2& k, const Fp2& l) const {  // (k + l v)
        const Fp2 ak = a * k, bl = b * l;
        return {ak + ((b + c) * l - bl).times_xi(), (a + b) * (k + l) - ak - bl, (a + c) * k - ak + bl};
    }
    Fp6 times_v() const { return {c.times_xi(), a, b}; }
    Fp6 inverse() const {
        const Fp2 t0 = a.squared() - (b * c).times_xi();
        const Fp2 t1 = c.squared().times_xi() - a * b;
        const Fp2 t2 = b.squared() - a * c;
        const Fp2 norm = (a * t0 + (c * t1 + b * t2).times_xi()).inverse();
        return {t0 * norm, t1 * norm, t2 * norm};
    }
};

namespace field_detail {

// (p - 1) / 6
constexpr mont256_detail::Limbs sixth_of_p() {
    mont256_detail::Limbs q{};
    uint128 rest = 0;
    for (int i = 3; i >= 0; --i) {
        rest = rest << 64 | (BaseModulus::P[i] - (i == 0 ? 1 : 0));
        q.w[i] = uint64_t(rest / 6);
        rest %= 6;
    }
    return q;
}

struct FrobeniusFactors {
    Fp2 by[6];  // XI^(k (p - 1) / 6) = w^(k (p - 1))
};

constexpr FrobeniusFactors frobenius_factors() {
    FrobeniusFactors f{};
    const mont256_detail::Limbs exponent = sixth_of_p();
    f.by[0] = Fp2::one();
    f.by[1] = XI.power(exponent.w);
    for (int k = 2; k < 6; ++k) f.by[k] = f.by[k - 1] * f.by[1];
    return f;
}

}  // namespace field_detail

inline constexpr field_detail::FrobeniusFactors FROBENIUS = field_detail::frobenius_factors();

struct Fp12 {
    Fp6 a, b;  // a + b w

    static constexpr Fp12 one() { return {Fp6::one(), Fp6::zero()}; }
    bool is_one() const { return *this == one(); }
    bool operator==(const Fp12& o) const { return a == o.a && b == o.b; }
    Fp12 operator*(const Fp12& o) const {
        const Fp6 aa = a * o.a, bb = b * o.b;
        return {aa + bb.times_v(), (a + b) * (o.a + o.b) - aa - bb};
    }
    Fp12 squared() const {
        const Fp6 ab = a * b;
        return {(a + b) * (a + b.times_v()) - ab - ab.times_v(), ab + ab};
    }
    // times k + l w + m w^3, the shape of a line
    Fp12 times_line(const Fp2& k, const Fp2& l, const Fp2& m) const {
        const Fp6 ak = a * k, bl = b.times_sparse(l, m);
        return {ak + bl.times_v(), (a + b).times_sparse(k + l, m) - ak - bl};
    }
    Fp12 conjugate() const { return {a, -b}; }  // this^(p^6); the inverse in the cyclotomic subgroup
    Fp12 inverse() const {
        const Fp6 norm = (a * a - (b * b).times_v()).inverse();
        return {a * norm, -(b * norm)};
    }
    Fp12 frobenius() const {  // this^p
        return {{a.a.conjugate(), a.b.conjugate() * FROBENIUS.by[2], a.c.conjugate() * FROBENIUS.by[4]},
                {b.a.conjugate() * FROBENIUS.by[1], b.b.conjugate() * FROBENIUS.by[3],
                 b.c.conjugate() * FROBENIUS.by[5]}};
    }
    // Squaring in the cyclotomic subgroup (Granger and Scott 2010): three squarings in Fp4 = Fp2[s] / (s^2 - XI).
    Fp12 cyclotomic_squared() const {
        const Fp2Pair p = square_in_fp4(a.a, b.b), q = square_in_fp4(b.a, a.c), r = square_in_fp4(a.b, b.c);
        return {{three_minus_two(p.first, a.a), three_minus_two(q.first, a.b), three_minus_two(r.first, a.c)},
                {three_plus_two(r.second.times_xi(), b.a), three_plus_two(p.second, b.b),
                 three_plus_two(q.second, b.c)}};
    }
    Fp12 cyclotomic_power_u() const {  // this^u
        Fp12 r = *this;
        for (int i = 61; i >= 0; --i) {
            r = r.cyclotomic_squared();
            if (U >> i & 1) r = r * *this;
        }
        return r;
    }

  private:
    struct Fp2Pair {
        Fp2 first, second;
    };
    static Fp2Pair square_in_fp4(const Fp2& x, const Fp2& y) {  // (x + y s)^2
        const Fp2 xx = x.squared(), yy = y.squared();
        return {xx + yy.times_xi(), (x + y).squared() - xx - yy};
    }
    static Fp2 three_minus_two(const Fp2& t, const Fp2& x) { return (t - x).doubled() + t; }
    static Fp2 three_plus_two(const Fp2& t, const Fp2& x) { return (t + x).doubled() + t; }
};

}  // namespace evmcore::bn254

#pragma GCC visibility pop
