"""Running transactions ahead of time, and recording what a run learnt and wrote."""
from libc.stdint cimport uint64_t
from evmcore._state cimport AccountEntry, SlotEntry, WorkingSet
from evmcore._stm cimport TxIndex
from evmcore._stm_block cimport Block, Run, Worker

# Runs a transaction on the worker's machine and publishes what it wrote, unless it met an estimate: then nothing is
# published and `w.blocked_on` says whose.
cdef void run_ahead(Worker* w, TxIndex tx) noexcept nogil

# Which of the parts of an account that a transaction changed others should know before they are final. The rest would cost
# more to tell than it saves: the nonce of a sender is known from its transactions, a balance mostly suffices as it was before
# the block. Who needs one of those exactly runs again.
cdef int parts_to_tell(const Block* block, TxIndex tx, const AccountEntry* entry, int parts) noexcept nogil
# The same of an account that transactions changed before anybody ran ahead.
cdef int parts_to_tell_first(const Block* block, const AccountEntry* entry) noexcept nogil

# Writes of `w.tx` to the cells of an account, and to a slot; `origin` of both is their Location. `ahead`: balances may be
# deltas. False: no memory, or the store is full. First, room for what was changed in so many of both.
cdef bint room_for_writes(Worker* w, size_t accounts, size_t slots, Run* run) noexcept nogil
cdef bint note_account(Worker* w, const AccountEntry* entry, int parts, int told, bint ahead, Run* run) noexcept nogil
cdef bint note_slot(Worker* w, WorkingSet* ws, SlotEntry* slot, Run* run) noexcept nogil

# To see how long a transaction takes; always 0 where it is brief: looking would take a part of that.
cdef uint64_t clock_of(const Block* block, TxIndex tx) noexcept nogil

# The one that a transaction would run behind if it were not to try whether that is needed; 0: it is not.
cdef TxIndex tried_without(const Block* block, TxIndex tx) noexcept nogil

# Takes the memory of records back when it is much and nobody will look at any of them any more.
cdef void drop_records(Worker* w) noexcept nogil

# The run of a transaction that is about to be run: as its latest one left it, or as if it had never run. Only here a run is made
# one of the block's, by whoever has the transaction Executing.
cdef Run* run_begun(Block* block, TxIndex tx) noexcept nogil

# As if the transaction had not run.
cdef void run_clear(Run* run) noexcept nogil

# Ends speculation: what is not final yet will be run sequentially.
cdef void give_up(Block* block) noexcept nogil
