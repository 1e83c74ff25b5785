"""State diffs: old and new value of every changed account field, slot and code. All changes of state are passed on as diffs."""
from evmcore._diff_data cimport DiffData
from evmcore._state cimport WorkingSet

cdef class StateDiff(DiffData):
    pass

# An argument `diff`, checked; `InputError` for any other type.
cdef StateDiff diff_argument(object diff)

# All values in the working set, and in the working sets beside it, that differ from the reader's. Needs the GIL.
cdef StateDiff diff_collect(WorkingSet* ws)
