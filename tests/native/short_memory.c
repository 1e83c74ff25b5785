// Preloaded into a process: after `let_calloc_fail(count, size)` the C library has no cleared memory for so many items of that
// size, or more of them.
#include <stddef.h>

extern void* __libc_calloc(size_t count, size_t size);

static size_t fails_from, fails_for;

void let_calloc_fail(size_t count, size_t size) {
    fails_from = count;
    fails_for = size;
}

void* calloc(size_t count, size_t size) {
    return size == fails_for && count >= fails_from ? NULL : __libc_calloc(count, size);
}
