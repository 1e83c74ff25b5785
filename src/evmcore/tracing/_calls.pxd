"""The tree of calls, in the shape of geth's callTracer."""
from libc.stdint cimport int64_t, uint8_t
from evmcore._interp cimport Message, Outcome, Step
from evmcore._u256 cimport u256
from evmcore.tracing._hooks cimport Tracer

cdef class CallTracer(Tracer):
    cdef bint with_logs, only_top_call
    cdef list open                # the frames that have not ended, top message first
    cdef list gas_given           # to each of them
    cdef u256 balance             # of the running frame's account before the next instruction
    cdef uint8_t[20] running      # its address
    cdef list addresses           # of the open frames' accounts
    cdef readonly object result

    cdef int note_balance(self) except -1
    cdef int log(self, const Step* step) except -1
    cdef int selfdestruct(self, const Step* step) except -1
