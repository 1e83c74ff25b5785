"""How long executing transactions takes, measured by this process: numbers that tolerate lost updates
(`include/pace.h`)."""
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "include/pace.h" namespace "evmcore" nogil:
    cppclass Loose[T]:
        T value()
        void set(T value)
    cppclass Estimate:            # a running mean
        uint32_t value()
        void set(uint32_t value)
        void learn(uint64_t sample, uint32_t weight)
        void step(uint64_t sample, uint32_t weight)
    cppclass Kind:                # the time of calls of one kind
        bint is_tag "is"(uint32_t tag)
        bint has_time()
        bint is_timed()
        bint is_sure()
        uint32_t nanoseconds()
        uint32_t samples()
        uint32_t burden()
        bint saw(uint32_t tag, uint32_t block)
        void learn(uint32_t tag, uint64_t sample, uint32_t block)
        void suppose(uint64_t sample)
        void learn_burden(uint32_t ratio)
        void forget()
    cppclass Patience:            # when to try threads again
        void begin()
        bint passed_over()
        void judge(bint paid)
        void forget()
