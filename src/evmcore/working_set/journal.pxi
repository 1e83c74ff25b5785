# The journal: what a reverted call undoes, youngest entry first.

cdef enum UndoKind:
    UNDO_WARM_ACCOUNT
    UNDO_TOUCH
    UNDO_CREATED
    UNDO_DESTROYED
    UNDO_EXISTS
    UNDO_BALANCE
    UNDO_NONCE
    UNDO_CODE
    UNDO_WARM_SLOT
    UNDO_STORE
    UNDO_TSTORE

cdef struct Undo:
    UndoKind kind
    uint32_t number
    u256 word                     # the old value (of a code: its hash)
    Code* code


cdef Undo* record(WorkingSet* ws, UndoKind kind, uint32_t number) noexcept nogil:
    cdef Private* p = private(ws)
    if p.journal_count == p.journal_capacity:
        if not grow(ws, <void**>&p.journal, &p.journal_capacity, sizeof(Undo)):
            if p.journal_capacity == 0:
                return <Undo*>&spare_undo
            p.journal_count -= 1              # the run has failed; stay within bounds
    cdef Undo* undo = &p.journal[p.journal_count]
    p.journal_count += 1
    undo.kind = kind
    undo.number = number
    return undo


cdef Undo spare_undo                          # written to if there is no memory for a journal at all


cdef Checkpoint ws_checkpoint(WorkingSet* ws) noexcept nogil:
    cdef Checkpoint at
    at.journal = private(ws).journal_count
    at.logs = ws.log_count
    at.log_data = private(ws).log_data_size
    at.refund = ws.refund
    return at


cdef void ws_revert(WorkingSet* ws, const Checkpoint* to) noexcept nogil:
    cdef Private* p = private(ws)
    cdef Undo* undo
    cdef AccountEntry* entry
    while p.journal_count > to.journal:
        p.journal_count -= 1
        undo = &p.journal[p.journal_count]
        if undo.kind == UNDO_STORE:
            ws.slots[undo.number].current = undo.word
            continue
        if undo.kind == UNDO_WARM_SLOT:
            ws.slots[undo.number].warm = 0
            continue
        if undo.kind == UNDO_TSTORE:
            p.transient[undo.number].value = undo.word
            continue
        entry = &ws.accounts[undo.number]
        if undo.kind == UNDO_BALANCE:
            entry.balance = undo.word
        elif undo.kind == UNDO_NONCE:
            entry.nonce = undo.word.w[0]
        elif undo.kind == UNDO_CODE:
            memcpy(entry.code_hash, &undo.word, 32)
            entry.code = undo.code
        elif undo.kind == UNDO_EXISTS:
            entry.exists = undo.word.w[0] != 0
        elif undo.kind == UNDO_WARM_ACCOUNT:
            entry.warm = 0
        elif undo.kind == UNDO_TOUCH:
            entry.touched = 0
        elif undo.kind == UNDO_CREATED:
            entry.created = 0
        elif undo.kind == UNDO_DESTROYED:
            entry.destroyed = 0
    ws.log_count = to.logs
    p.log_data_size = to.log_data
    ws.refund = to.refund
