// A connection to a server over a socket that somebody else has opened: requests out, replies in, with a deadline.
#ifndef EVMCORE_CACHE_WIRE_H
#define EVMCORE_CACHE_WIRE_H

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "resp.h"

namespace evmcore::cache {

enum class Io { DONE, TIMED_OUT, CLOSED, FAILED, MALFORMED, NO_MEMORY, STOPPED };

inline int64_t monotonic_now() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Wire {
public:
    Bytes out;              // the request
    Bytes in;               // the replies to it, which `parser.nodes` refer to
    Parser parser;
    int error = 0;          // errno of FAILED

    // Sends `out` and waits until `replies` have come. After anything but DONE the connection is of no use any more:
    // bytes of an old reply would be taken for those of the next. `stop`: ends the waiting when it is not zero.
    Io exchange(int fd, size_t replies, int64_t deadline, const uint32_t* stop = nullptr) noexcept {
        if (out.failed())
            return Io::NO_MEMORY;
        const Io sent = send_all(fd, out.data(), out.size(), deadline, stop);
        return sent == Io::DONE ? receive(fd, replies, deadline, stop) : sent;
    }

    // The two halves, for who has other work while the replies are on their way.
    Io send_all(int fd, const char* data, size_t size, int64_t deadline, const uint32_t* stop = nullptr) noexcept {
        size_t sent = 0;
        while (sent < size) {
            const ssize_t count = send(fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (count >= 0) {
                sent += static_cast<size_t>(count);
            } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                const Io waited = wait(fd, POLLOUT, deadline, stop);
                if (waited != Io::DONE)
                    return waited;
            } else if (errno != EINTR) {
                return failed();
            }
        }
        return Io::DONE;
    }

    // The replies are mostly not there yet: the first look waits for them as long as the socket does (`make_patient`), where
    // that is not too long.
    Io receive(int fd, size_t replies, int64_t deadline, const uint32_t* stop = nullptr) noexcept {
        in.clear();
        parser.start(replies);
        int flags = stop || deadline - monotonic_now() <= LOOK ? MSG_DONTWAIT : 0;
        for (;;) {
            char* place = in.room(AT_ONCE);
            if (!place)
                return Io::NO_MEMORY;
            const ssize_t count = recv(fd, place, AT_ONCE, flags);
            flags = MSG_DONTWAIT;
            if (count > 0) {
                in.grew(static_cast<size_t>(count));
                const Io taken = parsed();
                if (taken != Io::STOPPED)
                    return taken;
            } else if (count == 0) {
                return Io::CLOSED;
            } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                const Io waited = wait(fd, POLLIN, deadline, stop);
                if (waited != Io::DONE)
                    return waited;
            } else if (errno != EINTR) {
                return failed();
            }
        }
    }

    // Lets a socket wait for what is received, so that one call does where else three are needed. False: `errno` says why.
    static bool make_patient(int fd) noexcept {
        const timeval most = {0, LOOK / 1000};
        const int flags = fcntl(fd, F_GETFL);
        return flags >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0 &&
               fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
    }

    // After bytes were added to `in`: DONE, MALFORMED, NO_MEMORY, or STOPPED when some are missing.
    Io parsed() noexcept {
        switch (parser.run(in.data(), in.size())) {
        case Parse::DONE:
            return parser.end() == in.size() ? Io::DONE : Io::MALFORMED;    // nobody asked for more
        case Parse::MORE:
            return Io::STOPPED;
        case Parse::MALFORMED:
            return Io::MALFORMED;
        default:
            return Io::NO_MEMORY;
        }
    }

    static constexpr size_t AT_ONCE = 64 * 1024;

private:
    static constexpr int64_t LOOK = 50'000'000;     // how often `stop` and the time are looked at, ns

    Io failed() noexcept {
        error = errno;
        return error == ECONNRESET || error == EPIPE ? Io::CLOSED : Io::FAILED;
    }

    Io wait(int fd, short what, int64_t deadline, const uint32_t* stop) noexcept {
        pollfd entry = {fd, what, 0};
        for (;;) {
            if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED))
                return Io::STOPPED;
            int64_t left = deadline - monotonic_now();
            if (left <= 0)
                return Io::TIMED_OUT;
            if (stop && left > LOOK)
                left = LOOK;
            const int ready = poll(&entry, 1, static_cast<int>((left + 999'999) / 1'000'000));
            if (ready > 0)
                return Io::DONE;
            if (ready < 0 && errno != EINTR)
                return failed();
        }
    }
};

}  // namespace evmcore::cache

#endif
