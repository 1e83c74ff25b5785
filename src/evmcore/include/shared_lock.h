// A reader-writer lock for state backends: reading is one atomic add each way; phases alternate, so that neither side
// starves; a thread may nest its read sections, and is refused (not deadlocked) when it wants to write inside one.
//
// One extension module includes this, and makes and uses all of its locks: each module has variables of its own, and one would
// not know of the read sections that a thread has opened in another.
//
// A process that forks waits until nobody writes, or has a turn (below). In the child nobody holds the lock but the thread that
// forked, whose read sections it has still open.
#ifndef EVMCORE_SHARED_LOCK_H
#define EVMCORE_SHARED_LOCK_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <pthread.h>

namespace evmcore {

class SharedLock {
public:
    SharedLock() {
        Locks& all = locks();
        std::lock_guard<std::mutex> guard(all.mutex);
        next_ = all.first;
        if (next_) next_->link_ = &next_;
        link_ = &all.first;
        all.first = this;
    }
    ~SharedLock() {
        std::lock_guard<std::mutex> guard(locks().mutex);
        *link_ = next_;
        if (next_) next_->link_ = link_;
    }
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

    // Whether the calling thread has a read section open.
    bool is_reading() noexcept { return find() != nullptr; }

    // False when the calling thread has a read section open: it would wait for itself.
    bool begin_write() noexcept {
        if (find())
            return false;
        writers_.lock();
        std::unique_lock<std::mutex> guard(mutex_);
        state_.fetch_or(GATE, std::memory_order_acquire);
        drained_.wait(guard, [this] { return (state_.load(std::memory_order_acquire) & ~GATE) == 0; });
        writing_ = true;
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
            writing_ = false;
        }
        opened_.notify_all();
        writers_.unlock();
    }

    // Within a read section, without asking Python for anything: for readers that change what they keep for each other.
    void begin_turn() noexcept { turns_.lock(); }
    void end_turn() noexcept { turns_.unlock(); }

private:
    // Set while a writer waits or writes; the bits below it count readers (and those about to find the gate closed).
    static constexpr uint64_t GATE = uint64_t(1) << 63;

    // The locks on which this thread has read sections open. Deeper nesting than this over different backends still
    // works, but is then a plain section: not nestable in itself and noticed neither by begin_write nor in a forked child.
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

    // A writer that still waits for readers has changed nothing, and does not begin while the mutex is held: it may wait for
    // the very thread that forks.
    void before_fork() noexcept {
        std::unique_lock<std::mutex> guard(mutex_);
        opened_.wait(guard, [this] { return !writing_; });
        turns_.lock();
        guard.release();
    }

    void after_fork() noexcept {
        turns_.unlock();
        mutex_.unlock();
    }

    // What belongs to threads that are not here is not destroyed, but made anew in its place.
    void begin_in_child() noexcept {
        new (&writers_) std::mutex();
        new (&mutex_) std::mutex();
        new (&turns_) std::mutex();
        new (&drained_) std::condition_variable();
        new (&opened_) std::condition_variable();
        state_.store(find() ? 1 : 0, std::memory_order_relaxed);
        waiting_ = 0;
    }

    // All that there are, and who sees to them when the process forks.
    struct Locks {
        std::mutex mutex;         // guards the list
        SharedLock* first = nullptr;

        Locks() {
            if (pthread_atfork(before_fork, after_fork, begin_in_child) != 0) throw std::bad_alloc();
        }

        static void before_fork() {
            locks().mutex.lock();
            for (SharedLock* lock = locks().first; lock; lock = lock->next_) lock->before_fork();
        }
        static void after_fork() {
            for (SharedLock* lock = locks().first; lock; lock = lock->next_) lock->after_fork();
            locks().mutex.unlock();
        }
        static void begin_in_child() {
            for (SharedLock* lock = locks().first; lock; lock = lock->next_) lock->begin_in_child();
            new (&locks().mutex) std::mutex();
        }
    };

    // Never freed: a process may fork, or drop its last state, while it ends.
    static Locks& locks() {
        static Locks& all = *new Locks();
        return all;
    }

    std::atomic<uint64_t> state_{0};
    std::mutex writers_;  // one writer at a time
    std::mutex mutex_;    // guards all below, and the closing of the gate
    std::condition_variable drained_;
    std::condition_variable opened_;
    uint64_t waiting_ = 0;
    uint64_t phase_ = 0;
    bool writing_ = false;
    std::mutex turns_;
    SharedLock* next_;    // with `link_`: the list of all
    SharedLock** link_;
};

}  // namespace evmcore

#endif
