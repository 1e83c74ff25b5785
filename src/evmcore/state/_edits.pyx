"""Changes of a native store, and its snapshots. See `_edits.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t
from libc.stdlib cimport realloc

from evmcore._u256 cimport u256
from evmcore.state._store cimport (
    Row, Store, store_drop_record, store_find, store_keep_record, store_put, store_put_block_hash, store_put_slot, store_remove,
    store_rewind, store_wipe,
)
from evmcore.state._tables cimport StoredCode, codes_add, codes_release


cdef EditOutcome edit_store(Store* store, Snapshots* snapshots, Edit* edit) noexcept nogil:
    cdef size_t position = store.journal_count
    cdef bint done
    if edit.kind == EDIT_SNAPSHOT:
        return take_snapshot(store, snapshots, edit)
    if edit.kind == EDIT_REVERT:
        return revert_to(store, snapshots, edit.number)
    if edit.kind == EDIT_DISCARD:
        return discard_from(store, snapshots, edit.number)
    if edit.kind == EDIT_REMOVE:
        done = store_remove(store, edit.address)
    elif edit.kind == EDIT_BLOCK_HASH:
        done = store_put_block_hash(store, edit.number, edit.hash)
    else:
        store_keep_record(store)
        done = edit_account(store, edit)
        if not done:
            store_rewind(store, position)
        store_drop_record(store)
    return EDIT_DONE if done else EDIT_NO_MEMORY


cdef bint edit_account(Store* store, const Edit* edit) noexcept nogil:
    cdef Row* row = store_find(store, edit.address)
    cdef StoredCode* code = NULL
    cdef StoredCode* added = NULL
    cdef uint64_t nonce = edit.nonce
    cdef u256 balance = edit.balance
    cdef bint done
    cdef size_t i
    if row != NULL:
        nonce = edit.nonce if edit.set_nonce else row.nonce
        balance = edit.balance if edit.set_balance else row.balance
        code = row.code
    if edit.set_code:
        code = NULL
        if edit.code_hash != NULL:
            code = added = codes_add(&store.codes, edit.code_hash, edit.code, edit.code_size)
            if code == NULL:
                return False
    done = store_put(store, edit.address, nonce, &balance, code)
    codes_release(&store.codes, added)
    if done and edit.wipe:
        done = store_wipe(store, edit.address)
    for i in range(edit.slot_count):
        done = done and store_put_slot(store, edit.address, &edit.slots[i].key, &edit.slots[i].value)
    return done


cdef EditOutcome take_snapshot(Store* store, Snapshots* snapshots, Edit* edit) noexcept nogil:
    cdef SnapshotRange* top
    cdef SnapshotRange* bigger
    cdef size_t capacity
    edit.number = snapshots.next
    if snapshots.count:
        top = &snapshots.ranges[snapshots.count - 1]
        if top.position == store.journal_count:      # nothing has changed since
            top.last = snapshots.next
            snapshots.next += 1
            return EDIT_DONE
    if snapshots.count == snapshots.capacity:
        capacity = snapshots.capacity * 2 + 8
        bigger = <SnapshotRange*>realloc(snapshots.ranges, capacity * sizeof(SnapshotRange))
        if bigger == NULL:
            return EDIT_NO_MEMORY
        snapshots.ranges = bigger
        snapshots.capacity = capacity
    if snapshots.count == 0:
        store_keep_record(store)
    top = &snapshots.ranges[snapshots.count]
    top.first = snapshots.next
    top.last = snapshots.next
    top.position = store.journal_count
    snapshots.count += 1
    snapshots.next += 1
    return EDIT_DONE


cdef size_t range_after(const Snapshots* snapshots, uint64_t number) noexcept nogil:
    """The index after the range with that snapshot; 0: the snapshot is not known."""
    cdef size_t at = snapshots.count
    while at and snapshots.ranges[at - 1].first > number:
        at -= 1
    return at if at and number <= snapshots.ranges[at - 1].last else 0


cdef EditOutcome revert_to(Store* store, Snapshots* snapshots, uint64_t number) noexcept nogil:
    """Reverts; the snapshot stays, later ones are dropped."""
    cdef size_t end = range_after(snapshots, number)
    if end == 0:
        return EDIT_NO_SNAPSHOT
    snapshots.count = end
    snapshots.ranges[end - 1].last = number
    store_rewind(store, snapshots.ranges[end - 1].position)
    return EDIT_DONE


cdef EditOutcome discard_from(Store* store, Snapshots* snapshots, uint64_t number) noexcept nogil:
    """Drops the snapshot and later ones; the state stays."""
    cdef size_t end = range_after(snapshots, number)
    if end == 0:
        return EDIT_NO_SNAPSHOT
    snapshots.count = end
    if snapshots.ranges[end - 1].first < number:
        snapshots.ranges[end - 1].last = number - 1
        return EDIT_DONE
    snapshots.count = end - 1
    if snapshots.count == 0:
        store_drop_record(store)
    return EDIT_DONE
