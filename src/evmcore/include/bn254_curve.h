// The groups of BN254: G1 on y^2 = x^3 + 3 over Fp, G2 on the twist y^2 = x^3 + 3 / XI over Fp2, and their encodings
// (EIP-196, EIP-197: big-endian coordinates, the imaginary part of an Fp2 first, the point at infinity all zeros).
#pragma once

#include <cstring>

#include "bn254_field.h"
#include "weierstrass.h"

#pragma GCC visibility push(hidden)

namespace evmcore::bn254 {

using G1 = weierstrass::Affine<Fp>;
using G2 = weierstrass::Affine<Fp2>;
using G1Jacobian = weierstrass::Jacobian<Fp, false>;
using G2Jacobian = weierstrass::Jacobian<Fp2, false>;

namespace curve_detail {

constexpr Fp inverse_at_compile_time(const Fp& value) {
    const uint64_t exponent[4] = {BaseModulus::P[0] - 2, BaseModulus::P[1], BaseModulus::P[2], BaseModulus::P[3]};
    return value.power(exponent);
}

}  // namespace curve_detail

inline constexpr Fp B = Fp::from_u64(3);
inline constexpr Fp2 TWIST_B = Fp2{Fp::from_u64(9), -Fp::one()} *  // 3 / (9 + i) = 3 (9 - i) / 82
                               (B * curve_detail::inverse_at_compile_time(Fp::from_u64(82)));

// 64 bytes. False when a coordinate is not below p or the point is not on the curve.
inline bool decode(const uint8_t* bytes, G1& out) {
    if (!Fp::from_be(bytes, out.x) || !Fp::from_be(bytes + 32, out.y)) return false;
    return out.is_infinity() || out.y.squared() == out.x.squared() * out.x + B;
}

inline void encode(const G1& p, uint8_t* bytes) {
    p.x.to_be(bytes);
    p.y.to_be(bytes + 32);
}

// 128 bytes; checks as above, and not that the point is in the subgroup of order n.
inline bool decode(const uint8_t* bytes, G2& out) {
    if (!Fp::from_be(bytes, out.x.b) || !Fp::from_be(bytes + 32, out.x.a)) return false;
    if (!Fp::from_be(bytes + 64, out.y.b) || !Fp::from_be(bytes + 96, out.y.a)) return false;
    return out.is_infinity() || out.y.squared() == out.x.squared() * out.x + TWIST_B;
}

// The p-power Frobenius map carried over to the twist.
inline G2 frobenius(const G2& q) {
    return {q.x.conjugate() * FROBENIUS.by[2], q.y.conjugate() * FROBENIUS.by[3]};
}
inline G2Jacobian frobenius(const G2Jacobian& q) {
    return {q.x.conjugate() * FROBENIUS.by[2], q.y.conjugate() * FROBENIUS.by[3], q.z.conjugate()};
}

// Membership in the subgroup of order n, for a point on the twist. With f = (u + 1) + u X + u X^2 - 2 u X^3 and
// chi = X^2 - t X + p, the order of a point that f(frobenius) sends to infinity divides gcd(Res(f, chi), n (2p - n)),
// which is n; and f(frobenius) sends all of the subgroup to infinity. (El Housni, Guillevic, Piellard 2022.)
inline bool in_subgroup(const G2& q) {
    if (q.is_infinity()) return true;
    G2Jacobian uq = G2Jacobian::from(q);
    for (int i = 61; i >= 0; --i) {
        uq = uq.doubled();
        if (U >> i & 1) uq = uq + q;
    }
    const G2Jacobian first = frobenius(uq), second = frobenius(first), third = frobenius(second);
    return uq + q + first + second == third.doubled();
}

namespace curve_detail {

// The endomorphism (x, y) -> (BETA x, y) of G1 is multiplication by a cube root of unity LAMBDA modulo n. The lattice
// of (a, b) with a + b LAMBDA = 0 has the basis (2u + 1, 6u^2 + 4u + 1), (6u^2 + 2u, -(2u + 1)) of determinant -n.
inline constexpr uint64_t BETA_LIMBS[4] = {0xe4bd44e5607cfd48, 0xc28f069fbb966e3d, 0x5e6dd9e7e0acccb0,
                                           0x30644e72e131a029};
inline constexpr Fp BETA = Fp::from_limbs(BETA_LIMBS);
inline constexpr uint64_t SHORT[4] = {2 * U + 1, 0, 0, 0};
inline constexpr uint128 U_SQUARED_6 = uint128(U) * U * 6;
inline constexpr uint128 LONG_1 = U_SQUARED_6 + uint128(U) * 4 + 1, LONG_2 = U_SQUARED_6 + uint128(U) * 2;
inline constexpr uint64_t LONG_1_LIMBS[4] = {uint64_t(LONG_1), uint64_t(LONG_1 >> 64), 0, 0};
inline constexpr uint64_t LONG_2_LIMBS[4] = {uint64_t(LONG_2), uint64_t(LONG_2 >> 64), 0, 0};
// floor(2^256 (2u + 1) / n), floor(2^256 (6u^2 + 4u + 1) / n)
inline constexpr uint64_t ROUND_1[4] = {0xd91d232ec7e0b3d7, 0x0000000000000002, 0, 0};
inline constexpr uint64_t ROUND_2[4] = {0x5398fd0300ff6565, 0x4ccef014a773d2d2, 0x0000000000000002, 0};

inline void multiply(const uint64_t* a, const uint64_t* b, uint64_t* product) {  // 4 limbs each into 8
    for (int i = 0; i < 8; ++i) product[i] = 0;
    for (int i = 0; i < 4; ++i) {
        uint64_t carry = 0;
        for (int j = 0; j < 4; ++j) product[i + j] = mont256_detail::mul_add(a[j], b[i], product[i + j], carry);
        product[i + 4] = carry;
    }
}

inline void subtract(uint64_t* a, const uint64_t* b) {  // modulo 2^256
    uint64_t borrow = 0;
    for (int i = 0; i < 4; ++i) a[i] = mont256_detail::sub_borrow(a[i], b[i], borrow);
}

// Replaces a number in two's complement by its absolute value. True when it was negative.
inline bool take_sign(uint64_t* a) {
    if (!(a[3] >> 63)) return false;
    uint64_t negated[4] = {0, 0, 0, 0};
    subtract(negated, a);
    std::memcpy(a, negated, sizeof negated);
    return true;
}

// k = k1 + k2 LAMBDA mod n with both below 2^130 in absolute value, in two's complement.
inline void split_scalar(const uint64_t* k, uint64_t* k1, uint64_t* k2) {
    uint64_t c1[8], c2[8], product[8];
    multiply(k, ROUND_1, c1);
    multiply(k, ROUND_2, c2);
    std::memcpy(k1, k, 32);
    multiply(c1 + 4, SHORT, product);
    subtract(k1, product);
    multiply(c2 + 4, LONG_2_LIMBS, product);
    subtract(k1, product);
    multiply(c2 + 4, SHORT, product);
    std::memcpy(k2, product, 32);
    multiply(c1 + 4, LONG_1_LIMBS, product);
    subtract(k2, product);
}

}  // namespace curve_detail

// [scalar] p; the scalar is any 256-bit number, least significant limb first.
inline G1 multiply(const G1& p, const uint64_t* scalar) {
    using namespace curve_detail;
    constexpr int WIDTH = 5, MULTIPLES = 1 << (WIDTH - 2);
    if (p.is_infinity()) return p;
    uint64_t k[4], k1[4], k2[4];
    std::memcpy(k, scalar, sizeof k);
    while (!mont256_detail::less(k, ORDER)) subtract(k, ORDER);
    split_scalar(k, k1, k2);
    const bool negative1 = take_sign(k1), negative2 = take_sign(k2);
    const weierstrass::SignedDigits<WIDTH> digits1(k1, negative1), digits2(k2, negative2);

    G1Jacobian odd[MULTIPLES], mapped[MULTIPLES];  // the odd multiples of p and of its image
    odd[0] = G1Jacobian::from(p);
    const G1Jacobian twice = odd[0].doubled();
    for (int i = 1; i < MULTIPLES; ++i) odd[i] = odd[i - 1] + twice;
    for (int i = 0; i < MULTIPLES; ++i) mapped[i] = {odd[i].x * BETA, odd[i].y, odd[i].z};

    G1Jacobian r = G1Jacobian::infinity();
    for (int i = digits1.count > digits2.count ? digits1.count : digits2.count; i-- > 0;) {
        r = r.doubled();
        if (digits1.at(i) != 0) r = r + digit_multiple(odd, digits1.at(i));
        if (digits2.at(i) != 0) r = r + digit_multiple(mapped, digits2.at(i));
    }
    return r.affine();
}

}  // namespace evmcore::bn254

namespace evmcore {

// Two points of 64 bytes into their sum. False when one is not a point.
inline bool bn254_add(const uint8_t* input, uint8_t* output) {
    bn254::G1 p, q;
    if (!bn254::decode(input, p) || !bn254::decode(input + 64, q)) return false;
    bn254::encode((bn254::G1Jacobian::from(p) + q).affine(), output);
    return true;
}

// A point and a scalar of 32 bytes into their product. False when it is not a point.
inline bool bn254_mul(const uint8_t* input, uint8_t* output) {
    bn254::G1 p;
    if (!bn254::decode(input, p)) return false;
    uint64_t scalar[4];
    bn254::Fp::limbs_from_be(input + 64, scalar);
    bn254::encode(bn254::multiply(p, scalar), output);
    return true;
}

}  // namespace evmcore

#pragma GCC visibility pop
