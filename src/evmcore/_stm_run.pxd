"""Running transactions ahead of time, and recording what a run learnt and wrote."""
from evmcore._code cimport Code
from evmcore._state cimport WorkingSet
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block, Run, Worker

# Runs a transaction on the worker's machine and publishes what it wrote, unless it met an estimate: then nothing is
# published and `w.blocked_on` says whose.
cdef void run_ahead(Worker* w, TxIndex tx) noexcept nogil

# What the latest transaction changed in a working set whose entries' `origin` is their Location, as the writes of `w.tx`.
# `ahead`: the set holds nothing but that transaction, whose balances and slots become deltas where they were never looked
# at exactly; else everything is absolute. False: no memory, or the store is full.
cdef bint note_writes(Worker* w, WorkingSet* ws, bint ahead, Run* run) noexcept nogil

# As if the transaction had not run.
cdef void run_clear(Run* run) noexcept nogil

# Ends speculation: what is not final yet will be run sequentially.
cdef void give_up(Block* block) noexcept nogil
