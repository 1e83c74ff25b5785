# What a transaction leaves besides state: logs, and a note of everything it accessed.

cdef bint ws_log(
    WorkingSet* ws, const uint8_t* address, uint32_t topic_count, const u256* top_topic, const uint8_t* data, size_t size
) noexcept nogil:
    """Appends a log. Its first topic is on top of the stack, the next one below it. False: no memory."""
    cdef Private* p = private(ws)
    cdef LogEntry* log
    cdef size_t capacity
    cdef uint8_t* bigger
    cdef uint32_t i
    if ws.log_count == p.log_capacity and not grow(ws, <void**>&ws.logs, &p.log_capacity, sizeof(LogEntry)):
        return False
    if p.log_data_capacity - p.log_data_size < size:
        capacity = max(p.log_data_capacity * 2, p.log_data_size + size + 4096)
        bigger = <uint8_t*>realloc(ws.log_data, capacity)
        if bigger == NULL:
            out_of_memory(ws)
            return False
        ws.log_data = bigger
        p.log_data_capacity = capacity
    log = &ws.logs[ws.log_count]
    ws.log_count += 1
    memcpy(log.address, address, 20)
    log.topic_count = topic_count
    log.serial = ws.logs_seen
    ws.logs_seen += 1
    log.is_transfer = False
    for i in range(topic_count):
        u_to_be(log.topics + 32 * i, top_topic - i)
    log.data_offset = p.log_data_size
    log.data_size = size
    if size:
        memcpy(ws.log_data + p.log_data_size, data, size)
    p.log_data_size += size
    return True


cdef void ws_keep_seen(WorkingSet* ws) noexcept nogil:
    ws.keeps_seen = True


cdef void ws_forget_seen(WorkingSet* ws) noexcept nogil:
    ws.seen_account_count = 0
    ws.seen_slot_count = 0


cdef void ws_note_account(WorkingSet* ws, uint32_t account) noexcept nogil:
    cdef uint32_t* capacity = &private(ws).seen_account_capacity
    if ws.seen_account_count == capacity[0] and not grow(ws, <void**>&ws.seen_accounts, capacity, sizeof(uint32_t)):
        return
    ws.seen_accounts[ws.seen_account_count] = account
    ws.seen_account_count += 1


cdef void ws_note_slot(WorkingSet* ws, uint32_t slot) noexcept nogil:
    cdef uint32_t* capacity = &private(ws).seen_slot_capacity
    if ws.seen_slot_count == capacity[0] and not grow(ws, <void**>&ws.seen_slots, capacity, sizeof(uint32_t)):
        return
    ws.seen_slots[ws.seen_slot_count] = slot
    ws.seen_slot_count += 1
