"""State diffs: old and new value of every changed account field, slot and code. All changes of state are passed on as diffs."""
from evmcore._diff_data cimport DiffData
from evmcore._state cimport WorkingSet

cdef class StateDiff(DiffData):
    # Who applies a diff completes it, while others may read it: so it is read as `present` gives it, and completed as a
    # `draft`, which then takes its place by `accept`.
    cdef StateDiff present(self)          # the changes as they are now, and stay there
    cdef StateDiff draft(self)            # of its own where something may have to be added
    cdef void accept(self, StateDiff draft)

# An argument `diff`, checked; `InputError` for any other type.
cdef StateDiff diff_argument(object diff)

# All values in the working set, and in the working sets beside it, that differ from the reader's. Needs the GIL.
cdef StateDiff diff_collect(WorkingSet* ws)
