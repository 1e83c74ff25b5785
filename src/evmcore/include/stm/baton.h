// For tests: workers that take turns. One worker runs at any time. At the points where threads meet, a seeded draw
// chooses the worker that goes on. So the seed determines what happens to a block, however slow or busy the machine is.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace evmcore::stm {

// Held by one of the workers 0 to count - 1, at first by worker 0. The holder may hand it on; all other workers wait
// for it.
class Baton {
public:
    Baton(uint32_t count, uint64_t seed)
        : called_(new std::condition_variable[count]), random_(seed * 0x9e3779b97f4a7c15u | 1), count_(count), there_(count, true) {}

    void take(uint32_t worker) {
        std::unique_lock<std::mutex> lock(mutex_);
        wait(lock, worker);
    }

    // Hands the baton to another worker and waits until it comes back. Does nothing if there is no other worker.
    void hand_on(uint32_t worker) {
        std::unique_lock<std::mutex> lock(mutex_);
        if (count_ < 2) return;
        give();
        wait(lock, worker);
    }

    // Gives the baton up for good.
    void leave(uint32_t worker) {
        std::lock_guard<std::mutex> lock(mutex_);
        there_[worker] = false;
        --count_;
        if (count_ != 0) give();
    }

private:
    void wait(std::unique_lock<std::mutex>& lock, uint32_t worker) {
        called_[worker].wait(lock, [&] { return holder_ == worker; });
    }

    void give() {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        uint64_t steps = (random_ >> 33) % (there_[holder_] ? count_ - 1 : count_) + 1;
        uint32_t next = holder_;
        while (steps != 0) {
            next = (next + 1) % static_cast<uint32_t>(there_.size());
            if (there_[next] && next != holder_) --steps;
        }
        holder_ = next;
        called_[next].notify_one();
    }

    std::mutex mutex_;                     // guards the members below
    std::unique_ptr<std::condition_variable[]> called_;    // by worker: the baton has come to it
    uint64_t random_;
    uint32_t count_, holder_ = 0;
    std::vector<bool> there_;              // by worker: it has not left
};

// Runs `task(context)` on exactly `count` threads at once: the caller's and fresh ones. The pool may run a task on
// fewer. False: the system does not give that many threads; nothing was run.
inline bool run_on_fresh_threads(unsigned count, void (*task)(void*), void* context) {
    std::mutex mutex;
    std::condition_variable decided;
    bool go = false, cancel = false;
    std::vector<std::thread> threads;
    const auto decide = [&](bool& what) {
        std::lock_guard<std::mutex> lock(mutex);
        what = true;
        decided.notify_all();
    };
    try {
        threads.reserve(count);
        while (threads.size() + 1 < count) {
            threads.emplace_back([&] {
                {
                    std::unique_lock<std::mutex> lock(mutex);
                    decided.wait(lock, [&] { return go || cancel; });
                }
                if (go) task(context);
            });
        }
        decide(go);
    } catch (const std::exception&) {
        decide(cancel);
    }
    if (go) task(context);
    for (auto& thread : threads) thread.join();
    return go;
}

}  // namespace evmcore::stm
