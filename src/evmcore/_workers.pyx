"""The process's native worker threads: one pool for all parallel work. See `include/workers.h`."""
from libc.stdint cimport uint64_t, uintptr_t

from evmcore._asking cimport ASK_EVERY_MS, ask_in_time

cdef extern from "include/workers.h" namespace "evmcore" nogil:
    struct Meanwhile:
        void (*what)() noexcept
        int every_ms
    void workers_run "evmcore::run_on_workers"(unsigned int count, WorkerTask task, void* context, const Meanwhile& meanwhile)
    cppclass Counter:
        uint64_t take(uint64_t amount)
    cppclass Employer:
        @staticmethod
        uintptr_t self()
        @staticmethod
        uintptr_t now()

cdef struct Loop:
    Counter* next
    uint64_t count
    uint64_t chunk
    LoopBody body
    void* context


cdef void run_on_workers(unsigned int count, WorkerTask task, void* context) noexcept nogil:
    workers_run(count, task, context, Meanwhile(ask_in_time, ASK_EVERY_MS))


cdef uintptr_t this_thread() noexcept nogil:
    return Employer.self()


cdef uintptr_t employer() noexcept nogil:
    return Employer.now()


cdef void loop_share(void* context) noexcept nogil:
    cdef Loop* loop = <Loop*>context
    cdef uint64_t first = loop.next.take(loop.chunk)
    while first < loop.count:
        loop.body(loop.context, first, min(first + loop.chunk, loop.count))
        first = loop.next.take(loop.chunk)


cdef void for_each(unsigned int threads, uint64_t count, uint64_t chunk, LoopBody body, void* context) noexcept nogil:
    cdef Counter next
    cdef Loop loop
    if threads <= 1 or count <= chunk:
        if count:
            body(context, 0, count)
        return
    loop.next = &next
    loop.count = count
    loop.chunk = chunk
    loop.body = body
    loop.context = context
    run_on_workers(<unsigned int>min(<uint64_t>threads, (count + chunk - 1) // chunk), loop_share, &loop)
