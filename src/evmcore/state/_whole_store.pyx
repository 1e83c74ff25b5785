"""Copy and root of a whole store; see `_whole_store.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from evmcore._state_root cimport StateAccount, state_root_of
from evmcore._u256 cimport u256
from evmcore.state._store cimport Row, row_code_hash, store_find, store_put
from evmcore.state._tables cimport Slot, StoredCode, codes_add, codes_release, hashes_set


cdef bint store_copy(Store* to, const Store* source) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t cells
    cdef const Row* row
    cdef Row* copied
    cdef StoredCode* code
    cdef bint ok
    for i in range(source.row_count):
        row = &source.rows[i]
        if not row.used:
            continue
        code = NULL
        if row.code != NULL:
            code = codes_add(&to.codes, row.code.hash, row.code.data, row.code.size)
            if code == NULL:
                return False
        ok = store_put(to, row.address, row.nonce, &row.balance, code)
        codes_release(&to.codes, code)
        if not ok:
            return False
        if row.slots.count:
            copied = store_find(to, row.address)
            cells = (<uint64_t>row.slots.mask + 1) * sizeof(Slot)
            copied.slots.cells = <Slot*>malloc(cells)
            if copied.slots.cells == NULL:
                return False
            memcpy(copied.slots.cells, row.slots.cells, cells)
            copied.slots.mask = row.slots.mask
            copied.slots.count = row.slots.count
    for i in range(<uint32_t>source.block_hashes.count):
        if not hashes_set(&to.block_hashes, source.block_hashes.entries[i].number, source.block_hashes.entries[i].hash):
            return False
    return True


cdef bint store_root(const Store* store, unsigned int threads, const uint32_t* stop, uint8_t* root) noexcept nogil:
    cdef StateAccount* accounts = <StateAccount*>malloc((<size_t>store.row_count + 1) * sizeof(StateAccount))
    cdef const Row* row
    cdef bint done
    cdef size_t count = 0
    cdef uint32_t i
    if accounts == NULL:
        return False
    for i in range(store.row_count):
        row = &store.rows[i]
        if row.used:
            accounts[count].address = <const uint8_t*>row.address
            accounts[count].nonce = row.nonce
            accounts[count].balance = &row.balance
            accounts[count].code_hash = row_code_hash(row)
            # A cell is a key and its value, the form that the trie needs; the trie skips free cells, whose value is zero.
            accounts[count].slots = <const u256*>row.slots.cells
            accounts[count].slot_count = <size_t>row.slots.mask + 1 if row.slots.count else 0
            count += 1
    done = state_root_of(accounts, count, threads, stop, root)
    free(accounts)
    return done
