"""The process's native worker threads: one pool for all parallel work."""
from libc.stdint cimport uint64_t, uintptr_t

ctypedef void (*WorkerTask)(void* context) noexcept nogil
ctypedef void (*LoopBody)(void* context, uint64_t first, uint64_t end) noexcept nogil

# Runs the task on `count` threads at once, including the caller, and returns when all have ended. Fewer threads run it if
# workers are busy for another caller, but always the caller itself; so a task must take work until nothing is left. The
# caller polls (`ask_in_time` of `_asking`) while it waits for the other threads.
cdef void run_on_workers(unsigned int count, WorkerTask task, void* context) noexcept nogil

# The calling thread; and the thread for which it works: in a task, the caller of `run_on_workers`, elsewhere the thread itself.
cdef uintptr_t this_thread() noexcept nogil
cdef uintptr_t employer() noexcept nogil

# Runs the body for all numbers below `count`, in chunks of `chunk` numbers, on at most `threads` threads.
cdef void for_each(unsigned int threads, uint64_t count, uint64_t chunk, LoopBody body, void* context) noexcept nogil
