"""State diffs: old and new value of every changed account field, slot and code. The currency of the whole system."""
from evmcore._diff_data cimport DiffData
from evmcore._state cimport WorkingSet

cdef class StateDiff(DiffData):
    pass

# What was given as an argument `diff`; `InputError` for anything else.
cdef StateDiff diff_argument(object diff)

# Everything in the working set, and in those beside it, whose current value differs from the reader's. Needs the GIL.
cdef StateDiff diff_collect(WorkingSet* ws)
