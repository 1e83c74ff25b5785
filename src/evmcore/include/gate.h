// How far a block is final, for one reader that follows it from another thread.
//
// The committing thread calls `publish` for each transaction. That never waits for the reader to act: it takes the lock
// only if the reader sleeps until a count that is now reached. The reader sleeps for a short time at most, so that it
// need not be woken for every transaction.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace evmcore {

class Gate {
public:
    // Everything of the first `count` transactions is in its place.
    void publish(uint64_t count) {
        published_.store(count);
        if (count >= wanted_.load()) wake();
    }

    // Nothing more will be published.
    void close() {
        closed_.store(true);
        wake();
    }

    uint64_t published() const { return published_.load(std::memory_order_acquire); }
    bool closed() const { return closed_.load(std::memory_order_acquire); }

    // Sleeps until `count` are published, the gate is closed, or `microseconds` have passed.
    void wait(uint64_t count, unsigned microseconds) {
        std::unique_lock<std::mutex> lock(mutex_);
        wanted_.store(count);
        changed_.wait_for(lock, std::chrono::microseconds(microseconds), [&] { return closed() || published_.load() >= count; });
        wanted_.store(UINT64_MAX);
    }

private:
    void wake() {
        // With the lock held, the reader is either asleep or looks again before it sleeps.
        std::lock_guard<std::mutex> lock(mutex_);
        changed_.notify_one();
    }

    std::atomic<uint64_t> published_{0};
    std::atomic<uint64_t> wanted_{UINT64_MAX};
    std::atomic<bool> closed_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace evmcore
