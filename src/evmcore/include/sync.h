// Atomic counters, a mutex that can live in static storage, and the monotonic clock: what Cython cannot say itself.
#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>

struct Mutex {
    std::mutex inner;
};

static inline void mutex_lock(Mutex* m) { m->inner.lock(); }
static inline void mutex_unlock(Mutex* m) { m->inner.unlock(); }

static inline int32_t atomic_add32(int32_t* p, int32_t v) { return __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL); }
static inline uint32_t atomic_load32(const uint32_t* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void atomic_store8(uint8_t* p, uint8_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline int64_t atomic_load64(const int64_t* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline uint32_t atomic_acquire32(const uint32_t* p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void atomic_release32(uint32_t* p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

static inline bool is_raised(const uint32_t* flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0; }
static inline void raise_flag(uint32_t* flag) { __atomic_store_n(flag, 1, __ATOMIC_RELEASE); }

static inline int64_t monotonic_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
