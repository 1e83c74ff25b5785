"""What a run keeps in its worker's arena until it is final; see `_run_kept.pxd`."""
from libc.stddef cimport size_t
from libc.string cimport memcpy


cdef bint keep_logs(
    Arena* arena, const WorkingSet* ws, TxResult* result, LogEntry** logs, uint32_t* log_count, uint8_t** log_data
) noexcept nogil:
    cdef size_t size = 0
    cdef uint32_t i
    cdef uint8_t* output
    log_count[0] = ws.log_count
    if ws.log_count:
        for i in range(ws.log_count):
            size = max(size, ws.logs[i].data_offset + ws.logs[i].data_size)
        logs[0] = <LogEntry*>arena.take(ws.log_count * sizeof(LogEntry))
        log_data[0] = <uint8_t*>arena.take(size + 1)
        if logs[0] == NULL or log_data[0] == NULL:
            return False
        memcpy(logs[0], ws.logs, ws.log_count * sizeof(LogEntry))
        memcpy(log_data[0], ws.log_data, size)
    if result.output_size:
        output = <uint8_t*>arena.take(result.output_size)
        if output == NULL:
            return False
        memcpy(output, result.output, result.output_size)
        result.output = output
    return True
