// A work in a thread of its own, for which the caller waits a while at a time.
#pragma once
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <signal.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace evmcore {

class Aside {
public:
    using Work = void (*)(void* context);

    // Where the system gives no thread the work is done here and now.
    Aside(Work work, void* context) : work_(work), context_(context) {
        // Signals stay with the threads that Python knows.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            thread_ = std::thread(&Aside::run, this);
        } catch (const std::system_error&) {
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        if (!thread_.joinable()) run();
    }
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;
    ~Aside() {
        if (!thread_.joinable()) return;
        if (is_lost()) thread_.detach(); else thread_.join();
    }

    // True once it has ended, or is lost.
    bool wait(int ms) {
        if (is_lost()) return true;
        std::unique_lock<std::mutex> lock(mutex_);
        return ended_changed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return ended_; });
    }

    // A process that was forked meanwhile has no such thread.
    bool is_lost() const { return getpid() != owner_; }

private:
    void run() {
        work_(context_);
        std::lock_guard<std::mutex> lock(mutex_);
        ended_ = true;
        ended_changed_.notify_one();
    }

    const pid_t owner_ = getpid();
    const Work work_;
    void* const context_;
    std::mutex mutex_;                 // guards `ended_`
    std::condition_variable ended_changed_;
    bool ended_ = false;
    std::thread thread_;
};

}  // namespace evmcore
