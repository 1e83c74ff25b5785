// Kernels of mont256.h in x86-64 assembly: compilers do not keep two carry chains in the flags, and that is half of the
// time of a pairing. Every function has its portable twin in mont256.h, which debug builds use: they keep too few
// registers free.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__)) && defined(__OPTIMIZE__)
#define EVMCORE_MONT256_X86 1
#include <cpuid.h>

#pragma GCC visibility push(hidden)

namespace evmcore::mont256_detail {

inline bool detect_bmi2_and_adx() {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & (1u << 8)) && (ebx & (1u << 19));
}
inline const bool HAS_BMI2_AND_ADX = detect_bmi2_and_adx();

// The four limbs at a pointer, as an operand that says they are read.
#define EVMCORE_LIMBS(pointer) "m"(*reinterpret_cast<const uint64_t(*)[4]>(pointer))

// t0..t3 becomes the same number or, where that is not below p, the number less p. Clobbers s0..s3. With `top`,
// EVMCORE_TOP_BORROW, the bit c stands above t3.
#define EVMCORE_TOP_BORROW "sbbq $0, %[c]\n\t"
#define EVMCORE_REDUCE_ONCE(top, s0, s1, s2, s3) \
    "movq %[t0], " s0 "\n\tmovq %[t1], " s1 "\n\tmovq %[t2], " s2 "\n\tmovq %[t3], " s3 "\n\t" \
    "subq 0(%[p]), " s0 "\n\tsbbq 8(%[p]), " s1 "\n\tsbbq 16(%[p]), " s2 "\n\tsbbq 24(%[p]), " s3 "\n\t" \
    top \
    "cmovncq " s0 ", %[t0]\n\tcmovncq " s1 ", %[t1]\n\tcmovncq " s2 ", %[t2]\n\tcmovncq " s3 ", %[t3]\n\t"

// One limb of b times a, added to t: low halves along the overflow flag, high halves along the carry flag.
#define EVMCORE_MULTIPLY_ROUND(offset) \
    "movq " offset "(%[b]), %%rdx\n\t" \
    "xorl %%eax, %%eax\n\t" \
    "mulxq 0(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t0]\n\tadcxq %[h], %[t1]\n\t" \
    "mulxq 8(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t1]\n\tadcxq %[h], %[t2]\n\t" \
    "mulxq 16(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t2]\n\tadcxq %[h], %[t3]\n\t" \
    "mulxq 24(%[a]), %%rax, %[h]\n\tadoxq %%rax, %[t3]\n\t" \
    "movl $0, %%eax\n\tadcxq %%rax, %[h]\n\tadoxq %%rax, %[h]\n\t"

// The bit c that the last step left above t joins h, and becomes what that carries out.
#define EVMCORE_TOP_BIT "addq %[c], %[h]\n\tmovl $0, %k[c]\n\tadcq $0, %[c]\n\t"

// The multiple of p that clears t0 is added, and t, with h on top, moves down a limb.
#define EVMCORE_REDUCE_ROUND \
    "movq %[t0], %%rdx\n\timulq %[n0], %%rdx\n\t" \
    "xorl %%eax, %%eax\n\t" \
    "mulxq 0(%[p]), %%rax, %[g]\n\tadcxq %%rax, %[t0]\n\tadoxq %[g], %[t1]\n\t" \
    "mulxq 8(%[p]), %[t0], %[g]\n\tadcxq %[t1], %[t0]\n\tadoxq %[g], %[t2]\n\t" \
    "mulxq 16(%[p]), %[t1], %[g]\n\tadcxq %[t2], %[t1]\n\tadoxq %[g], %[t3]\n\t" \
    "mulxq 24(%[p]), %[t2], %[g]\n\tadcxq %[t3], %[t2]\n\tadoxq %[g], %[h]\n\t" \
    "movl $0, %%eax\n\tadcxq %%rax, %[h]\n\tmovq %[h], %[t3]\n\t"

// What the last addition carried out on either flag joins c.
#define EVMCORE_CARRY_OUT "movl $0, %%eax\n\tadcxq %%rax, %[c]\n\tadoxq %%rax, %[c]\n\t"

#define EVMCORE_FIRST_ROUND \
    "movq 0(%[b]), %%rdx\n\t" \
    "mulxq 0(%[a]), %[t0], %[t1]\n\t" \
    "mulxq 8(%[a]), %%rax, %[t2]\n\taddq %%rax, %[t1]\n\t" \
    "mulxq 16(%[a]), %%rax, %[t3]\n\tadcq %%rax, %[t2]\n\t" \
    "mulxq 24(%[a]), %%rax, %[h]\n\tadcq %%rax, %[t3]\n\tadcq $0, %[h]\n\t"

#define EVMCORE_ADD \
    "addq 0(%[b]), %[t0]\n\tadcq 8(%[b]), %[t1]\n\tadcq 16(%[b]), %[t2]\n\tadcq 24(%[b]), %[t3]\n\t"

