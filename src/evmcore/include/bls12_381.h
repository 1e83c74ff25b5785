// BLS12-381 (EIP-2537) and KZG point evaluation (EIP-4844) over the blst library, whose C functions are looked up by
// name in a shared library that exports them.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace evmcore::bls {

// blst's types, as its public header lays them out.
struct Fp {
    uint64_t limb[6];
};
struct Fp2 {
    Fp part[2];  // real, imaginary
};
struct Fp12 {
    Fp2 part[6];
};
template <class F>
struct Affine {
    F x, y;  // all zero: the point at infinity, both for blst and in EIP-2537's encoding
};
template <class F>
struct Point {
    F x, y, z;
};

template <class F>
struct GroupFunctions {
    bool (*on_curve)(const Affine<F>*);
    bool (*in_subgroup)(const Affine<F>*);
    int (*uncompress)(Affine<F>*, const uint8_t*);
    const Affine<F>* (*generator)();
    void (*from_affine)(Point<F>*, const Affine<F>*);
    void (*to_affine)(Affine<F>*, const Point<F>*);
    void (*add)(Point<F>*, const Point<F>*, const Point<F>*);
    void (*add_affine)(Point<F>*, const Point<F>*, const Affine<F>*);
    void (*negate_if)(Point<F>*, int);
    bool (*is_infinity)(const Point<F>*);
    void (*multiply)(Point<F>*, const Point<F>*, const uint8_t*, size_t);
    size_t (*msm_scratch_size)(size_t);
    void (*msm)(Point<F>*, const Affine<F>* const*, size_t, const uint8_t* const*, size_t, uint64_t*);
    void (*map_to_group)(Point<F>*, const F*, const F*);
};

struct Library {
    bool loaded;
    void (*fp_from_bendian)(Fp*, const uint8_t*);
    void (*bendian_from_fp)(uint8_t*, const Fp*);
    void (*miller_loop)(Fp12*, const Affine<Fp2>* const*, const Affine<Fp>* const*, size_t);
    void (*multiply)(Fp12*, const Fp12*, const Fp12*);
    void (*final_exponentiation)(Fp12*, const Fp12*);
    bool (*is_one)(const Fp12*);
    GroupFunctions<Fp> g1;
    GroupFunctions<Fp2> g2;
    Affine<Fp2> tau_g2, negated_generator_g2;  // for point evaluation
};

inline Library library{};  // written by bls_load alone, before any thread can call

template <class F>
inline const GroupFunctions<F>& group();
template <>
inline const GroupFunctions<Fp>& group<Fp>() { return library.g1; }
template <>
inline const GroupFunctions<Fp2>& group<Fp2>() { return library.g2; }

inline constexpr uint8_t FIELD_MODULUS[48] = {
    0x1a, 0x01, 0x11, 0xea, 0x39, 0x7f, 0xe6, 0x9a, 0x4b, 0x1b, 0xa7, 0xb6, 0x43, 0x4b, 0xac, 0xd7,
    0x64, 0x77, 0x4b, 0x84, 0xf3, 0x85, 0x12, 0xbf, 0x67, 0x30, 0xd2, 0xa0, 0xf6, 0xb0, 0xf6, 0x24,
    0x1e, 0xab, 0xff, 0xfe, 0xb1, 0x53, 0xff, 0xff, 0xb9, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xaa, 0xab};
inline constexpr uint8_t GROUP_ORDER[32] = {  // BLS_MODULUS in EIP-4844
    0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05,
    0x53, 0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01};
inline constexpr size_t ORDER_BITS = 255;
inline constexpr size_t FP_SIZE = 64;  // of an encoded base field element: 16 zero bytes, then 48 big-endian ones

// [tau] G2 of Ethereum's KZG ceremony, compressed: g2_monomial[1] of the trusted setup in the consensus-specs.
inline constexpr uint8_t TAU_G2[96] = {
    0xb5, 0xbf, 0xd7, 0xdd, 0x8c, 0xde, 0xb1, 0x28, 0x84, 0x3b, 0xc2, 0x87, 0x23, 0x0a, 0xf3, 0x89,
    0x26, 0x18, 0x70, 0x75, 0xcb, 0xfb, 0xef, 0xa8, 0x10, 0x09, 0xa2, 0xce, 0x61, 0x5a, 0xc5, 0x3d,
    0x29, 0x14, 0xe5, 0x87, 0x0c, 0xb4, 0x52, 0xd2, 0xaf, 0xaa, 0xab, 0x24, 0xf3, 0x49, 0x9f, 0x72,
    0x18, 0x5c, 0xbf, 0xee, 0x53, 0x49, 0x27, 0x14, 0x73, 0x44, 0x29, 0xb7, 0xb3, 0x86, 0x08, 0xe2,
    0x39, 0x26, 0xc9, 0x11, 0xcc, 0xec, 0xea, 0xc9, 0xa3, 0x68, 0x51, 0x47, 0x7b, 0xa4, 0xc6, 0x0b,
    0x08, 0x70, 0x41, 0xde, 0x62, 0x10, 0x00, 0xed, 0xc9, 0x8e, 0xda, 0xda, 0x20, 0xc1, 0xde, 0xf2};

