// Delays at the points where threads meet, for tests: seeded, off unless asked for. A delay gives way to other threads or
// sleeps for some microseconds, so that they meet in orders which are rare otherwise, on few cores above all.
#pragma once
#include <chrono>
#include <cstdint>
#include <thread>

namespace evmcore::stm {

__attribute__((noinline)) inline void delay(uint64_t* state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    const unsigned draw = static_cast<unsigned>(*state >> 40) & 31;
    if (draw < 12) {
        std::this_thread::yield();
    } else if (draw < 14) {
        std::this_thread::sleep_for(std::chrono::microseconds(1 + (*state & 31)));
    }
}

// `state`: of the caller's random numbers; 0: no delays.
inline void delay_point(uint64_t* state) {
    if (__builtin_expect(*state != 0, 0)) delay(state);
}

// Waits until `count` threads are here, a few milliseconds at most: there may be fewer of them.
inline void wait_for_all(uint32_t* arrived, uint32_t count) {
    __atomic_fetch_add(arrived, 1, __ATOMIC_ACQ_REL);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
    while (__atomic_load_n(arrived, __ATOMIC_ACQUIRE) < count && std::chrono::steady_clock::now() < end) {
        std::this_thread::yield();
    }
}

}  // namespace evmcore::stm
