// CRC-32 as zlib has it (IEEE 802.3, reflected), eight bytes a step.
#ifndef EVMCORE_CACHE_CRC32_H
#define EVMCORE_CACHE_CRC32_H

#include <cstddef>
#include <cstdint>
#include <cstring>

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

inline uint32_t crc32(const uint8_t* data, size_t size) noexcept {
    static constexpr CrcTables tables;
    const auto& t = tables.entry;
    uint32_t crc = ~0u;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        word ^= crc;
        crc = t[7][word & 255] ^ t[6][word >> 8 & 255] ^ t[5][word >> 16 & 255] ^ t[4][word >> 24 & 255] ^
              t[3][word >> 32 & 255] ^ t[2][word >> 40 & 255] ^ t[1][word >> 48 & 255] ^ t[0][word >> 56];
    }
    for (; size; --size, ++data)
        crc = crc >> 8 ^ t[0][(crc ^ *data) & 255];
    return ~crc;
}

}  // namespace evmcore::cache

#endif