template <class T>
inline bool is_zero(const T& value) {
    static constexpr T ZERO{};
    return std::memcmp(&value, &ZERO, sizeof(T)) == 0;
}

inline bool decode(const uint8_t* bytes, Fp& out) {
    static constexpr uint8_t PADDING[16] = {0};
    if (std::memcmp(bytes, PADDING, 16) != 0 || std::memcmp(bytes + 16, FIELD_MODULUS, 48) >= 0) return false;
    library.fp_from_bendian(&out, bytes + 16);
    return true;
}
inline bool decode(const uint8_t* bytes, Fp2& out) {
    return decode(bytes, out.part[0]) && decode(bytes + FP_SIZE, out.part[1]);
}
inline void encode(const Fp& value, uint8_t* bytes) {
    std::memset(bytes, 0, 16);
    library.bendian_from_fp(bytes + 16, &value);
}
inline void encode(const Fp2& value, uint8_t* bytes) {
    encode(value.part[0], bytes);
    encode(value.part[1], bytes + FP_SIZE);
}

template <class F>
inline constexpr size_t ENCODED = sizeof(F) / sizeof(Fp) * FP_SIZE;  // of a coordinate

template <class F>
inline bool decode_point(const uint8_t* bytes, Affine<F>& out) {
    if (!decode(bytes, out.x) || !decode(bytes + ENCODED<F>, out.y)) return false;
    return is_zero(out) || group<F>().on_curve(&out);
}
template <class F>
inline bool decode_subgroup_point(const uint8_t* bytes, Affine<F>& out) {
    return decode_point(bytes, out) && (is_zero(out) || group<F>().in_subgroup(&out));
}
template <class F>
inline void encode_point(const Point<F>& point, uint8_t* bytes) {
    Affine<F> affine{};
    if (!group<F>().is_infinity(&point)) group<F>().to_affine(&affine, &point);
    encode(affine.x, bytes);
    encode(affine.y, bytes + ENCODED<F>);
}

// A 256-bit big-endian scalar modulo the group order, little-endian as blst takes it.
inline void reduce_scalar(const uint8_t* bytes, uint8_t* out) {
    uint8_t value[32];
    std::memcpy(value, bytes, 32);
    while (std::memcmp(value, GROUP_ORDER, 32) >= 0) {  // at most twice: the order is above 2^254
        int borrow = 0;
        for (int i = 31; i >= 0; --i) {
            const int difference = value[i] - GROUP_ORDER[i] - borrow;
            borrow = difference < 0;
            value[i] = uint8_t(difference);
        }
    }
    for (int i = 0; i < 32; ++i) out[i] = value[31 - i];
}

template <class F>
inline bool add(const uint8_t* input, uint8_t* output) {
    Affine<F> a, b;
    if (!decode_point(input, a) || !decode_point(input + 2 * ENCODED<F>, b)) return false;
    Point<F> sum, first;
    if (is_zero(b)) {
        group<F>().from_affine(&sum, &a);
    } else {
        group<F>().from_affine(&first, &a);
        group<F>().add_affine(&sum, &first, &b);
    }
    encode_point(sum, output);
    return true;
}

