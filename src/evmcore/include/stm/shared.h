// Words that several threads use at once.
//
// The drivers in tests/native define STM_YIELD(address, whether it is a write) to delay or to switch threads just before
// each such access, so that they see every order of events that matters; here it is nothing.
#pragma once
#include <atomic>
#include <chrono>
#include <thread>

#include "../relax.h"

#ifndef STM_YIELD
#define STM_YIELD(address, write)
#endif

// STM_KNOWS(depth, ...): of all that this worker has read, its doing from here on depends on the named values alone, and on
// those which its callers named at a lower depth. The driver that searches every order tells a worker's states apart by this.
#ifndef STM_KNOWS
#define STM_KNOWS(...)
#endif

namespace evmcore::stm {

// std::atomic, whose default orders (sequentially consistent) the scheduler relies on: several of its arguments have the
// form "either this thread sees that store, or that thread sees this one".
template <class T>
class Shared {
public:
    using Order = std::memory_order;

    Shared() = default;
    explicit Shared(T value) : value_(value) {}

    T load(Order order = std::memory_order_seq_cst) const {
        STM_YIELD(this, false);
        return value_.load(order);
    }
    void store(T value, Order order = std::memory_order_seq_cst) {
        STM_YIELD(this, true);
        value_.store(value, order);
    }
    T exchange(T value, Order order = std::memory_order_seq_cst) {
        STM_YIELD(this, true);
        return value_.exchange(value, order);
    }
    T fetch_add(T value, Order order = std::memory_order_seq_cst) {
        STM_YIELD(this, true);
        return value_.fetch_add(value, order);
    }
    // False: it was something else, which is now in `expected`.
    bool replace(T& expected, T desired, Order order = std::memory_order_seq_cst) {
        STM_YIELD(this, true);
        const Order otherwise = order == std::memory_order_seq_cst ? order : std::memory_order_acquire;
        return value_.compare_exchange_strong(expected, desired, order, otherwise);
    }

private:
    std::atomic<T> value_;
};

// What whoever has waited for some microseconds does each time, besides; nullptr: nothing. Every module that waits has its own.
inline void (*meanwhile)() = nullptr;
inline void do_meanwhile(void (*what)()) { meanwhile = what; }

// Waiting for another thread, for the `turn`th time in a row; returns the next turn.
inline unsigned pause([[maybe_unused]] unsigned turn) {
#ifdef STM_PAUSE
    STM_PAUSE();
    return 0;
#else
    // First for some microseconds, then for others who want this core, at last without using it.
    if (turn < 200) {
        relax();
        return turn + 1;
    }
    if (meanwhile != nullptr) meanwhile();
    if (turn < 300) {
        std::this_thread::yield();
        return turn + 1;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    return turn;
#endif
}

}  // namespace evmcore::stm
