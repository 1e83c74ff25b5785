"""A state some blocks before or after another one: a `StateDiff` over a backend, without a copy."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from evmcore._code cimport Code
from evmcore._diff cimport StateDiff
from evmcore._diff_data cimport AccountChange, SlotChange
from evmcore._state cimport StateReader
from evmcore.state._reader cimport Backend

# The data that the reader's functions use, without the GIL and without touching a Python object.
cdef struct View:
    StateReader* base             # borrowed from DiffView.base
    const AccountChange* accounts # borrowed from DiffView.diff, sorted by address
    size_t account_count
    const SlotChange* slots       # ... sorted by address and key
    size_t slot_count
    Code** codes                  # per account change: its new code, or NULL: the base's

cdef class DiffView(Backend):
    cdef readonly Backend base
    cdef readonly StateDiff diff
    cdef View view
