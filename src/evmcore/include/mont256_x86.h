// Kernels of mont256.h in x86-64 assembly: compilers do not keep two carry chains in the flags, and that is half of the
// time of a pairing. Only moduli with a spare top bit; every function has its portable twin in mont256.h.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EVMCORE_MONT256_X86 1
#include <cpuid.h>

namespace evmcore::mont256_detail {

inline bool detect_bmi2_and_adx() {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & (1u << 8)) && (ebx & (1u << 19));
}
inline const bool HAS_BMI2_AND_ADX = detect_bmi2_and_adx();

// The four limbs at a pointer, as an operand that says they are read.
#define EVMCORE_LIMBS(pointer) "m"(*reinterpret_cast<const uint64_t(*)[4]>(pointer))

// t0..t3 becomes the number t0..t3 or, where that is not below p, t0..t3 - p. Clobbers s0..s3.
#define EVMCORE_REDUCE_ONCE(t0, t1, t2, t3, s0, s1, s2, s3, p) \
    "movq " t0 ", " s0 "\n\tmovq " t1 ", " s1 "\n\tmovq " t2 ", " s2 "\n\tmovq " t3 ", " s3 "\n\t" \
    "subq 0(" p "), " s0 "\n\tsbbq 8(" p "), " s1 "\n\tsbbq 16(" p "), " s2 "\n\tsbbq 24(" p "), " s3 "\n\t" \
    "cmovncq " s0 ", " t0 "\n\tcmovncq " s1 ", " t1 "\n\tcmovncq " s2 ", " t2 "\n\tcmovncq " s3 ", " t3 "\n\t"

// One limb of b times a, added to t: low halves along the overflow flag, high halves along the carry flag.
#define EVMCORE_MULTIPLY_ROUND(offset) \
    "movq " offset "(%[b]), %%rdx\n\t" \
    "xorl %%eax, %%eax\n\t" \
    "mulxq 0(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t0]\n\tadcxq %[h], %[t1]\n\t" \
    "mulxq 8(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t1]\n\tadcxq %[h], %[t2]\n\t" \
    "mulxq 16(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t2]\n\tadcxq %[h], %[t3]\n\t" \
    "mulxq 24(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t3]\n\t" \
    "movl $0, %%eax\n\tadcxq %%rax, %[h]\n\tadoxq %%rax, %[h]\n\t"

// The multiple of p that clears t0 is added, and t, with h on top, moves down a limb.
#define EVMCORE_REDUCE_ROUND \
    "movq %[t0], %%rdx\n\timulq %[n0], %%rdx\n\t" \
    "xorl %%eax, %%eax\n\t" \
    "mulxq 0(%[p]), %%rax, %[g]\n\tadcxq %%rax, %[t0]\n\tadoxq %[g], %[t1]\n\t" \
    "mulxq 8(%[p]), %[t0], %[g]\n\tadcxq %[t1], %[t0]\n\tadoxq %[g], %[t2]\n\t" \
    "mulxq 16(%[p]), %[t1], %[g]\n\tadcxq %[t2], %[t1]\n\tadoxq %[g], %[t3]\n\t" \
    "mulxq 24(%[p]), %[t2], %[g]\n\tadcxq %[t3], %[t2]\n\tadoxq %[g], %[h]\n\t" \
    "movl $0, %%eax\n\tadcxq %%rax, %[h]\n\tmovq %[h], %[t3]\n\t"

// r = a * b / 2^256 mod p; r may alias a and b.
inline void multiply_adx(uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* p, uint64_t n0) {
    const uint64_t *first = a, *second = b;
    uint64_t t0, t1, t2, t3, h, g;
    asm("movq 0(%[b]), %%rdx\n\t"
        "mulxq 0(%[a]), %[t0], %[t1]\n\t"
        "mulxq 8(%[a]), %%rax, %[t2]\n\taddq %%rax, %[t1]\n\t"
        "mulxq 16(%[a]), %%rax, %[t3]\n\tadcq %%rax, %[t2]\n\t"
        "mulxq 24(%[a]), %%rax, %[h]\n\tadcq %%rax, %[t3]\n\tadcq $0, %[h]\n\t"
        EVMCORE_REDUCE_ROUND
        EVMCORE_MULTIPLY_ROUND("8") EVMCORE_REDUCE_ROUND
        EVMCORE_MULTIPLY_ROUND("16") EVMCORE_REDUCE_ROUND
        EVMCORE_MULTIPLY_ROUND("24") EVMCORE_REDUCE_ROUND
        EVMCORE_REDUCE_ONCE("%[t0]", "%[t1]", "%[t2]", "%[t3]", "%[a]", "%[b]", "%[h]", "%[g]", "%[p]")
        : [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [h] "=&r"(h), [g] "=&r"(g), [a] "+&r"(a),
          [b] "+&r"(b)
        : [p] "r"(p), [n0] "m"(n0), EVMCORE_LIMBS(p), EVMCORE_LIMBS(first), EVMCORE_LIMBS(second)
        : "rax", "rdx", "cc");
    r[0] = t0;
    r[1] = t1;
    r[2] = t2;
    r[3] = t3;
}

inline void add_x86(uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* p) {
    uint64_t t0 = a[0], t1 = a[1], t2 = a[2], t3 = a[3], s0, s1, s2, s3;
    asm("addq 0(%[b]), %[t0]\n\tadcq 8(%[b]), %[t1]\n\tadcq 16(%[b]), %[t2]\n\tadcq 24(%[b]), %[t3]\n\t"
        EVMCORE_REDUCE_ONCE("%[t0]", "%[t1]", "%[t2]", "%[t3]", "%[s0]", "%[s1]", "%[s2]", "%[s3]", "%[p]")
        : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2),
          [s3] "=&r"(s3)
        : [b] "r"(b), [p] "r"(p), EVMCORE_LIMBS(b), EVMCORE_LIMBS(p)
        : "cc");
    r[0] = t0;
    r[1] = t1;
    r[2] = t2;
    r[3] = t3;
}

inline void subtract_x86(uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* p) {
    uint64_t t0 = a[0], t1 = a[1], t2 = a[2], t3 = a[3], s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    asm("subq 0(%[b]), %[t0]\n\tsbbq 8(%[b]), %[t1]\n\tsbbq 16(%[b]), %[t2]\n\tsbbq 24(%[b]), %[t3]\n\t"
        "cmovcq 0(%[p]), %[s0]\n\tcmovcq 8(%[p]), %[s1]\n\tcmovcq 16(%[p]), %[s2]\n\tcmovcq 24(%[p]), %[s3]\n\t"
        "addq %[s0], %[t0]\n\tadcq %[s1], %[t1]\n\tadcq %[s2], %[t2]\n\tadcq %[s3], %[t3]\n\t"
        : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2),
          [s3] "+&r"(s3)
        : [b] "r"(b), [p] "r"(p), EVMCORE_LIMBS(b), EVMCORE_LIMBS(p)
        : "cc");
    r[0] = t0;
    r[1] = t1;
    r[2] = t2;
    r[3] = t3;
}

#undef EVMCORE_LIMBS
#undef EVMCORE_REDUCE_ONCE
#undef EVMCORE_MULTIPLY_ROUND
#undef EVMCORE_REDUCE_ROUND

}  // namespace evmcore::mont256_detail

#endif
