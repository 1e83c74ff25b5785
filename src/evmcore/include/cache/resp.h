// The Redis protocol (RESP2): writing commands, and reading replies that nothing is believed of.
//
// A parsed reply is a list of nodes in the order of the bytes, an array before its elements. Nodes refer to the buffer
// they were parsed from. Sizes in a reply are only ever compared, never used to make room.
#ifndef EVMCORE_CACHE_RESP_H
#define EVMCORE_CACHE_RESP_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../u256.h"

namespace evmcore::cache {

// Bytes that grow. `failed` once memory was short: what was added then is missing.
class Bytes {
public:
    Bytes() = default;
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    ~Bytes() { free(data_); }

    char* data() noexcept { return data_; }
    const char* data() const noexcept { return data_; }
    size_t size() const noexcept { return size_; }
    bool failed() const noexcept { return failed_; }

    // Room for `more` bytes behind the end, which `grew` then takes over; NULL: no memory.
    char* room(size_t more) noexcept {
        if (size_ + more > capacity_) {
            size_t wanted = capacity_ ? capacity_ * 2 : 4096;
            while (wanted < size_ + more)
                wanted *= 2;
            char* bigger = static_cast<char*>(realloc(data_, wanted));
            if (!bigger) {
                failed_ = true;
                return nullptr;
            }
            data_ = bigger;
            capacity_ = wanted;
        }
        return data_ + size_;
    }
    void grew(size_t count) noexcept { size_ += count; }

    void add(const void* bytes, size_t count) noexcept {
        if (char* place = room(count)) {
            if (count)
                memcpy(place, bytes, count);
            size_ += count;
        }
    }

    // Empty; a buffer that had to become very large is given back.
    void clear() noexcept {
        size_ = 0;
        failed_ = false;
        if (capacity_ > KEPT) {
            free(data_);
            data_ = nullptr;
            capacity_ = 0;
        }
    }

private:
    static constexpr size_t KEPT = 1 << 20;
    char* data_ = nullptr;
    size_t size_ = 0, capacity_ = 0;
    bool failed_ = false;
};

// ---- writing: a command is its number of parts, then each part

inline void write_size(Bytes& out, char mark, uint64_t size) noexcept {
    char text[24];
    char* at = text + sizeof(text);
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = static_cast<char>('0' + size % 10);
    } while (size /= 10);
    *--at = mark;
    out.add(at, static_cast<size_t>(text + sizeof(text) - at));
}

inline void write_command(Bytes& out, size_t parts) noexcept { write_size(out, '*', parts); }

inline void write_part(Bytes& out, const void* bytes, size_t size) noexcept {
    write_size(out, '$', size);
    out.add(bytes, size);
    out.add("\r\n", 2);
}

inline void write_part(Bytes& out, const char* text) noexcept { write_part(out, text, strlen(text)); }

// A part in two pieces: a key and what stands behind it.
inline void write_part(Bytes& out, const void* first, size_t first_size, const void* rest, size_t rest_size) noexcept {
    write_size(out, '$', first_size + rest_size);
    out.add(first, first_size);
    out.add(rest, rest_size);
    out.add("\r\n", 2);
}

// A part of 32 bytes that are a number.
inline void write_word(Bytes& out, const u256& word) noexcept {
    constexpr size_t SIZE = 39;
    char* place = out.room(SIZE);
    if (!place)
        return;
    memcpy(place, "$32\r\n", 5);
    u_to_be(reinterpret_cast<uint8_t*>(place) + 5, &word);
    memcpy(place + 37, "\r\n", 2);
    out.grew(SIZE);
}

// ---- reading

struct Node {
    char type;          // '+' status, '-' error, ':' integer, '$' string, '*' array, '_' nothing (null string or array)
    int64_t number;     // bytes of a status, error or string; elements of an array; an integer's value
    size_t at;          // of the first byte, in the buffer

    bool is(char wanted) const noexcept { return type == wanted; }
};

enum class Parse { DONE, MORE, MALFORMED, NO_MEMORY };

class Parser {
public:
    static constexpr size_t MOST_DEPTH = 8;
    static constexpr int64_t MOST_BYTES = int64_t(512) << 20;       // of a string: Redis's own limit
    static constexpr size_t MOST_LINE = 64 * 1024;

