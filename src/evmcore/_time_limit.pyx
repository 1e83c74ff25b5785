"""Limits of running time: a deadline, and a switch that ends runs earlier."""
from libc.stdint cimport int64_t

from evmcore._sync cimport is_raised, monotonic_ns, raise_flag

from evmcore.errors import InputError, not_copied


cdef int64_t deadline_after(object seconds) except -1:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
        raise InputError(f"argument 'timeout': expected seconds, a number of at least 0, got {seconds!r}")
    return max(monotonic_ns() + <int64_t>(<double>min(seconds, 1e9) * 1e9), <int64_t>1)


cdef class TimeLimit:
    """A deadline that several runs can share, with a switch that ends them earlier.

    Every `timeout` argument accepts a `TimeLimit` in place of seconds. `seconds`: from now; None: the limit ends only by
    `stop`. Raises `InputError` for anything but a number of seconds.
    """

    def __cinit__(self, seconds=None):
        self.seconds = seconds
        self.deadline_ns = 0 if seconds is None else deadline_after(seconds)
        self.stopped = &self.own

    def __reduce__(self):
        raise not_copied(self, "its time is that of this process; pass on the seconds that are left")

    @staticmethod
    def of(timeout) -> TimeLimit:
        """The limit for a `timeout`: a `TimeLimit` itself, a number of seconds from now, or no limit."""
        return timeout if isinstance(timeout, TimeLimit) else TimeLimit(timeout)

    def within(self, seconds) -> TimeLimit:
        """A limit `seconds` from now, but never later than this one; stopping this limit stops it too."""
        cdef TimeLimit part = TimeLimit(seconds)
        if self.deadline_ns != 0 and (part.deadline_ns == 0 or self.deadline_ns < part.deadline_ns):
            part.seconds = self.seconds
            part.deadline_ns = self.deadline_ns
        part.whole = self if self.whole is None else self.whole
        part.stopped = part.whole.stopped
        return part

    def stop(self):
        """Ends all runs under this limit within a fraction of a millisecond: they raise `ExecutionAborted`. Any thread may
        call it."""
        raise_flag(&(self if self.whole is None else self.whole).own)

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return is_raised(self.stopped)

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed or `stop` was called."""
        return is_raised(self.stopped) or (self.deadline_ns != 0 and monotonic_ns() >= self.deadline_ns)
