// Arrays that can grow while another thread reads them, and the memory of these arrays.
//
// Blocks need such arrays anew each time and give them back. Large pieces are kept for the next block: the system would
// reclaim them and hand them out again page by page, zeroed, which takes longer than most of what is then written
// there.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace evmcore {

// Stands before the memory of an array.
struct alignas(16) ArrayHead {
    size_t room;                       // bytes of the array, behind this head
};

// Memory of arrays that are not in use: a few pieces of each size. Sizes are powers of two.
class ArrayMemory {
public:
    static constexpr size_t LEAST = size_t{1} << 16, MOST = size_t{1} << 24;      // bytes of kept pieces, heads included
    static constexpr size_t MOST_HELD = size_t{1} << 25;                          // bytes in all, for each module

    static bool keeps(size_t size) { return size >= LEAST && size <= MOST; }

    void* take(size_t size) {
        for (auto& slot : slots_[size_class(size)]) {
            if (slot.load(std::memory_order_relaxed) == nullptr) continue;
            if (void* found = slot.exchange(nullptr, std::memory_order_acquire)) {
                held_.fetch_sub(size, std::memory_order_relaxed);
                return found;
            }
        }
        return std::malloc(size);
    }

    void give(void* memory, size_t size) {
        if (held_.fetch_add(size, std::memory_order_relaxed) + size <= MOST_HELD) {
            for (auto& slot : slots_[size_class(size)]) {
                void* none = nullptr;
                if (slot.load(std::memory_order_relaxed) == nullptr &&
                    slot.compare_exchange_strong(none, memory, std::memory_order_release, std::memory_order_relaxed))
                    return;
            }
        }
        held_.fetch_sub(size, std::memory_order_relaxed);
        std::free(memory);
    }

private:
    static constexpr int CLASSES = 9, PIECES = 4;
    static int size_class(size_t size) { return __builtin_ctzll(size / LEAST); }

    std::atomic<void*> slots_[CLASSES][PIECES] = {};
    std::atomic<size_t> held_{0};
};

inline ArrayMemory array_memory;

// Memory for an array of `bytes` bytes, not cleared. nullptr: no memory.
inline void* new_array(size_t bytes) {
    if (bytes > SIZE_MAX / 4) return nullptr;
    size_t size = bytes + sizeof(ArrayHead);
    if (size >= ArrayMemory::LEAST && size <= ArrayMemory::MOST)
        size = size_t{1} << (64 - __builtin_clzll(static_cast<uint64_t>(size - 1)));
    auto* head = static_cast<ArrayHead*>(ArrayMemory::keeps(size) ? array_memory.take(size) : std::malloc(size));
    if (head == nullptr) return nullptr;
    head->room = size - sizeof(ArrayHead);
    return head + 1;
}

inline void free_array(void* array) {
    if (array == nullptr) return;
    ArrayHead* head = static_cast<ArrayHead*>(array) - 1;
    const size_t size = head->room + sizeof(ArrayHead);
    if (ArrayMemory::keeps(size)) array_memory.give(head, size);
    else std::free(head);
}

// The old memory of arrays that have grown, which another thread may still be reading. All zero: no thread does, and
// old memory is freed at once.
struct Retired {
    struct Old {
        void* memory;
        Old* next;
    };
    bool keeps;
    Old* first;
};

// Makes room for `wanted` items at `*items`; with `zeroed`, new items are zero. The room at least doubles, so that
// there are few old arrays. False: no memory, nothing changed. `retired` may be null. Free the array with `free_array`.
inline bool grow_array(void** items, size_t* capacity, size_t wanted, size_t item_size, bool zeroed, Retired* retired) {
    if (wanted <= *capacity) return true;
    const size_t bigger = std::max(2 * *capacity, wanted + 64), used = *capacity * item_size;
    const bool retires = *items != nullptr && retired != nullptr && retired->keeps;
    auto* old = retires ? static_cast<Retired::Old*>(std::malloc(sizeof(Retired::Old))) : nullptr;
    char* moved = static_cast<char*>(new_array(bigger * item_size));
    if (moved == nullptr || (retires && old == nullptr)) {
        std::free(old);
        free_array(moved);
        return false;
    }
    if (used != 0) std::memcpy(moved, *items, used);
    if (zeroed) std::memset(moved + used, 0, bigger * item_size - used);
    void* before = *items;
    __atomic_store_n(items, static_cast<void*>(moved), __ATOMIC_RELEASE);
    *capacity = bigger;
    if (retires) {
        *old = {before, retired->first};
        retired->first = old;
    } else {
        free_array(before);
    }
    return true;
}

// Where an array is now, for a thread that does not write it. It holds everything that was published before this call.
inline void* array_now(void* const* items) { return __atomic_load_n(items, __ATOMIC_ACQUIRE); }

inline void free_retired(Retired* retired) {
    while (retired->first != nullptr) {
        Retired::Old* old = retired->first;
        retired->first = old->next;
        free_array(old->memory);
        std::free(old);
    }
}

}  // namespace evmcore
