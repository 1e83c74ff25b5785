// Arrays that grow, also while another thread reads what is in them.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace evmcore {

// The old memory of arrays that have grown, which somebody may still be reading. All zero: nobody is, it is given back at once.
struct Retired {
    struct Old {
        void* memory;
        Old* next;
    };
    bool keeps;
    Old* first;
};

// Room for `wanted` items at `*items`; with `zeroed`, those that are new are zero. At least doubles, so that there are few old
// ones. False: no memory, nothing changed. `retired` may be null.
inline bool grow_array(void** items, size_t* capacity, size_t wanted, size_t item_size, bool zeroed, Retired* retired) {
    if (wanted <= *capacity) return true;
    const size_t bigger = std::max(2 * *capacity, wanted + 64), used = *capacity * item_size;
    char* moved;
    if (retired == nullptr || !retired->keeps) {
        moved = static_cast<char*>(std::realloc(*items, bigger * item_size));
        if (moved == nullptr) return false;
    } else {
        auto* old = static_cast<Retired::Old*>(std::malloc(sizeof(Retired::Old)));
        moved = static_cast<char*>(std::malloc(bigger * item_size));
        if (old == nullptr || moved == nullptr) {
            std::free(old);
            std::free(moved);
            return false;
        }
        if (used != 0) std::memcpy(moved, *items, used);
        *old = {*items, retired->first};
        retired->first = old;
    }
    if (zeroed) std::memset(moved + used, 0, bigger * item_size - used);
    __atomic_store_n(items, static_cast<void*>(moved), __ATOMIC_RELEASE);
    *capacity = bigger;
    return true;
}

// Where an array is now, for whoever does not write it. It holds all that was published before this was asked.
inline void* array_now(void* const* items) { return __atomic_load_n(items, __ATOMIC_ACQUIRE); }

inline void free_retired(Retired* retired) {
    while (retired->first != nullptr) {
        Retired::Old* old = retired->first;
        retired->first = old->next;
        std::free(old->memory);
        std::free(old);
    }
}

}  // namespace evmcore