// r = a * b / 2^256 mod p; r may alias a and b. SPARE_BIT: p is below 2^255, so that nothing is carried out of t.
template <bool SPARE_BIT>
inline void multiply_adx(uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* p, uint64_t n0) {
    uint64_t t0, t1, t2, t3, h, g;
    if constexpr (SPARE_BIT) {
        asm(EVMCORE_FIRST_ROUND EVMCORE_REDUCE_ROUND
            EVMCORE_MULTIPLY_ROUND("8") EVMCORE_REDUCE_ROUND
            EVMCORE_MULTIPLY_ROUND("16") EVMCORE_REDUCE_ROUND
            EVMCORE_MULTIPLY_ROUND("24") EVMCORE_REDUCE_ROUND
            EVMCORE_REDUCE_ONCE("", "%%rax", "%%rdx", "%[h]", "%[g]")
            : [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [h] "=&r"(h), [g] "=&r"(g)
            : [a] "r"(a), [b] "r"(b), [p] "r"(p), [n0] "m"(n0), EVMCORE_LIMBS(a), EVMCORE_LIMBS(b), EVMCORE_LIMBS(p)
            : "rax", "rdx", "cc");
    } else {
        uint64_t c = 0;
        asm(EVMCORE_FIRST_ROUND EVMCORE_REDUCE_ROUND EVMCORE_CARRY_OUT
            EVMCORE_MULTIPLY_ROUND("8") EVMCORE_TOP_BIT EVMCORE_REDUCE_ROUND EVMCORE_CARRY_OUT
            EVMCORE_MULTIPLY_ROUND("16") EVMCORE_TOP_BIT EVMCORE_REDUCE_ROUND EVMCORE_CARRY_OUT
            EVMCORE_MULTIPLY_ROUND("24") EVMCORE_TOP_BIT EVMCORE_REDUCE_ROUND EVMCORE_CARRY_OUT
            EVMCORE_REDUCE_ONCE(EVMCORE_TOP_BORROW, "%%rax", "%%rdx", "%[h]", "%[g]")
            : [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3), [h] "=&r"(h), [g] "=&r"(g), [c] "+&r"(c)
            : [a] "r"(a), [b] "r"(b), [p] "r"(p), [n0] "m"(n0), EVMCORE_LIMBS(a), EVMCORE_LIMBS(b), EVMCORE_LIMBS(p)
            : "rax", "rdx", "cc");
    }
    r[0] = t0;
    r[1] = t1;
    r[2] = t2;
    r[3] = t3;
}

template <bool SPARE_BIT>
__attribute__((always_inline)) inline void add_x86(uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* p) {
    uint64_t t0 = a[0], t1 = a[1], t2 = a[2], t3 = a[3], s0, s1, s2, s3;
    if constexpr (SPARE_BIT) {
        asm(EVMCORE_ADD EVMCORE_REDUCE_ONCE("", "%[s0]", "%[s1]", "%[s2]", "%[s3]")
            : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [s0] "=&r"(s0), [s1] "=&r"(s1),
              [s2] "=&r"(s2), [s3] "=&r"(s3)
            : [b] "r"(b), [p] "r"(p), EVMCORE_LIMBS(b), EVMCORE_LIMBS(p)
            : "cc");
    } else {
        uint64_t c = 0;
        asm(EVMCORE_ADD "adcq $0, %[c]\n\t" EVMCORE_REDUCE_ONCE(EVMCORE_TOP_BORROW, "%[s0]", "%[s1]", "%[s2]", "%[s3]")
            : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [s0] "=&r"(s0), [s1] "=&r"(s1),
              [s2] "=&r"(s2), [s3] "=&r"(s3), [c] "+&r"(c)
            : [b] "r"(b), [p] "r"(p), EVMCORE_LIMBS(b), EVMCORE_LIMBS(p)
            : "cc");
    }
    r[0] = t0;
    r[1] = t1;
    r[2] = t2;
    r[3] = t3;
}

__attribute__((always_inline)) inline void subtract_x86(uint64_t* r, const uint64_t* a, const uint64_t* b, const uint64_t* p) {
    uint64_t t0 = a[0], t1 = a[1], t2 = a[2], t3 = a[3], s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    asm("subq 0(%[b]), %[t0]\n\tsbbq 8(%[b]), %[t1]\n\tsbbq 16(%[b]), %[t2]\n\tsbbq 24(%[b]), %[t3]\n\t"
        "cmovcq 0(%[p]), %[s0]\n\tcmovcq 8(%[p]), %[s1]\n\tcmovcq 16(%[p]), %[s2]\n\tcmovcq 24(%[p]), %[s3]\n\t"
        "addq %[s0], %[t0]\n\tadcq %[s1], %[t1]\n\tadcq %[s2], %[t2]\n\tadcq %[s3], %[t3]\n\t"
        : [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2), [t3] "+&r"(t3), [s0] "+&r"(s0), [s1] "+&r"(s1),
          [s2] "+&r"(s2), [s3] "+&r"(s3)
        : [b] "r"(b), [p] "r"(p), EVMCORE_LIMBS(b), EVMCORE_LIMBS(p)
        : "cc");
    r[0] = t0;
    r[1] = t1;
    r[2] = t2;
    r[3] = t3;
}

#undef EVMCORE_LIMBS
#undef EVMCORE_TOP_BORROW
#undef EVMCORE_REDUCE_ONCE
#undef EVMCORE_ADD
#undef EVMCORE_FIRST_ROUND
#undef EVMCORE_MULTIPLY_ROUND
#undef EVMCORE_TOP_BIT
#undef EVMCORE_CARRY_OUT
#undef EVMCORE_REDUCE_ROUND

}  // namespace evmcore::mont256_detail

#pragma GCC visibility pop

#endif
