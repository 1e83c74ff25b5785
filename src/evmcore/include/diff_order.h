// The order of a state diff's changes: by address, of one address by slot, both as big-endian numbers. What is sorted is small,
// and compared in words; the changes themselves are many times as large and written once, each into its place.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "u256.h"

namespace evmcore {

struct Place {
    uint64_t head;           // the first 8 bytes of the address
    const uint8_t* address;
    const u256* key;         // null: of the account itself
    uint32_t number;         // of what belongs here, ...
    uint32_t part;           // ... and of whom it is

    bool operator<(const Place& other) const {
        if (head != other.head) return head < other.head;
        if (address != other.address) {
            const int order = std::memcmp(address, other.address, 20);
            if (order != 0) return order < 0;
        }
        return key != nullptr && u_lt(key, other.key);
    }
};

inline Place place_of(const uint8_t* address, const u256* key, uint32_t number, uint32_t part) {
    uint64_t head;
    std::memcpy(&head, address, 8);
    return {__builtin_bswap64(head), address, key, number, part};
}

inline void sort_places(Place* places, size_t count) { std::sort(places, places + count); }

}  // namespace evmcore
