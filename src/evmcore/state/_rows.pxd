"""Rows of the native store as Python values. The caller holds whatever lock is needed."""
from evmcore.state._store cimport Row
from evmcore.state._tables cimport SlotTable

cdef object row_account(const Row* row)               # an `Account`; StateError where its code is not known
cdef dict row_alloc(const Row* row)                   # as an entry of a geth-style alloc
cdef bytes known_code(const Row* row)                 # StateError where only its hash is
cdef dict slots_dict(const SlotTable* table)          # those that are not zero, by ascending key
