"""Connects the interpreter's C hooks to tracers with Python state: takes the GIL, keeps exceptions out of C frames."""
from libc.stdint cimport int64_t
from cpython.bytes cimport PyBytes_FromStringAndSize
from evmcore._interp cimport (
    CALL_DEPTH, CODE_STORE_OUT_OF_GAS, CODE_TOO_LARGE, CREATE_COLLISION, INIT_CODE_TOO_LARGE, INSUFFICIENT_BALANCE,
    INVALID_CODE_PREFIX, INVALID_JUMP, INVALID_OPCODE, Machine, Message, NONCE_OVERFLOW, OUT_OF_GAS, Outcome,
    PRECOMPILE_FAILURE, RETURN_DATA_OUT_OF_BOUNDS, REVERT, STACK_OVERFLOW, STACK_UNDERFLOW, Status, Step,
    WRITE_PROTECTION,
)

from evmcore.errors import InputError, TraceTooLarge, not_copied
from evmcore.types import to_uint


cdef void step_hook(void* self, const Step* step) noexcept nogil:
    with gil:
        tracer = <Tracer>self
        if tracer.error is None:
            try:
                tracer.step(step)
            except BaseException as error:
                tracer.fail(error)


cdef void no_step_hook(void* self, const Step* step) noexcept nogil:
    pass


cdef void enter_hook(void* self, const Message* message) noexcept nogil:
    with gil:
        tracer = <Tracer>self
        if tracer.error is None:
            try:
                tracer.enter(message)
            except BaseException as error:
                tracer.fail(error)


cdef void leave_hook(void* self, const Message* message, const Outcome* outcome) noexcept nogil:
    with gil:
        tracer = <Tracer>self
        if tracer.error is None:
            try:
                tracer.leave(message, outcome)
            except BaseException as error:
                tracer.fail(error)


cdef class Tracer:
    """Observes one run at a time, and can be used for several runs in turn. An exception in a tracer stops the run and
    is raised from the traced call."""

    def __reduce__(self):
        raise not_copied(self, "it is tied to the run that it observes; pickle what it collected")

    @property
    def size_limit(self):
        """The approximate size in bytes of the text that a run may produce, None for no limit; a larger trace raises
        `TraceTooLarge`."""
        return self.limit or None

    @size_limit.setter
    def size_limit(self, value):
        self.limit = 0 if value is None else max(to_uint(value, "size_limit", 62), 1)

    @property
    def size(self):
        """The approximate size in bytes of the text of the last run."""
        return self.collected

    cdef int collect(self, size_t size) except -1:
        self.collected += size
        if self.limit and self.collected > self.limit:
            raise TraceTooLarge(f"the trace is larger than {self.limit} bytes; ask for less of it")
        return 0

    cdef int attach(self, Machine* machine) except -1:
        if self.machine != NULL:
            raise InputError("argument 'tracer': it is in use by another call; give each call a tracer of its own")
        self.error = None
        self.collected = 0
        self.machine = machine
        try:
            self.start()
        except BaseException:
            self.machine = NULL
            raise
        self.hooks.self = <void*>self
        self.hooks.step = step_hook if self.wants_steps() else no_step_hook
        self.hooks.enter = enter_hook
        self.hooks.leave = leave_hook
        machine.tracer = &self.hooks
        self.deadline_ns = machine.deadline_ns
        return 0

    cdef void fail(self, object error) noexcept:
        self.error = error
        self.machine.deadline_ns = 1

    cdef int detach(self) except -1:
        self.machine.tracer = NULL
        self.machine.deadline_ns = self.deadline_ns
        self.machine = NULL
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return 0

    cdef bint wants_steps(self):
        return True

    cdef int start(self) except -1:
        return 0

    cdef int step(self, const Step* step) except -1:
        return 0

    cdef int enter(self, const Message* message) except -1:
        return 0

    cdef int leave(self, const Message* message, const Outcome* outcome) except -1:
        return 0

    cdef int finish(self, Machine* machine, int64_t gas_limit, int64_t gas_used, Status status, bytes output) except -1:
        return 0


cdef str hex_bytes(const unsigned char* data, Py_ssize_t size):
    return "0x" + PyBytes_FromStringAndSize(<const char*>data, size).hex()


# The words geth's tracers use, which tools compare as text.
_TEXTS = {
    <int>REVERT: "execution reverted",
    <int>OUT_OF_GAS: "out of gas",
    <int>STACK_UNDERFLOW: "stack underflow",
    <int>STACK_OVERFLOW: "stack limit reached 1024",
    <int>INVALID_OPCODE: "invalid opcode",
    <int>INVALID_JUMP: "invalid jump destination",
    <int>WRITE_PROTECTION: "write protection",
    <int>RETURN_DATA_OUT_OF_BOUNDS: "return data out of bounds",
    <int>CREATE_COLLISION: "contract address collision",
    <int>CODE_TOO_LARGE: "max code size exceeded",
    <int>INVALID_CODE_PREFIX: "invalid code: must not begin with 0xef",
    <int>CODE_STORE_OUT_OF_GAS: "contract creation code storage out of gas",
    <int>INIT_CODE_TOO_LARGE: "max initcode size exceeded",
    <int>PRECOMPILE_FAILURE: "precompile failed",
    <int>CALL_DEPTH: "max call depth exceeded",
    <int>INSUFFICIENT_BALANCE: "insufficient balance for transfer",
    <int>NONCE_OVERFLOW: "nonce uint64 overflow",
}


cdef str status_text(Status status):
    return _TEXTS.get(<int>status)
