// A small lock-free store of interchangeable objects that are expensive to make: take one, give it back.
#pragma once
#include <atomic>

namespace evmcore {

struct Spares {
    static constexpr int SIZE = 64;         // further threads at the same time make and free their own
    std::atomic<void*> slots[SIZE] = {};
};

// A spare object, now the caller's alone; NULL: none is there.
inline void* spares_take(Spares* spares) {
    for (auto& slot : spares->slots) {
        if (slot.load(std::memory_order_relaxed) == nullptr)
            continue;
        if (void* item = slot.exchange(nullptr, std::memory_order_acquire))
            return item;
    }
    return nullptr;
}

// False: the store is full, and the item is still the caller's.
inline bool spares_give(Spares* spares, void* item) {
    for (auto& slot : spares->slots) {
        void* expected = nullptr;
        if (slot.load(std::memory_order_relaxed) == nullptr &&
            slot.compare_exchange_strong(expected, item, std::memory_order_release, std::memory_order_relaxed))
            return true;
    }
    return false;
}

}  // namespace evmcore
