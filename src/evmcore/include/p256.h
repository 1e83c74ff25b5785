// ECDSA verification on P-256 (FIPS 186-5, EIP-7951): y^2 = x^3 - 3 x + b.
#pragma once

#include "weierstrass.h"

#pragma GCC visibility push(hidden)

namespace evmcore::p256 {

struct BaseModulus {
    static constexpr uint64_t P[4] = {0xffffffffffffffff, 0x00000000ffffffff, 0x0000000000000000, 0xffffffff00000001};
};
struct OrderModulus {
    static constexpr uint64_t P[4] = {0xf3b9cac2fc632551, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000};
};
using Fp = Residue<BaseModulus>;
using Fn = Residue<OrderModulus>;
using Point = weierstrass::Jacobian<Fp, true>;
using weierstrass::Affine;
using weierstrass::SignedDigits;

inline constexpr uint64_t B_LIMBS[4] = {0x3bce3c3e27d2604b, 0x651d06b0cc53b0f6, 0xb3ebbd55769886bc, 0x5ac635d8aa3a93e7};
inline constexpr uint64_t GX_LIMBS[4] = {0xf4a13945d898c296, 0x77037d812deb33a0, 0xf8bce6e563a440f2,
                                         0x6b17d1f2e12c4247};
inline constexpr uint64_t GY_LIMBS[4] = {0xcbb6406837bf51f5, 0x2bce33576b315ece, 0x8ee7eb4a7c0f9e16,
                                         0x4fe342e2fe1a7f9b};
inline constexpr Fp B = Fp::from_limbs(B_LIMBS);
inline constexpr Affine<Fp> GENERATOR{Fp::from_limbs(GX_LIMBS), Fp::from_limbs(GY_LIMBS)};

inline bool on_curve(const Affine<Fp>& p) {
    return p.y.squared() == (p.x.squared() - Fp::from_u64(3)) * p.x + B;
}

constexpr int WIDTH = 5, MULTIPLES = 1 << (WIDTH - 2);                       // for the public key
constexpr int GENERATOR_WIDTH = 8, GENERATOR_MULTIPLES = 1 << (GENERATOR_WIDTH - 2);

template <int N>
inline void odd_multiples(const Affine<Fp>& p, Affine<Fp>* out) {
    Point points[N];
    Fp scratch[N];
    points[0] = Point::from(p);
    const Point twice = points[0].doubled();
    for (int i = 1; i < N; ++i) points[i] = points[i - 1] + twice;
    to_affine(points, out, scratch, N);
}

struct GeneratorTable {
    Affine<Fp> odd[GENERATOR_MULTIPLES];
    GeneratorTable() { odd_multiples<GENERATOR_MULTIPLES>(GENERATOR, odd); }
};

}  // namespace evmcore::p256

namespace evmcore {

// digest, r, s, x, y: 32 bytes each, big-endian, one after the other. True for a valid signature by the key (x, y).
inline bool p256_verify(const uint8_t* input) {
    using namespace p256;
    static const GeneratorTable generator;  // built once, under the compiler's lock
    Fn r, s, digest;
    Affine<Fp> key;
    if (!Fn::from_be(input + 32, r) || !Fn::from_be(input + 64, s) || r.is_zero() || s.is_zero()) return false;
    if (!Fp::from_be(input + 96, key.x) || !Fp::from_be(input + 128, key.y) || !on_curve(key)) return false;
    uint64_t limbs[4];
    Fn::limbs_from_be(input, limbs);
    digest = Fn::from_limbs(limbs);  // reduces modulo n

    const Fn inverse = s.inverse();
    const SignedDigits<GENERATOR_WIDTH> by_generator((digest * inverse).plain().w, false);
    const SignedDigits<WIDTH> by_key((r * inverse).plain().w, false);
    Affine<Fp> odd[MULTIPLES];
    odd_multiples<MULTIPLES>(key, odd);
    Point sum = Point::infinity();
    for (int i = by_generator.count > by_key.count ? by_generator.count : by_key.count; i-- > 0;) {
        sum = sum.doubled();
        if (by_generator.at(i) != 0) sum = sum + digit_multiple(generator.odd, by_generator.at(i));
        if (by_key.at(i) != 0) sum = sum + digit_multiple(odd, by_key.at(i));
    }
    if (sum.is_infinity()) return false;

    // x mod n = r, without bringing x into affine form: x is r or, where that is below p, r + n.
    const Fp zz = sum.z.squared();
    Fn::limbs_from_be(input + 32, limbs);
    if (Fp::from_limbs(limbs) * zz == sum.x) return true;
    uint64_t carry = 0;
    for (int i = 0; i < 4; ++i) limbs[i] = mont256_detail::add_carry(limbs[i], OrderModulus::P[i], carry);
    return carry == 0 && mont256_detail::less(limbs, BaseModulus::P) && Fp::from_limbs(limbs) * zz == sum.x;
}

}  // namespace evmcore

#pragma GCC visibility pop