    std::vector<Node> nodes;

    void start(size_t replies) noexcept {
        nodes.clear();
        left_.clear();
        at_ = seen_ = wanted_ = 0;
        replies_ = replies;
    }

    // Takes what is there. MORE: call again with the same bytes and some more.
    Parse run(const char* data, size_t size) noexcept {
        try {
            while (replies_) {
                const Parse outcome = node(data, size);
                if (outcome != Parse::DONE)
                    return outcome;
            }
        } catch (...) {
            return Parse::NO_MEMORY;
        }
        return Parse::DONE;
    }

    size_t end() const noexcept { return at_; }     // of what was taken

private:
    Parse node(const char* data, size_t size) {
        if (wanted_ == 0) {
            if (at_ == size)
                return Parse::MORE;
            const size_t from = seen_ > at_ ? seen_ : at_;
            const void* found = size > from ? memchr(data + from, '\n', size - from) : nullptr;
            if (!found) {
                seen_ = size;
                return size - at_ > MOST_LINE ? Parse::MALFORMED : Parse::MORE;
            }
            const size_t end = static_cast<size_t>(static_cast<const char*>(found) - data);
            if (end < at_ + 2 || data[end - 1] != '\r')
                return Parse::MALFORMED;
            return line(data, end - 1);
        }
        // the bytes of a string, and the line's end behind them
        if (size - at_ < wanted_)
            return Parse::MORE;
        if (data[at_ + wanted_ - 2] != '\r' || data[at_ + wanted_ - 1] != '\n')
            return Parse::MALFORMED;
        nodes.push_back(Node{'$', static_cast<int64_t>(wanted_ - 2), at_});
        at_ += wanted_;
        wanted_ = 0;
        finished();
        return Parse::DONE;
    }

    // The line from `at_` to `end`, where its \r\n is.
    Parse line(const char* data, size_t end) {
        const char type = data[at_];
        const size_t first = at_ + 1;
        int64_t number = 0;
        switch (type) {
        case '+':
        case '-':
            nodes.push_back(Node{type, static_cast<int64_t>(end - first), first});
            break;
        case ':':
            if (!integer(data + first, end - first, &number))
                return Parse::MALFORMED;
            nodes.push_back(Node{':', number, first});
            break;
        case '$':
            if (!integer(data + first, end - first, &number) || number < -1 || number > MOST_BYTES)
                return Parse::MALFORMED;
            if (number >= 0) {
                wanted_ = static_cast<size_t>(number) + 2;
                at_ = end + 2;
                return Parse::DONE;
            }
            nodes.push_back(Node{'_', 0, first});
            break;
        case '*':
            if (!integer(data + first, end - first, &number) || number < -1 || left_.size() >= MOST_DEPTH)
                return Parse::MALFORMED;
            nodes.push_back(Node{number < 0 ? '_' : '*', number < 0 ? 0 : number, first});
            if (number > 0) {
                left_.push_back(number);
                at_ = end + 2;
                return Parse::DONE;
            }
            break;
        default:
            return Parse::MALFORMED;
        }
        at_ = end + 2;
        finished();
        return Parse::DONE;
    }

    // A value is complete, and with it the arrays whose last element it was.
    void finished() {
        while (!left_.empty()) {
            if (--left_.back() > 0)
                return;
            left_.pop_back();
        }
        --replies_;
    }

    static bool integer(const char* text, size_t size, int64_t* out) noexcept {
        const bool negative = size && text[0] == '-';
        const size_t first = negative;
        if (size == first || size - first > 19)
            return false;
        uint64_t value = 0;
        for (size_t i = first; i < size; ++i) {
            if (text[i] < '0' || text[i] > '9')
                return false;
            value = value * 10 + static_cast<uint64_t>(text[i] - '0');
        }
        if (value > static_cast<uint64_t>(INT64_MAX))
            return false;
        *out = negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
        return true;
    }

    std::vector<int64_t> left_;         // elements that are missing of each open array
    size_t at_ = 0, seen_ = 0, wanted_ = 0, replies_ = 0;
};

}  // namespace evmcore::cache

#endif
