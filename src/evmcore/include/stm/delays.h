// For tests: what happens at the points where threads meet. It is seeded, and off by default. Usually it is a delay:
// the thread yields or sleeps for some microseconds, so that threads meet in orders which are rare otherwise, on few
// cores above all. Where workers take turns (see baton.h), another worker goes on instead.
#pragma once
#include <chrono>
#include <cstdint>
#include <thread>

#include "baton.h"
#include "shared.h"

namespace evmcore::stm {

struct Delays {
    uint64_t random;                   // state of this worker's random numbers; 0: no delays
    Baton* baton;                      // nullptr: the workers do not take turns
    uint32_t worker;                   // this worker's number for the baton
};

__attribute__((noinline)) inline void delay(Delays& delays) {
    uint64_t& state = delays.random;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const unsigned draw = static_cast<unsigned>(state >> 40) & 31;
    if (delays.baton != nullptr) {
        if (draw < 8) delays.baton->hand_on(delays.worker);
    } else if (draw < 12) {
        std::this_thread::yield();
    } else if (draw < 14) {
        std::this_thread::sleep_for(std::chrono::microseconds(1 + (state & 31)));
    }
}

inline void delay_point(Delays& delays) {
    if (__builtin_expect(delays.random != 0, 0)) delay(delays);
}

// One step of waiting for another worker, the `turn`th in a row; returns the next turn.
inline unsigned pause(Delays& delays, unsigned turn) {
    if (__builtin_expect(delays.baton == nullptr, 1)) return pause(turn);
    delays.baton->hand_on(delays.worker);
    return turn;
}

// Waits until `count` threads have arrived, a few milliseconds at most: fewer may come.
inline void wait_for_all(uint32_t* arrived, uint32_t count) {
    __atomic_fetch_add(arrived, 1, __ATOMIC_ACQ_REL);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
    while (__atomic_load_n(arrived, __ATOMIC_ACQUIRE) < count && std::chrono::steady_clock::now() < end) {
        std::this_thread::yield();
    }
}

}  // namespace evmcore::stm
