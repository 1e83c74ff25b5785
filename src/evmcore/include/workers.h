// Native worker threads for batches: started on demand, kept for the life of the process, parked between batches. A
// forked child starts without workers and makes its own.
//
// Linux tends to wake a thread on the processor of the thread that wakes it. There it displaces that thread or waits
// for it, for milliseconds, while another processor is idle. So the workers are told to keep off the caller's
// processor.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <signal.h>
#include <exception>
#include <thread>
#include <unistd.h>
#include <vector>

#include "relax.h"
#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#endif

namespace evmcore {

using WorkerTask = void (*)(void* context);

// The thread for which this one works: for a worker that runs a task, the caller's; for any other thread, itself.
class Employer {
public:
    static uintptr_t self() { return (uintptr_t)pthread_self(); }
    static uintptr_t now() { return employer() ? employer() : self(); }
    static void set(uintptr_t thread) { employer() = thread; }

private:
    static uintptr_t& employer() {
        static thread_local uintptr_t thread = 0;
        return thread;
    }
};

// What the caller does at intervals while it waits for the other threads.
struct Meanwhile {
    void (*what)() = nullptr;
    int every_ms = 0;
};

class Workers {
public:
    explicit Workers(pid_t owner) : owner_(owner) {}
    pid_t owner() const { return owner_; }

    // Runs `task(context)` on `count` threads at once, the caller being one of them, and returns when all have ended.
    // If the workers are busy for another caller, or the system gives no more threads, fewer threads run it, but always
    // the caller: a task must take its share of the work from `context` until nothing is left.
    void run(unsigned count, WorkerTask task, void* context, const Meanwhile& meanwhile) {
        if (count <= 1 || busy_.exchange(true, std::memory_order_acquire)) {
            task(context);
            return;
        }
        unsigned helpers = grow(count - 1);
        place(helpers);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            task_ = task;
            context_ = context;
            employer_ = Employer::self();
            wanted_ = helpers;
            running_.store(helpers, std::memory_order_relaxed);
            ++generation_;
        }
        start_.notify_all();
        task(context);
        wait_for_helpers(meanwhile);
        busy_.store(false, std::memory_order_release);
    }

private:
    // The helpers mostly end within a few microseconds of the caller; sleeping and being woken takes longer than that.
    void wait_for_helpers(const Meanwhile& meanwhile) {
        const auto all_ended = [this] { return running_.load(std::memory_order_acquire) == 0; };
        for (int turn = 0; turn < kTurns; ++turn) {
            if (all_ended()) return;
            relax();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        if (meanwhile.what == nullptr) {
            done_.wait(lock, all_ended);
            return;
        }
        while (!done_.wait_for(lock, std::chrono::milliseconds(meanwhile.every_ms), all_ended)) {
            lock.unlock();
            meanwhile.what();
            lock.lock();
        }
    }

    // Starts workers until there are `count`, if the system gives them. Returns how many of these `count` exist.
    unsigned grow(unsigned count) {
        if (started_ < count) {
            // Signals stay with the threads that Python knows.
            sigset_t all, before;
            sigfillset(&all);
            pthread_sigmask(SIG_SETMASK, &all, &before);
            try {
#if defined(__linux__)
                threads_.reserve(count);
#endif
                for (; started_ < count; ++started_) {
                    std::thread thread(&Workers::work, this, started_, generation_);
#if defined(__linux__)
                    threads_.push_back(thread.native_handle());
#endif
                    thread.detach();
                }
            } catch (const std::exception&) {
            }
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
        }
        return started_ < count ? started_ : count;
    }

    // Keeps the first `helpers` workers off this thread's processor, if there is another one on which they may run.
    void place([[maybe_unused]] unsigned helpers) {
#if defined(__linux__)
        const int here = sched_getcpu();
        if (here < 0 || here >= CPU_SETSIZE) return;
        if (here != avoided_) {
            avoided_ = here;
            placed_ = 0;
        }
        if (placed_ >= helpers) return;
        cpu_set_t elsewhere;
        if (sched_getaffinity(0, sizeof elsewhere, &elsewhere) != 0) return;
        CPU_CLR(here, &elsewhere);
        if (CPU_COUNT(&elsewhere) == 0) return;
        for (; placed_ < helpers; ++placed_) pthread_setaffinity_np(threads_[placed_], sizeof elsewhere, &elsewhere);
#endif
    }

    void work(unsigned number, uint64_t seen) {
#if defined(__linux__)
        prctl(PR_SET_TIMERSLACK, 1000UL);   // ns: a short sleep in a task ends on time, not 50 us later
#endif
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            start_.wait(lock, [&] { return generation_ != seen; });
            seen = generation_;
            if (number >= wanted_)
                continue;
            WorkerTask task = task_;
            void* context = context_;
            Employer::set(employer_);
            lock.unlock();
            task(context);
            Employer::set(0);
            const bool last = running_.fetch_sub(1, std::memory_order_acq_rel) == 1;
            lock.lock();
            if (last)
                done_.notify_one();
        }
    }

    static constexpr int kTurns = 500;      // some ten microseconds

    const pid_t owner_;
    std::atomic<unsigned> running_{0};      // helpers that have not ended
    std::atomic<bool> busy_{false};         // a caller's batch runs; not a mutex, because a task may call `run` again
    std::mutex mutex_;                      // guards the members below
    std::condition_variable start_, done_;
    uint64_t generation_ = 0;
    unsigned started_ = 0, wanted_ = 0;
    WorkerTask task_ = nullptr;
    void* context_ = nullptr;
    uintptr_t employer_ = 0;
#if defined(__linux__)
    std::vector<pthread_t> threads_;        // all started threads; this and the members below are the caller's
    int avoided_ = -1;                      // the processor that ...
    unsigned placed_ = 0;                   // ... this many workers keep off
#endif
};

// The workers of this process. Never freed: threads may be parked in them until the process ends.
inline Workers* workers() {
    static std::atomic<Workers*> instance{nullptr};
    Workers* current = instance.load(std::memory_order_acquire);
    const pid_t self = getpid();
    while (current == nullptr || current->owner() != self) {
        Workers* fresh = new Workers(self);
        if (instance.compare_exchange_strong(current, fresh, std::memory_order_acq_rel)) {
            current = fresh;                // a forked child leaves the parent's workers alone: their locks may be held
        } else {
            delete fresh;
        }
    }
    return current;
}

// Numbers handed out to the threads of a batch.
class Counter {
public:
    // Takes `amount` numbers for the caller and returns the first of them.
    uint64_t take(uint64_t amount) { return next_.fetch_add(amount, std::memory_order_relaxed); }

private:
    std::atomic<uint64_t> next_{0};
};

inline void run_on_workers(unsigned count, WorkerTask task, void* context, const Meanwhile& meanwhile = {}) {
    workers()->run(count, task, context, meanwhile);
}

}  // namespace evmcore
