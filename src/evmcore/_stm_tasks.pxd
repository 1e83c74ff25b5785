"""What a worker does when the scheduler (`include/stm/engine.h`) hands it a transaction: run it ahead, check it at the frontier,
make it final. Layer 5.
"""
from evmcore._stm_block cimport Worker

# The tasks of a worker that has all it needs.
cdef void tasks_init(Worker* w) noexcept nogil
