// What a thread does between two looks at a word that another thread is about to change.
#pragma once

namespace evmcore {

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace evmcore
