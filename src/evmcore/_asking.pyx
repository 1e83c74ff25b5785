"""Asking now and then; see `_asking.pxd`."""
from evmcore._sync cimport monotonic_ns

cdef extern from *:
    """
    static thread_local void* innermost_asking;      // Asking*
    """
    void* innermost_asking


cdef void begin_asking(Asking* asking, void (*ask)(void* work) noexcept nogil, void* work) noexcept nogil:
    global innermost_asking
    asking.ask = ask
    asking.work = work
    asking.next = monotonic_ns() + ASK_EVERY_MS * <int64_t>1_000_000
    asking.outer = <Asking*>innermost_asking
    innermost_asking = asking


cdef void end_asking(Asking* asking) noexcept nogil:
    global innermost_asking
    innermost_asking = asking.outer


cdef void ask_in_time() noexcept nogil:
    global innermost_asking
    cdef Asking* asking = <Asking*>innermost_asking
    if asking == NULL or monotonic_ns() < asking.next:
        return
    innermost_asking = NULL                      # what is done by whom it asks is no part of this work
    asking.ask(asking.work)
    innermost_asking = asking
    asking.next = monotonic_ns() + ASK_EVERY_MS * <int64_t>1_000_000
