"""What a run keeps in its worker's arena until it is final: logs and output, copied out of the machine. Layer 5."""
from libc.stdint cimport uint8_t, uint32_t
from evmcore._machines cimport Arena
from evmcore._state cimport LogEntry, WorkingSet
from evmcore._tx cimport TxResult

# Copies the logs and the output; `result.output` then points to the copy. Pointers to nothing are not set. False: no
# memory.
cdef bint keep_logs(Arena* arena, const WorkingSet* ws, TxResult* result, LogEntry** logs, uint32_t* log_count, uint8_t** log_data) noexcept nogil
