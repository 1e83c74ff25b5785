// Asking for memory a little before it is needed.
#pragma once
#include <cstddef>
#include <cstdint>

namespace evmcore {

// For reading, of any address: what is not mapped is left alone.
inline void prefetch(const void* at, size_t size) {
    const uintptr_t end = reinterpret_cast<uintptr_t>(at) + size;
    for (uintptr_t line = reinterpret_cast<uintptr_t>(at) & ~uintptr_t{63}; line < end; line += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(line), 0);
}

inline void prefetch_for_writing(void* at, size_t size) {
    const uintptr_t end = reinterpret_cast<uintptr_t>(at) + size;
    for (uintptr_t line = reinterpret_cast<uintptr_t>(at) & ~uintptr_t{63}; line < end; line += 64)
        __builtin_prefetch(reinterpret_cast<const void*>(line), 1);
}

}  // namespace evmcore
