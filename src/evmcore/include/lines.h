// Memory that shares no line of the caches with other memory: what one thread writes there does not slow another one down.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace evmcore {

constexpr size_t LINE = 64;

// So many bytes at least, all zero; `free` gives them back. nullptr: no memory.
inline void* take_lines(size_t size) {
    size = (size + LINE - 1) / LINE * LINE;
    void* memory = std::aligned_alloc(LINE, size);
    if (memory != nullptr) std::memset(memory, 0, size);
    return memory;
}

}  // namespace evmcore
