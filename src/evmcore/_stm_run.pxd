"""Running transactions ahead of time, and recording the read and write set of each run."""
from libc.stdint cimport uint64_t
from evmcore._state cimport AccountEntry, SlotEntry, WorkingSet
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block, Run, Worker

# Runs a transaction on the worker's machine and publishes its writes. If it met an estimate, nothing is published and
# `w.blocked_on` is the transaction that left the estimate.
cdef void run_ahead(Worker* w, TxIndex tx) noexcept nogil

# The changed parts of an account that other transactions should see before they are final. To publish the others would
# cost more than it saves: a sender's nonce is known from its transactions, and its balance before the block mostly
# suffices. A transaction that needs one of these exactly is re-executed.
cdef int parts_to_tell(const Block* block, TxIndex tx, const AccountEntry* entry, int parts) noexcept nogil
# The same for an account that was changed before any transaction ran ahead.
cdef int parts_to_tell_first(const Block* block, const AccountEntry* entry) noexcept nogil

# Records writes of `w.tx` to the cells of an account, and to a slot; `origin` of both is their Location. `ahead`:
# balances may be deltas. False: no memory, or the store is full. Before that, `room_for_writes` makes room for so many
# changed accounts and slots.
cdef bint room_for_writes(Worker* w, size_t accounts, size_t slots, Run* run) noexcept nogil
cdef bint note_account(Worker* w, const AccountEntry* entry, int parts, int told, bint ahead, Run* run) noexcept nogil
cdef bint note_slot(Worker* w, WorkingSet* ws, SlotEntry* slot, Run* run) noexcept nogil

# A clock to time a transaction; always 0 for a brief one: reading the clock would take a noticeable part of its time.
cdef uint64_t clock_of(const Block* block, TxIndex tx) noexcept nogil

# The transaction behind which `tx` would run if it did not try whether that is needed; 0: it does not try.
cdef TxIndex tried_without(const Block* block, TxIndex tx) noexcept nogil

# Reuses the memory of records once it is much and no thread will read any of them any more.
cdef void drop_records(Worker* w) noexcept nogil

# The run of a transaction that is about to be executed: as its latest incarnation left it, or as if it had never run.
# Only here does a run become one of the current block; the worker that has the transaction Executing calls this.
cdef Run* run_begun(Block* block, TxIndex tx) noexcept nogil

# Resets a run as if the transaction had not been executed.
cdef void run_clear(Run* run) noexcept nogil

# Ends speculation: transactions that are not final yet will run sequentially.
cdef void give_up(Block* block) noexcept nogil