// The sum of k points times their scalars: 1, 0 for input that is not points of the subgroup, -1 when out of memory.
template <class F>
inline int msm(const uint8_t* input, size_t k, uint8_t* output) {
    constexpr size_t POINT = 2 * ENCODED<F>;
    struct Term {
        Affine<F> point;
        uint8_t scalar[32];
    };
    const size_t scratch_size = k > 1 ? group<F>().msm_scratch_size(k) : 0;
    if (k > (SIZE_MAX - scratch_size) / sizeof(Term)) return -1;
    uint8_t* const memory = static_cast<uint8_t*>(std::malloc(k * sizeof(Term) + scratch_size));
    if (memory == nullptr) return -1;
    uint64_t* const scratch = reinterpret_cast<uint64_t*>(memory);
    Affine<F>* const points = reinterpret_cast<Affine<F>*>(memory + scratch_size);
    uint8_t* const scalars = memory + scratch_size + k * sizeof(Affine<F>);
    size_t n = 0;  // terms that are not zero
    for (size_t i = 0; i < k; ++i, input += POINT + 32) {
        if (!decode_subgroup_point(input, points[n])) {
            std::free(memory);
            return 0;
        }
        reduce_scalar(input + POINT, scalars + 32 * n);
        uint8_t any = 0;
        for (int j = 0; j < 32; ++j) any |= scalars[32 * n + j];
        n += any != 0 && !is_zero(points[n]);
    }
    Point<F> sum{};
    if (n == 1) {
        Point<F> point;
        group<F>().from_affine(&point, points);
        group<F>().multiply(&sum, &point, scalars, ORDER_BITS);
    } else if (n > 1) {
        // A null second pointer says that the others follow the first without a gap.
        const Affine<F>* const point_list[2] = {points, nullptr};
        const uint8_t* const scalar_list[2] = {scalars, nullptr};
        group<F>().msm(&sum, point_list, n, scalar_list, ORDER_BITS, scratch);
    }
    encode_point(sum, output);
    std::free(memory);
    return 1;
}

template <class F>
inline bool map(const uint8_t* input, uint8_t* output) {
    F element;
    if (!decode(input, element)) return false;
    Point<F> point;
    group<F>().map_to_group(&point, &element, nullptr);  // the cofactor is cleared there too
    encode_point(point, output);
    return true;
}

// A product of pairings, factor by factor; a factor with a point at infinity is one. Factors are gathered in batches
// that share their squarings.
class PairingProduct {
  public:
    void multiply(const Affine<Fp>& p, const Affine<Fp2>& q) {
        if (is_zero(p) || is_zero(q)) return;
        ps[gathered] = p;
        qs[gathered] = q;
        if (++gathered == BATCH) settle();
    }
    bool is_one() {
        settle();
        if (empty) return true;
        Fp12 result;
        library.final_exponentiation(&result, &product);
        return library.is_one(&result);
    }

  private:
    static constexpr size_t BATCH = 16;  // bounds the stack

    void settle() {
        if (gathered == 0) return;
        // A null second pointer says that the others follow the first without a gap.
        const Affine<Fp>* const p_list[2] = {ps, nullptr};
        const Affine<Fp2>* const q_list[2] = {qs, nullptr};
        Fp12 factor;
        library.miller_loop(empty ? &product : &factor, q_list, p_list, gathered);
        if (!empty) library.multiply(&product, &product, &factor);
        empty = false;
        gathered = 0;
    }

    Affine<Fp> ps[BATCH];
    Affine<Fp2> qs[BATCH];
    size_t gathered = 0;
    Fp12 product;
    bool empty = true;
};

template <class Function>
inline bool bind(void* handle, const char* prefix, const char* name, Function& function) {
    char symbol[64];
    if (std::strlen(prefix) + std::strlen(name) >= sizeof symbol) return false;
    std::strcpy(symbol, prefix);
    std::strcat(symbol, name);
    void* const address = dlsym(handle, symbol);
    static_assert(sizeof address == sizeof function, "functions and data have addresses of one size on POSIX");
    std::memcpy(&function, &address, sizeof function);
    return address != nullptr;
}

template <class F>
inline bool bind_group(void* handle, const char* point, const char* in_subgroup, const char* map_to_group,
                       GroupFunctions<F>& f) {
    return bind(handle, point, "_affine_on_curve", f.on_curve) && bind(handle, point, in_subgroup, f.in_subgroup) &&
           bind(handle, point, "_uncompress", f.uncompress) && bind(handle, point, "_affine_generator", f.generator) &&
           bind(handle, point, "_from_affine", f.from_affine) && bind(handle, point, "_to_affine", f.to_affine) &&
           bind(handle, point, "_add_or_double", f.add) &&
           bind(handle, point, "_add_or_double_affine", f.add_affine) && bind(handle, point, "_cneg", f.negate_if) &&
           bind(handle, point, "_is_inf", f.is_infinity) && bind(handle, point, "_mult", f.multiply) &&
           bind(handle, point, "s_mult_pippenger_scratch_sizeof", f.msm_scratch_size) &&
           bind(handle, point, "s_mult_pippenger", f.msm) && bind(handle, "", map_to_group, f.map_to_group);
}

}  // namespace evmcore::bls

