"""The process's native worker threads: one set for everything that is done in parallel."""
from libc.stdint cimport uint64_t

ctypedef void (*WorkerTask)(void* context) noexcept nogil
ctypedef void (*LoopBody)(void* context, uint64_t first, uint64_t end) noexcept nogil

# Runs the task on `count` threads at once, the caller being one, and returns when all have ended. Fewer run it when the
# workers are busy for another caller, always the caller at least: a task takes its share until nothing is left. The caller
# asks in time (`_asking`) while it waits for the others.
cdef void run_on_workers(unsigned int count, WorkerTask task, void* context) noexcept nogil

# The body for all numbers below `count`, `chunk` of them at a time, on at most `threads` threads.
cdef void for_each(unsigned int threads, uint64_t count, uint64_t chunk, LoopBody body, void* context) noexcept nogil
