// CRC-32 as zlib has it (IEEE 802.3, reflected): by carry-less multiplication where the processor has it, else by tables,
// eight bytes a step.
#ifndef EVMCORE_CACHE_CRC32_H
#define EVMCORE_CACHE_CRC32_H

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EVMCORE_CRC32_FOLDS 1
#include <wmmintrin.h>
#endif

namespace evmcore::cache {

struct CrcTables {
    uint32_t entry[8][256];

    constexpr CrcTables() : entry() {
        for (uint32_t i = 0; i < 256; ++i) {
            uint32_t crc = i;
            for (int bit = 0; bit < 8; ++bit)
                crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
            entry[0][i] = crc;
        }
        for (uint32_t i = 0; i < 256; ++i)
            for (int table = 1; table < 8; ++table)
                entry[table][i] = entry[table - 1][i] >> 8 ^ entry[0][entry[table - 1][i] & 255];
    }
};

// `crc`: the register before, all ones at the start; gives it after.
inline uint32_t crc32_by_tables(uint32_t crc, const uint8_t* data, size_t size) noexcept {
    static constexpr CrcTables tables;
    const auto& t = tables.entry;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        word ^= crc;
        crc = t[7][word & 255] ^ t[6][word >> 8 & 255] ^ t[5][word >> 16 & 255] ^ t[4][word >> 24 & 255] ^
              t[3][word >> 32 & 255] ^ t[2][word >> 40 & 255] ^ t[1][word >> 48 & 255] ^ t[0][word >> 56];
    }
    for (; size; --size, ++data)
        crc = crc >> 8 ^ t[0][(crc ^ *data) & 255];
    return crc;
}

#ifdef EVMCORE_CRC32_FOLDS

// Instead of dividing, 16 bytes are multiplied by what x to the power of their distance, in bits, leaves, and added to the
// 16 bytes that far behind (Gopal et al., Fast CRC Computation for Generic Polynomials, 2009). What a block of bytes is
// folded to has the same remainder as the block.
namespace crc32_detail {

// x^power mod the polynomial, reflected, as carry-less multiplication of reflected numbers wants it: one bit further up.
constexpr uint64_t power(int power) {
    uint32_t value = 0x80000000u;
    for (; power; --power)
        value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
    return static_cast<uint64_t>(value) << 1;
}

// The two halves of 16 bytes go `bits` further.
template <int bits>
__attribute__((target("pclmul,sse2"))) inline __m128i forward(__m128i block) noexcept {
    const __m128i by = _mm_set_epi64x(static_cast<int64_t>(power(bits - 32)), static_cast<int64_t>(power(bits + 32)));
    return _mm_xor_si128(_mm_clmulepi64_si128(block, by, 0x00), _mm_clmulepi64_si128(block, by, 0x11));
}

inline bool detect() noexcept {
    __builtin_cpu_init();
    return __builtin_cpu_supports("pclmul");
}
inline const bool HAS_PCLMUL = detect();

__attribute__((target("pclmul,sse2"))) inline __m128i load(const uint8_t* data) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
}

// At least 64 bytes.
__attribute__((target("pclmul,sse2"))) inline uint32_t by_folding(uint32_t crc, const uint8_t* data, size_t size) noexcept {
    __m128i lane[4];
    for (int i = 0; i < 4; ++i)
        lane[i] = load(data + 16 * i);
    lane[0] = _mm_xor_si128(lane[0], _mm_cvtsi32_si128(static_cast<int>(crc)));
    for (data += 64, size -= 64; size >= 64; data += 64, size -= 64)
        for (int i = 0; i < 4; ++i)
            lane[i] = _mm_xor_si128(forward<512>(lane[i]), load(data + 16 * i));
    for (int i = 1; i < 4; ++i)
        lane[i] = _mm_xor_si128(forward<128>(lane[i - 1]), lane[i]);
    uint8_t rest[16];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(rest), lane[3]);
    return crc32_by_tables(crc32_by_tables(0, rest, 16), data, size);
}

}  // namespace crc32_detail

#endif

inline uint32_t crc32(const uint8_t* data, size_t size) noexcept {
#ifdef EVMCORE_CRC32_FOLDS
    if (size >= 64 && crc32_detail::HAS_PCLMUL)
        return ~crc32_detail::by_folding(~0u, data, size);
#endif
    return ~crc32_by_tables(~0u, data, size);
}

}  // namespace evmcore::cache

#endif
