// Points of short Weierstrass curves y^2 = x^3 + a x + b, with a = 0 or a = -3, and digits of scalars.
// Formulas from the Explicit-Formulas Database: dbl-2009-l, dbl-2001-b, add-2007-bl. Nothing here is constant-time.
#pragma once

#include <cstdint>
#include <cstring>

#include "mont256.h"

#pragma GCC visibility push(hidden)

namespace evmcore::weierstrass {

template <class F>
struct Affine {
    F x, y;  // (0, 0), which is on none of our curves, stands for the point at infinity

    constexpr bool is_infinity() const { return x.is_zero() && y.is_zero(); }
    constexpr Affine operator-() const { return {x, -y}; }
};

// (X / Z^2, Y / Z^3); Z = 0 at infinity.
template <class F, bool A_IS_MINUS_3>
struct Jacobian {
    F x, y, z;

    static Jacobian infinity() { return {F::one(), F::one(), F::zero()}; }
    static Jacobian from(const Affine<F>& p) { return p.is_infinity() ? infinity() : Jacobian{p.x, p.y, F::one()}; }
    bool is_infinity() const { return z.is_zero(); }
    Jacobian operator-() const { return {x, -y, z}; }
    bool operator==(const Jacobian& o) const {
        if (is_infinity() || o.is_infinity()) return is_infinity() == o.is_infinity();
        const F zz = z.squared(), ozz = o.z.squared();
        return x * ozz == o.x * zz && y * ozz * o.z == o.y * zz * z;
    }
    Jacobian doubled() const {
        if constexpr (A_IS_MINUS_3) {
            const F delta = z.squared(), gamma = y.squared(), beta = x * gamma;
            const F product = (x - delta) * (x + delta), alpha = product.doubled() + product;
            const F beta4 = beta.doubled().doubled();
            const F x3 = alpha.squared() - beta4.doubled();
            return {x3, alpha * (beta4 - x3) - gamma.squared().doubled().doubled().doubled(), (y * z).doubled()};
        } else {
            const F a = x.squared(), b = y.squared(), c = b.squared();
            const F d = ((x + b).squared() - a - c).doubled();
            const F e = a.doubled() + a;
            const F x3 = e.squared() - d.doubled();
            return {x3, e * (d - x3) - c.doubled().doubled().doubled(), (y * z).doubled()};
        }
    }
    Jacobian operator+(const Affine<F>& o) const {
        if (o.is_infinity()) return *this;
        if (is_infinity()) return from(o);
        const F zz = z.squared();
        return add_scaled(x, y, o.x * zz, o.y * (z * zz), z);
    }
    Jacobian operator+(const Jacobian& o) const {
        if (o.is_infinity()) return *this;
        if (is_infinity()) return o;
        const F zz = z.squared(), ozz = o.z.squared();
        return add_scaled(x * ozz, y * (o.z * ozz), o.x * zz, o.y * (z * zz), z * o.z);
    }
    Affine<F> affine() const {
        if (is_infinity()) return {F::zero(), F::zero()};
        const F inverse = z.inverse(), square = inverse.squared();
        return {x * square, y * (square * inverse)};
    }

  private:
    // The sum of the points (u1 / z^2, s1 / z^3) and (u2 / z^2, s2 / z^3), of which the first is this one.
    Jacobian add_scaled(const F& u1, const F& s1, const F& u2, const F& s2, const F& common_z) const {
        const F h = u2 - u1, r = (s2 - s1).doubled();
        if (h.is_zero()) return r.is_zero() ? doubled() : infinity();
        const F i = h.doubled().squared(), j = h * i, v = u1 * i;
        const F x3 = r.squared() - j - v.doubled();
        return {x3, r * (v - x3) - (s1 * j).doubled(), (common_z * h).doubled()};
    }
};

// Replaces n points, none at infinity, by the same points in affine form with one inversion. scratch: n elements.
template <class F, bool A>
inline void to_affine(const Jacobian<F, A>* points, Affine<F>* out, F* scratch, int n) {
    F product = F::one();
    for (int i = 0; i < n; ++i) {
        scratch[i] = product;
        product = product * points[i].z;
    }
    F inverse = product.inverse();
    for (int i = n; i-- > 0;) {
        const F z_inverse = inverse * scratch[i], square = z_inverse.squared();
        inverse = inverse * points[i].z;
        out[i] = {points[i].x * square, points[i].y * (square * z_inverse)};
    }
}

// A number in signed digits that are zero or odd and below 2^(WIDTH - 1) in absolute value; of any WIDTH in a row at
// most one is not zero.
template <int WIDTH>
struct SignedDigits {
    int8_t digit[258];
    int count = 0;

    // magnitude: 4 limbs, least significant first
    SignedDigits(const uint64_t* magnitude, bool negative) {
        uint64_t k[5] = {magnitude[0], magnitude[1], magnitude[2], magnitude[3], 0};
        while ((k[0] | k[1] | k[2] | k[3] | k[4]) != 0) {
            int d = 0;
            if (k[0] & 1) {
                d = int(k[0] & ((1 << WIDTH) - 1));
                if (d >= 1 << (WIDTH - 1)) {
                    d -= 1 << WIDTH;
                    uint64_t carry = 0;
                    k[0] = mont256_detail::add_carry(k[0], uint64_t(-d), carry);
                    for (int i = 1; i < 5; ++i) k[i] = mont256_detail::add_carry(k[i], 0, carry);
                } else {
                    k[0] -= uint64_t(d);
                }
            }
            digit[count++] = int8_t(negative ? -d : d);
            for (int i = 0; i < 4; ++i) k[i] = k[i] >> 1 | k[i + 1] << 63;
            k[4] >>= 1;
        }
    }
    int at(int i) const { return i < count ? digit[i] : 0; }
};

// p times a digit, where odd[i] = (2 i + 1) p.
template <class Point>
inline Point digit_multiple(const Point* odd, int digit) {
    return digit > 0 ? odd[digit / 2] : -odd[-digit / 2];
}

}  // namespace evmcore::weierstrass

#pragma GCC visibility pop
