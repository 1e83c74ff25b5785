"""Rows of the native store as Python values; see `_rows.pxd`."""
from libc.stdint cimport uint64_t

from evmcore._u256 cimport u256_to_int, u_is_zero
from evmcore.state._store cimport row_code_hash

from evmcore.errors import StateError
from evmcore.state.alloc import alloc_entry
from evmcore.types import Account


cdef object row_account(const Row* row):
    return Account(row.nonce, u256_to_int(&row.balance), known_code(row), slots_dict(&row.slots))


cdef dict row_alloc(const Row* row):
    code = b"" if row.code == NULL else None if row.code.data == NULL else known_code(row)
    return alloc_entry(row.nonce, u256_to_int(&row.balance), code, row_code_hash(row)[:32], slots_dict(&row.slots))


cdef bytes known_code(const Row* row):
    if row.code == NULL:
        return b""
    if row.code.data == NULL:
        raise StateError(
            f"the code of 0x{row.address[:20].hex()} is not known, only its hash 0x{row.code.hash[:32].hex()}"
        )
    return row.code.data[:row.code.size]


cdef dict slots_dict(const SlotTable* table):
    cdef uint64_t i
    found = []
    if table.count:
        for i in range(<uint64_t>table.mask + 1):
            if not u_is_zero(&table.cells[i].value):
                found.append((u256_to_int(&table.cells[i].key), u256_to_int(&table.cells[i].value)))
        found.sort()
    return dict(found)
