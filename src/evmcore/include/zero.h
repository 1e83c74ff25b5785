// Emptying structs of a few hundred bytes, in less time than the processor's string instructions take to begin.
#pragma once
#include <cstdint>
#include <cstring>

namespace evmcore {

// For structs without pointers to what they own: all bytes become zero.
template <typename T>
inline void set_zero(T* item) {
#if defined(__GNUC__) && defined(__x86_64__)
    typedef long long Two __attribute__((vector_size(16), aligned(8), may_alias));
    static_assert(alignof(T) >= 8 && sizeof(T) % 8 == 0, "whole words");
    Two zero = {0, 0};
    __asm__("" : "+x"(zero));          // else the compiler finds the pattern, and calls for the string instruction again
    Two* to = reinterpret_cast<Two*>(item);
    for (size_t i = 0; i < sizeof(T) / 16; ++i) to[i] = zero;
    if (sizeof(T) % 16 != 0) reinterpret_cast<uint64_t*>(item)[sizeof(T) / 8 - 1] = 0;
#else
    std::memset(static_cast<void*>(item), 0, sizeof(T));
#endif
}

}  // namespace evmcore
