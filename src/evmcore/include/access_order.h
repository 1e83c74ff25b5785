// Sorting numbers of accounts and slots by what they stand for, as block access lists want them.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace evmcore {

struct Numbered {
    uint64_t key[4];                        // an address or a slot as a number, most significant word first
    uint32_t number;
};

inline void sort_numbered(Numbered* items, size_t count) {
    std::sort(items, items + count, [](const Numbered& a, const Numbered& b) {
        for (int i = 0; i < 4; ++i)
            if (a.key[i] != b.key[i])
                return a.key[i] < b.key[i];
        return false;
    });
}

}  // namespace evmcore
