// Words that several threads use at once.
//
// The drivers in tests/native define STM_YIELD(address, whether it is a write) to delay or to switch threads just
// before each such access, so that they produce every order of events that matters. Here it expands to nothing.
#pragma once
#include <atomic>
#include <chrono>
#include <thread>

#include "../relax.h"

#ifndef STM_YIELD
#define STM_YIELD(address, write)
#endif

// STM_KNOWS(depth, ...): of everything this worker has read, what it does from here on depends only on the named
// values, and on those that its callers named at a lower depth. The driver that searches every order tells a worker's
// states apart by them.
#ifndef STM_KNOWS
#define STM_KNOWS(...)
#endif

namespace evmcore::stm {

// A std::atomic. The scheduler relies on its default memory order (sequentially consistent): several correctness
// arguments have the form "either this thread sees that store, or that thread sees this one".
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
    // False: the word had another value, which is now in `expected`.
    bool replace(T& expected, T desired, Order order = std::memory_order_seq_cst) {
        STM_YIELD(this, true);
        const Order otherwise = order == std::memory_order_seq_cst ? order : std::memory_order_acquire;
        return value_.compare_exchange_strong(expected, desired, order, otherwise);
    }

private:
    std::atomic<T> value_;
};

// Called at each step by a thread that has waited for some microseconds; nullptr: nothing. Every module that waits has
// its own.
inline void (*meanwhile)() = nullptr;
inline void do_meanwhile(void (*what)()) { meanwhile = what; }

// One step of waiting for another thread, the `turn`th in a row; returns the next turn.
inline unsigned pause([[maybe_unused]] unsigned turn) {
#ifdef STM_PAUSE
    STM_PAUSE();
    return 0;
#else
    // First spin for some microseconds, then yield to other threads that want this core, then sleep.
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
