// A reader-writer lock for state backends: reading is one atomic add each way; phases alternate, so that neither side
// starves; a thread may nest its read sections, and is refused (not deadlocked) when it wants to write inside one.
#ifndef EVMCORE_SHARED_LOCK_H
#define EVMCORE_SHARED_LOCK_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace evmcore {

class SharedLock {
public:
    SharedLock() = default;
    SharedLock(const SharedLock&) = delete;
    SharedLock& operator=(const SharedLock&) = delete;

    void begin_read() noexcept {
        if (try_begin_read())
            return;
        wait_and_enter();
        remember();
    }

    // False where it would have to wait for a writer.
    bool try_begin_read() noexcept {
        Held* held = find();
        if (held) {
            held->depth++;  // this thread keeps writers out already
            return true;
        }
        if (state_.fetch_add(1, std::memory_order_acquire) & GATE) {
            leave();
            return false;
        }
        remember();
        return true;
    }

    void end_read() noexcept {
        Held* held = find();
        if (held) {
            if (--held->depth)
                return;
            Sections& own = sections();
            *held = own.held[--own.count];
        }
        leave();
    }

    // False when the calling thread has a read section open: it would wait for itself.
    bool begin_write() noexcept {
        if (find())
            return false;
        writers_.lock();
        std::unique_lock<std::mutex> guard(mutex_);
        state_.fetch_or(GATE, std::memory_order_acquire);
        drained_.wait(guard, [this] { return (state_.load(std::memory_order_acquire) & ~GATE) == 0; });
        return true;
    }

    void end_write() noexcept {
        {
            std::lock_guard<std::mutex> guard(mutex_);
            // Those who waited are let in together with the opening of the gate: the next writer waits for them.
            state_.fetch_add(waiting_, std::memory_order_release);
            state_.fetch_and(~GATE, std::memory_order_release);
            waiting_ = 0;
            phase_++;
        }
        opened_.notify_all();
        writers_.unlock();
    }

private:
    // Set while a writer waits or writes; the bits below it count readers (and those about to find the gate closed).
    static constexpr uint64_t GATE = uint64_t(1) << 63;

    // The locks on which this thread has read sections open. Deeper nesting than this over different backends still
    // works, but is then a plain section: not nestable in itself and not noticed by begin_write.
    struct Held {
        const SharedLock* lock;
        uint32_t depth;
    };
    struct Sections {
        uint32_t count;
        Held held[16];
    };

    static Sections& sections() noexcept {
        static thread_local Sections own = {};
        return own;
    }

    Held* find() noexcept {
        Sections& own = sections();
        for (uint32_t i = 0; i < own.count; i++)
            if (own.held[i].lock == this)
                return &own.held[i];
        return nullptr;
    }

    void remember() noexcept {
        Sections& own = sections();
        if (own.count < sizeof(own.held) / sizeof(own.held[0]))
            own.held[own.count++] = Held{this, 1};
    }

    void leave() noexcept {
        if (state_.fetch_sub(1, std::memory_order_acq_rel) == (GATE | 1)) {
            std::lock_guard<std::mutex> guard(mutex_);
            drained_.notify_one();
        }
    }

    void wait_and_enter() noexcept {
        std::unique_lock<std::mutex> guard(mutex_);
        if (!(state_.load(std::memory_order_acquire) & GATE)) {  // the gate closes only under the mutex
            state_.fetch_add(1, std::memory_order_acquire);
            return;
        }
        waiting_++;
        const uint64_t phase = phase_;
        opened_.wait(guard, [&] { return phase_ != phase; });
    }

    std::atomic<uint64_t> state_{0};
    std::mutex writers_;  // one writer at a time
    std::mutex mutex_;    // guards all below, and the closing of the gate
    std::condition_variable drained_;
    std::condition_variable opened_;
    uint64_t waiting_ = 0;
    uint64_t phase_ = 0;
};

}  // namespace evmcore

#endif
