"""Rows of the native store as Python values. The caller holds the required lock."""
from evmcore.state._store cimport Row
from evmcore.state._tables cimport SlotTable

cdef object row_account(const Row* row)               # an `Account`; StateError if its code is not known
cdef dict row_alloc(const Row* row)                   # as an entry of a geth-style alloc
cdef bytes known_code(const Row* row)                 # StateError if only its hash is known
cdef dict slots_dict(const SlotTable* table)          # non-zero slots, by ascending key
