// What a server says of itself (INFO), as far as readers need it all the time: whether it evicts keys.
#ifndef EVMCORE_CACHE_INFO_H
#define EVMCORE_CACHE_INFO_H

#include <cstdint>
#include <cstring>

namespace evmcore::cache {

// The text behind `name` (with its colon) up to the line's end; NULL: there is no such line.
inline const char* info_field(const char* text, size_t size, const char* name, size_t* found) noexcept {
    const size_t length = strlen(name);
    for (size_t at = 0; at + length <= size;) {
        const void* newline = memchr(text + at, '\n', size - at);
        const size_t end = newline ? static_cast<size_t>(static_cast<const char*>(newline) - text) : size;
        if (end - at >= length && memcmp(text + at, name, length) == 0) {
            const size_t last = end > at && text[end - 1] == '\r' ? end - 1 : end;
            *found = last - at - length;
            return text + at + length;
        }
        at = end + 1;
    }
    return nullptr;
}

// A decimal number; -1 where there is none.
inline int64_t info_number(const char* text, size_t size, const char* name) noexcept {
    size_t length = 0;
    const char* digits = info_field(text, size, name, &length);
    if (!digits || !length || length > 18)
        return -1;
    int64_t value = 0;
    for (size_t i = 0; i < length; ++i) {
        if (digits[i] < '0' || digits[i] > '9')
            return -1;
        value = value * 10 + (digits[i] - '0');
    }
    return value;
}

// Keys that were given up for room since the server's start; -1: it does not say.
inline int64_t evicted_keys(const char* text, size_t size) noexcept { return info_number(text, size, "evicted_keys:"); }

// Whether a full server gives up keys, from the section "memory".
inline bool may_evict(const char* text, size_t size) noexcept {
    size_t length = 0;
    const char* policy = info_field(text, size, "maxmemory_policy:", &length);
    return info_number(text, size, "maxmemory:") > 0 && policy && length &&
           !(length == 10 && memcmp(policy, "noeviction", 10) == 0);
}

}  // namespace evmcore::cache

#endif
