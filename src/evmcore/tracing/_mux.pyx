"""Several tracers of one run. Each sees the same events as it would alone."""
from libc.stdint cimport int64_t
from evmcore._interp cimport Machine, Message, Outcome, Status, Step
from evmcore.tracing._hooks cimport Tracer

from evmcore.errors import InputError


cdef class MuxTracer(Tracer):
    """Passes every event to all of `tracers`, in their order; each of them has its own result."""

    def __init__(self, tracers):
        if self.tracers is not None:              # they may be watching a run
            raise InputError("a MuxTracer is made once: make another one for other tracers")
        self.tracers = tuple(tracers)
        for tracer in self.tracers:
            if not isinstance(tracer, Tracer):
                raise InputError(f"argument 'tracers': expected tracers, got {type(tracer).__name__}")

    @property
    def size(self):
        """The approximate size in bytes of the text of the last run, of all tracers together."""
        return sum([(<Tracer>tracer).collected for tracer in self.tracers])

    cdef int attach(self, Machine* machine) except -1:
        cdef Tracer tracer
        for tracer in self.tracers:
            if tracer.machine != NULL:
                raise InputError("argument 'tracer': one of the tracers is in use by another call")
        Tracer.attach(self, machine)
        for tracer in self.tracers:
            tracer.collected = 0
            tracer.start()
            tracer.machine = machine
        return 0

    cdef int detach(self) except -1:
        cdef Tracer tracer
        for tracer in self.tracers:
            tracer.machine = NULL
        return Tracer.detach(self)

    cdef bint wants_steps(self):
        cdef Tracer tracer
        for tracer in self.tracers:
            if tracer.wants_steps():
                return True
        return False

    cdef int step(self, const Step* step) except -1:
        cdef Tracer tracer
        for tracer in self.tracers:
            if tracer.wants_steps():
                tracer.step(step)
        return 0

    cdef int enter(self, const Message* message) except -1:
        cdef Tracer tracer
        for tracer in self.tracers:
            tracer.enter(message)
        return 0

    cdef int leave(self, const Message* message, const Outcome* outcome) except -1:
        cdef Tracer tracer
        for tracer in self.tracers:
            tracer.leave(message, outcome)
        return 0

    cdef int finish(self, Machine* machine, int64_t gas_limit, int64_t gas_used, Status status, bytes output) except -1:
        cdef Tracer tracer
        for tracer in self.tracers:
            tracer.finish(machine, gas_limit, gas_used, status, output)
        return 0
