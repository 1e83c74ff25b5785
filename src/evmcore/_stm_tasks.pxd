"""What a worker does when the scheduler (`include/stm/engine.h`) hands it a transaction: run it ahead, validate it at
the frontier, make it final. Layer 5.
"""
from evmcore._stm_block cimport Worker

# Fills in the tasks of a worker that has everything it needs.
cdef void tasks_init(Worker* w) noexcept nogil
