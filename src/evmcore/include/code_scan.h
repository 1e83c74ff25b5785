// One pass over contract code, 64 bytes at a time: which bytes are PUSH data, which are jump destinations, and the copy of
// the code that is executed, as far as it can be made without knowing which parts are reached.
#pragma once
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace evmcore {

typedef uint8_t Bytes16 __attribute__((vector_size(16)));

// One bit for each of 16 bytes that are 0 or 255.
inline uint64_t bits_of(Bytes16 lanes) {
#ifdef __SSE2__
    __m128i same;
    std::memcpy(&same, &lanes, 16);
    return static_cast<uint32_t>(_mm_movemask_epi8(same));
#else
    uint64_t halves[2];
    std::memcpy(halves, &lanes, 16);
    const uint64_t each = 0x8040201008040201u, sum = 0x0101010101010101u;
    return ((halves[0] & each) * sum >> 56) | ((halves[1] & each) * sum >> 56) << 8;
#endif
}

// What 64 bytes are, if each of them is an instruction: a bit for each.
struct Classes {
    uint64_t push = 0;       // PUSH1 to PUSH32
    uint64_t jumpdest = 0;
    uint64_t reserved = 0;   // numbers that mean something else in the executed copy
};

template <class Numbers>
inline Classes classes_of(const uint8_t* bytes) {
    Classes found;
    for (int at = 0; at < 64; at += 16) {
        Bytes16 sixteen;
        std::memcpy(&sixteen, bytes + at, 16);
        Bytes16 reserved = {};
        for (const auto& range : Numbers::reserved) {
            reserved |= (Bytes16)(sixteen - range[0] <= static_cast<uint8_t>(range[1] - range[0]));
        }
        found.push |= bits_of((Bytes16)((sixteen & 0xe0) == 0x60)) << at;
        found.jumpdest |= bits_of((Bytes16)(sixteen == 0x5b)) << at;
        found.reserved |= bits_of(reserved) << at;
    }
    return found;
}

// Which of 64 bytes are PUSH data. `carried`: those that an instruction before them covers; on return the same for the next 64.
inline uint64_t push_data(const uint8_t* bytes, uint64_t push, uint64_t* carried) {
    uint64_t data = *carried, beyond = 0;
    for (; push; push &= push - 1) {
        const int at = __builtin_ctzll(push);
        const uint64_t is_instruction = (data >> at & 1) - 1;      // all ones or none: no branch to be guessed wrongly
        const uint64_t covered = ((uint64_t{2} << (bytes[at] - 0x60)) - 1) & is_instruction;
        data |= covered << at << 1;
        beyond |= covered >> (63 - at);
    }
    *carried = beyond;
    return data;
}

// Finds the jump destinations of `size` bytes at `raw` (one bit each), and makes the executed copy: reserved numbers become
// `Numbers::invalid`; the instructions at which execution can enter, those at 0 and behind each jump destination, become
// `Numbers::unreached`. PUSH data stays. 64 zero bytes follow `raw`; `ops` and `jumpdests` have room for whole times 64.
template <class Numbers>
inline void scan_code(const uint8_t* raw, uint32_t size, uint8_t* ops, uint64_t* jumpdests) {
    uint64_t carried = 0, entered = 1;
    for (size_t start = 0; start < size; start += 64) {
        const uint8_t* bytes = raw + start;
        uint8_t* copy = ops + start;
        const Classes classes = classes_of<Numbers>(bytes);
        const uint64_t data = push_data(bytes, classes.push, &carried);
        const uint64_t destinations = classes.jumpdest & ~data;
        uint64_t entries = destinations << 1 | entered;
        if (size - start < 64) entries &= (uint64_t{1} << (size - start)) - 1;
        entered = destinations >> 63;
        jumpdests[start / 64] = destinations;
        std::memcpy(copy, bytes, 64);
        for (uint64_t left = classes.reserved & ~data; left; left &= left - 1) copy[__builtin_ctzll(left)] = Numbers::invalid;
        for (uint64_t left = entries; left; left &= left - 1) copy[__builtin_ctzll(left)] = Numbers::unreached;
    }
}

}  // namespace evmcore
