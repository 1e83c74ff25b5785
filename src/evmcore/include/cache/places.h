// The places for connections that a process may have open at once: which are idle, which are not open yet, and who waits
// for one. Who waits is served in turn, without a lock of the interpreter in between. Safe for use from any thread.
#ifndef EVMCORE_CACHE_PLACES_H
#define EVMCORE_CACHE_PLACES_H

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

namespace evmcore::cache {

// Connections are pointers to the owner's objects; NULL stands for a place that is to be opened.
class PlaceList {
public:
    explicit PlaceList(size_t most) : unopened_(most) { idle_.reserve(most); }
    PlaceList(const PlaceList&) = delete;
    PlaceList& operator=(const PlaceList&) = delete;

    // The open connection that was given back last; NULL: none is idle. After `close` the caller closes it.
    void* take_open() noexcept {
        std::lock_guard<std::mutex> guard(mutex_);
        if (idle_.empty())
            return nullptr;
        void* connection = idle_.back();
        idle_.pop_back();
        return connection;
    }

    // A place, once there is one. `deadline`: monotonic ns. False: there was none in time.
    bool take(void** connection, int64_t deadline) noexcept {
        std::unique_lock<std::mutex> guard(mutex_);
        *connection = nullptr;
        if (!idle_.empty()) {
            *connection = idle_.back();
            idle_.pop_back();
            return true;
        }
        if (unopened_) {
            --unopened_;
            return true;
        }
        Waiter own;
        try {
            waiting_.push_back(&own);
        } catch (...) {
            return false;
        }
        const std::chrono::steady_clock::time_point until{std::chrono::nanoseconds(deadline)};
        own.served.wait_until(guard, until, [&] { return own.has_place; });
        if (!own.has_place)
            waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &own));
        *connection = own.connection;
        return own.has_place;
    }

    // Gives a place back, with the connection if it can be used again. Never more than were taken. False: connections are
    // kept no more, and this one is still the caller's, to be closed; the place is back all the same.
    bool give(void* connection) noexcept {
        std::lock_guard<std::mutex> guard(mutex_);
        const bool kept = !connection || !closed_;
        if (!kept)
            connection = nullptr;
        if (!waiting_.empty()) {
            Waiter* first = waiting_.front();
            waiting_.pop_front();
            first->connection = connection;
            first->has_place = true;
            first->served.notify_one();
        } else if (connection) {
            idle_.push_back(connection);
        } else {
            ++unopened_;
        }
        return kept;
    }

    // From now on no connection is kept: what is idle then, `take_open` gives, and nothing comes after it.
    void close() noexcept {
        std::lock_guard<std::mutex> guard(mutex_);
        closed_ = true;
    }

    bool closed() const noexcept {
        std::lock_guard<std::mutex> guard(mutex_);
        return closed_;
    }

    // How many are not in use.
    size_t free() const noexcept {
        std::lock_guard<std::mutex> guard(mutex_);
        return idle_.size() + unopened_;
    }

    // How many wait for a place.
    size_t waiting() const noexcept {
        std::lock_guard<std::mutex> guard(mutex_);
        return waiting_.size();
    }

private:
    struct Waiter {
        std::condition_variable served;
        bool has_place = false;
        void* connection = nullptr;
    };

    mutable std::mutex mutex_;
    std::vector<void*> idle_;
    size_t unopened_;
    bool closed_ = false;
    std::deque<Waiter*> waiting_;
};

}  // namespace evmcore::cache

#endif
