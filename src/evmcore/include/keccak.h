// Keccak-256 as Ethereum uses it (the padding of the submission, not of FIPS 202): rate 136 bytes, 24 rounds.
//
// The permutation is compiled once portably and, on x86-64, once more with BMI (andn for chi, rorx for the rotations
// without a copy); the best one the machine has is chosen when the module is loaded.
#ifndef EVMCORE_KECCAK_H
#define EVMCORE_KECCAK_H

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define EVMCORE_KECCAK_X86 1
#endif

static const size_t KECCAK_RATE = 136;

static const uint64_t KECCAK_ROUND_CONSTANTS[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

static inline __attribute__((always_inline)) uint64_t keccak_rotate(uint64_t v, unsigned n) {
    return v << n | v >> (64 - n);
}

// One row after rho, pi and chi: lanes i0..i4 of a are those that pi moves to row y, with their rho offsets.
// The first column of the row comes from column x of the state before, the next ones from the columns after it.
#define KECCAK_ROW(e, y, i0, x0, r0, i1, x1, r1, i2, x2, r2, i3, x3, r3, i4, x4, r4) \
    {                                                                                  \
        const uint64_t b0 = r0 ? keccak_rotate(a[i0] ^ d[x0], r0) : a[i0] ^ d[x0];     \
        const uint64_t b1 = keccak_rotate(a[i1] ^ d[x1], r1);                          \
        const uint64_t b2 = keccak_rotate(a[i2] ^ d[x2], r2);                          \
        const uint64_t b3 = keccak_rotate(a[i3] ^ d[x3], r3);                          \
        const uint64_t b4 = keccak_rotate(a[i4] ^ d[x4], r4);                          \
        e[5 * y + 0] = b0 ^ (~b1 & b2);                                                \
        e[5 * y + 1] = b1 ^ (~b2 & b3);                                                \
        e[5 * y + 2] = b2 ^ (~b3 & b4);                                                \
        e[5 * y + 3] = b3 ^ (~b4 & b0);                                                \
        e[5 * y + 4] = b4 ^ (~b0 & b1);                                                \
    }

// One round from the lanes a[x + 5 y] to e. Both are local arrays of the caller, indexed by constants only.
static inline __attribute__((always_inline)) void keccak_round(uint64_t* e, const uint64_t* a, uint64_t constant) {
    uint64_t c[5], d[5];
    c[0] = a[0] ^ a[5] ^ a[10] ^ a[15] ^ a[20];
    c[1] = a[1] ^ a[6] ^ a[11] ^ a[16] ^ a[21];
    c[2] = a[2] ^ a[7] ^ a[12] ^ a[17] ^ a[22];
    c[3] = a[3] ^ a[8] ^ a[13] ^ a[18] ^ a[23];
    c[4] = a[4] ^ a[9] ^ a[14] ^ a[19] ^ a[24];
    d[0] = c[4] ^ keccak_rotate(c[1], 1);
    d[1] = c[0] ^ keccak_rotate(c[2], 1);
    d[2] = c[1] ^ keccak_rotate(c[3], 1);
    d[3] = c[2] ^ keccak_rotate(c[4], 1);
    d[4] = c[3] ^ keccak_rotate(c[0], 1);
    KECCAK_ROW(e, 0, 0, 0, 0, 6, 1, 44, 12, 2, 43, 18, 3, 21, 24, 4, 14)
    KECCAK_ROW(e, 1, 3, 3, 28, 9, 4, 20, 10, 0, 3, 16, 1, 45, 22, 2, 61)
    KECCAK_ROW(e, 2, 1, 1, 1, 7, 2, 6, 13, 3, 25, 19, 4, 8, 20, 0, 18)
    KECCAK_ROW(e, 3, 4, 4, 27, 5, 0, 36, 11, 1, 10, 17, 2, 15, 23, 3, 56)
    KECCAK_ROW(e, 4, 2, 2, 62, 8, 3, 55, 14, 4, 39, 15, 0, 41, 21, 1, 2)
    e[0] ^= constant;
}

static inline __attribute__((always_inline)) void keccak_rounds(uint64_t* state) {
    uint64_t a[25], e[25];
    for (int i = 0; i < 25; ++i)
        a[i] = state[i];
    for (int i = 0; i < 24; i += 2) {
        keccak_round(e, a, KECCAK_ROUND_CONSTANTS[i]);
        keccak_round(a, e, KECCAK_ROUND_CONSTANTS[i + 1]);
    }
    for (int i = 0; i < 25; ++i)
        state[i] = a[i];
}

typedef void (*KeccakPermutation)(uint64_t* state);

static void keccak_permute_portable(uint64_t* state) { keccak_rounds(state); }

#ifdef EVMCORE_KECCAK_X86
static __attribute__((target("bmi,bmi2"))) void keccak_permute_bmi(uint64_t* state) { keccak_rounds(state); }
#endif

// The permutations this machine can run, best first, ended by nulls.
struct KeccakVariant {
    const char* name;
    KeccakPermutation permute;
};

static inline const KeccakVariant* keccak_variants() {
    static KeccakVariant variants[4];
    if (!variants[0].name) {
        KeccakVariant* next = variants;
#ifdef EVMCORE_KECCAK_X86
        __builtin_cpu_init();
        if (__builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
            *next++ = {"bmi", keccak_permute_bmi};
#endif
        *next = {"portable", keccak_permute_portable};
    }
    return variants;
}

static const KeccakPermutation keccak_permute = keccak_variants()[0].permute;

static inline uint64_t keccak_load(const uint8_t* data) {
    uint64_t lane;
    memcpy(&lane, data, 8);
    return lane;
}

// Writes 32 bytes to digest after all of data is read.
static inline void keccak_hash(KeccakPermutation permute, const uint8_t* data, size_t size, uint8_t* digest) {
    uint64_t state[25] = {0};
    for (; size >= KECCAK_RATE; data += KECCAK_RATE, size -= KECCAK_RATE) {
        for (size_t i = 0; i < KECCAK_RATE / 8; ++i)
            state[i] ^= keccak_load(data + 8 * i);
        permute(state);
    }
    const size_t lanes = size / 8, rest = size % 8;
    for (size_t i = 0; i < lanes; ++i)
        state[i] ^= keccak_load(data + 8 * i);
    uint64_t last = 0;
    if (rest)
        memcpy(&last, data + 8 * lanes, rest);
    state[lanes] ^= last | (uint64_t)1 << (8 * rest);
    state[KECCAK_RATE / 8 - 1] ^= (uint64_t)1 << 63;
    permute(state);
    memcpy(digest, state, 32);
}

// The same for exactly 64 bytes, the size of a mapping key and its slot: nothing depends on a length.
static inline void keccak_hash_64(KeccakPermutation permute, const uint8_t* data, uint8_t* digest) {
    uint64_t state[25] = {0};
    memcpy(state, data, 64);
    state[8] = 1;
    state[KECCAK_RATE / 8 - 1] = (uint64_t)1 << 63;
    permute(state);
    memcpy(digest, state, 32);
}

#endif