namespace evmcore {

// Looks blst up in the shared library at `path`. False when that cannot be opened or does not export what is needed.
// To be called once, before any other function here.
inline bool bls_load(const char* path) {
    using namespace bls;
    void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);  // never closed: the functions are used until the end
    if (handle == nullptr) return false;
    Library& l = library;
    if (!(bind(handle, "blst_", "fp_from_bendian", l.fp_from_bendian) &&
          bind(handle, "blst_", "bendian_from_fp", l.bendian_from_fp) &&
          bind(handle, "blst_", "miller_loop_n", l.miller_loop) && bind(handle, "blst_", "fp12_mul", l.multiply) &&
          bind(handle, "blst_", "final_exp", l.final_exponentiation) &&
          bind(handle, "blst_", "fp12_is_one", l.is_one) &&
          bind_group(handle, "blst_p1", "_affine_in_g1", "blst_map_to_g1", l.g1) &&
          bind_group(handle, "blst_p2", "_affine_in_g2", "blst_map_to_g2", l.g2))) {
        return false;
    }
    Point<Fp2> generator;
    l.g2.from_affine(&generator, l.g2.generator());
    l.g2.negate_if(&generator, 1);
    l.g2.to_affine(&l.negated_generator_g2, &generator);
    l.loaded = l.g2.uncompress(&l.tau_g2, TAU_G2) == 0 && l.g2.in_subgroup(&l.tau_g2);
    return l.loaded;
}

inline bool bls_loaded() { return bls::library.loaded; }

// EIP-2537. Points and field elements in its encoding; false (0) for input that does not encode what it should.
inline bool bls_g1_add(const uint8_t* input, uint8_t* output) { return bls::add<bls::Fp>(input, output); }
inline bool bls_g2_add(const uint8_t* input, uint8_t* output) { return bls::add<bls::Fp2>(input, output); }
inline int bls_g1_msm(const uint8_t* input, size_t k, uint8_t* output) { return bls::msm<bls::Fp>(input, k, output); }
inline int bls_g2_msm(const uint8_t* input, size_t k, uint8_t* output) { return bls::msm<bls::Fp2>(input, k, output); }
inline bool bls_map_to_g1(const uint8_t* input, uint8_t* output) { return bls::map<bls::Fp>(input, output); }
inline bool bls_map_to_g2(const uint8_t* input, uint8_t* output) { return bls::map<bls::Fp2>(input, output); }

// 1 when the product of the pairings is one, 0 when it is not, -1 for points that are not of their groups.
inline int bls_pairing_check(const uint8_t* input, size_t pairs) {
    using namespace bls;
    PairingProduct product;
    for (size_t i = 0; i < pairs; ++i, input += 6 * FP_SIZE) {
        Affine<Fp> p;
        Affine<Fp2> q;
        if (!decode_subgroup_point(input, p) || !decode_subgroup_point(input + 2 * FP_SIZE, q)) return -1;
        product.multiply(p, q);
    }
    return product.is_one();
}

// z and y: 32 bytes big-endian; commitment and proof: 48 bytes compressed. Whether the polynomial committed to takes
// the value y at z. False as well for what is not a field element or a point of the group.
inline bool kzg_verify(const uint8_t* z, const uint8_t* y, const uint8_t* commitment, const uint8_t* proof) {
    using namespace bls;
    const GroupFunctions<Fp>& g1 = library.g1;
    if (std::memcmp(z, GROUP_ORDER, 32) >= 0 || std::memcmp(y, GROUP_ORDER, 32) >= 0) return false;
    Affine<Fp> c, pi;
    if (g1.uncompress(&c, commitment) != 0 || g1.uncompress(&pi, proof) != 0) return false;
    if (!is_zero(c) && !g1.in_subgroup(&c)) return false;
    if (!is_zero(pi) && !g1.in_subgroup(&pi)) return false;

    // The claim e(C - [y] G1, G2) = e(pi, [tau - z] G2) with all scalars brought into G1:
    // e(C - [y] G1 + [z] pi, -G2) e(pi, [tau] G2) = 1
    uint8_t scalar[32];
    Point<Fp> point, sum, term;
    g1.from_affine(&point, g1.generator());
    reduce_scalar(y, scalar);
    g1.multiply(&term, &point, scalar, ORDER_BITS);
    g1.negate_if(&term, 1);
    g1.from_affine(&point, &c);
    g1.add(&sum, &point, &term);
    g1.from_affine(&point, &pi);
    reduce_scalar(z, scalar);
    g1.multiply(&term, &point, scalar, ORDER_BITS);
    g1.add(&sum, &sum, &term);
    Affine<Fp> left{};
    if (!g1.is_infinity(&sum)) g1.to_affine(&left, &sum);
    PairingProduct product;
    product.multiply(left, library.negated_generator_g2);
    product.multiply(pi, library.tau_g2);
    return product.is_one();
}

}  // namespace evmcore
