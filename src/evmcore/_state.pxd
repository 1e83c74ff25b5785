"""The working set: one table that is journal, warm set, read set and write set of the running transaction.

Layer 1. It knows code and numbers, and asks a `StateReader` for what it has not loaded. It does not know gas, opcodes,
transactions or where the state lives. Entries are numbered in order of first touch and keep their number until
`ws_reset`. Their addresses in memory move when the table grows, so hold numbers across calls, not pointers.
"""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from evmcore._code cimport Code
from evmcore._u256 cimport u256

cdef enum Found:
    READ_FAILED = -1              # the state could not be read: an error of the run, never a zero
    ABSENT = 0
    FOUND = 1

cdef struct AccountData:
    u256 balance
    uint64_t nonce
    uint8_t[32] code_hash         # Keccak-256 of no bytes if there is no code
    bint has_storage              # some slot is not zero (EIP-7610); false if the backend cannot tell

# When a prefetched account will be needed.
cdef enum Ahead:
    LATER                         # prefetch what says where the account lies ...
    SOON                          # ... and prefetch it from there

# The four questions that every backend answers; callable from any native thread without the GIL.
cdef struct StateReader:
    void* self
    # Prefetches an account into the caches: called once with LATER, once with SOON; NULL: that would be useless.
    void (*ask_for)(void* self, const uint8_t* address, Ahead when) noexcept nogil
    # A reader used by one thread may set these with each answer; the entry keeps them (see _stm_read).
    void* origin                  # where the reader found it
    bint contended                # of a slot: its value will likely be another one when the transaction is committed
    bint rough                    # of an account: the balance is a guess; `balance` gives the exact one
    Code* known_code              # of an account: its code, which lives as long as the reader; NULL: use `code`
    void (*balance)(void* self, void* origin, u256* balance) noexcept nogil
    Found (*account)(void* self, const uint8_t* address, AccountData* out) noexcept nogil
    Found (*storage)(void* self, const uint8_t* address, const u256* slot, u256* value) noexcept nogil   # FOUND with zero is allowed
    Code* (*code)(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil           # new reference (see code_intern); NULL: failed
    Found (*block_hash)(void* self, uint64_t number, uint8_t* out) noexcept nogil

# What the running transaction learnt of an account's values from before it. If it only adds to a balance, or only
# compares it with a payment, it does not learn the exact value: then `balance_floor` is the least balance for which the
# run is the same.
cdef enum Use:
    USE_BALANCE = 1               # its exact value
    USE_NONCE = 2                 # its exact value
    USE_NONCE_SET = 4             # only that it is not zero
    USE_CODE = 8
    USE_EXISTS = 16

# Which parts of an account the running transaction wrote.
cdef enum Part:
    PART_BALANCE = 1
    PART_NONCE = 2
    PART_CODE = 4
    PART_EXISTS = 8
    PART_WIPED = 16               # its storage was destroyed with it

cdef struct AccountEntry:
    uint8_t[20] address
    uint32_t warm                 # == ws.epoch: warm in this transaction
    uint32_t seen                 # == ws.epoch: accessed in this transaction, so loaded
    uint32_t touched              # == ws.epoch: touched in this transaction (EIP-161)
    uint32_t created              # == ws.epoch: contract created in this transaction
    uint32_t destroyed            # == ws.epoch: SELFDESTRUCT took effect in this transaction
    uint32_t changed              # == ws.epoch: some part was written in this transaction (or written and reverted) ...
    int parts                     # ... of Part
    int all_parts                 # that any transaction wrote
    uint32_t lifetime             # times its storage has been wiped; slots of an older lifetime are zero
    bint loaded                   # the fields below are known
    bint exists
    bint base_exists              # from the reader
    uint64_t nonce
    u256 balance
    uint8_t[32] code_hash
    Code* code                    # NULL until needed
    AccountData base              # from the reader
    int uses                      # of Use
    bint rough                    # base.balance is a guess; `balance` is off by as much
    u256 balance_floor
    void* origin                  # where the reader found it
    uint32_t past                 # its latest image in `past_accounts`; 0: none

cdef struct SlotEntry:
    uint32_t account              # number of the account entry
    uint32_t warm                 # == ws.epoch: warm in this transaction
    uint32_t seen                 # == ws.epoch: accessed; `original` holds the value at the start of this transaction
    uint32_t changed              # == ws.epoch: written in this transaction
    uint32_t lifetime             # of the account when `current` was set
    bint loaded                   # `base` and `current` are known
    uint16_t contended            # from the reader
    uint16_t symbol               # its number among the machine's symbols (ops/symbolic.pxi); 0: its exact value counts
    u256 key
    u256 current
    u256 original
    u256 base                     # from the reader
    void* origin                  # where the reader found it
    uint32_t past                 # its latest image in `past_slots`; 0: none

# The state of an entry before a transaction changed it.
cdef struct AccountImage:
    uint32_t number               # of the entry
    uint32_t epoch                # of the transaction
    uint32_t first                # ... and of the first transaction that changed the entry
    uint32_t previous             # the image before this one of the same entry; 0: none
    uint32_t lifetime
    bint exists
    uint64_t nonce
    u256 balance
    uint8_t[32] code_hash
    Code* code

cdef struct SlotImage:
    uint32_t number
    uint32_t epoch
    uint32_t first
    uint32_t previous
    uint32_t lifetime
    u256 current

cdef struct LogEntry:
    uint8_t[20] address
    uint32_t topic_count
    uint8_t[128] topics           # 32 bytes each
    uint32_t serial               # number of logs seen by the working set before it, those of reverted calls included
    bint is_transfer              # not a log of the chain: a transfer of value that the machine was asked to show
    size_t data_offset            # into WorkingSet.log_data
    size_t data_size

cdef struct Checkpoint:
    uint32_t journal
    uint32_t logs
    size_t log_data
    int64_t refund

cdef struct WorkingSet:
    StateReader* reader
    int revision
    uint32_t epoch                # of the running transaction; never 0
    bint failed                   # a read failed, or memory ran out: the run must end with an error
    bint no_memory                # ... because memory ran out
    AccountEntry* accounts
    uint32_t account_count
    SlotEntry* slots
    uint32_t slot_count
    LogEntry* logs                # of the running transaction
    uint32_t log_count
    uint32_t logs_seen            # since the reset, reverted ones included
    uint8_t* log_data
    int64_t refund                # of the running transaction; can be negative below the top frame
    uint32_t raised               # the account whose nonce is raised by one at its first access; 0: none
    uint32_t* changed_accounts    # numbers of the entries that the latest transaction wrote, or wrote and reverted
    uint32_t changed_account_count
    uint32_t* changed_slots
    uint32_t changed_slot_count
    bint keeps_seen               # note accesses until `ws_forget_seen`; a number may stand twice in these lists:
    uint32_t* seen_accounts
    uint32_t seen_account_count
    uint32_t* seen_slots
    uint32_t seen_slot_count
    bint keeps_past               # keep images of what is changed, until `ws_reset` or `ws_forget_past`
    AccountImage* past_accounts   # image 0 of both kinds is a placeholder
    uint32_t past_account_count
    SlotImage* past_slots
    uint32_t past_slot_count
    bint ended                    # some account has ended since `ws_reset`
    WorkingSet* beside            # the next working set whose changes are a part of this one: see `ws_put_beside`
    void* private                 # tables, journal, transient storage: _state.pyx

cdef WorkingSet* ws_new() noexcept nogil                                             # NULL: no memory
cdef void ws_free(WorkingSet* ws) noexcept nogil
cdef void ws_reset(WorkingSet* ws, StateReader* reader, int revision) noexcept nogil # forgets everything; O(1) in table size

# ---- transaction life cycle
cdef void ws_begin(WorkingSet* ws) noexcept nogil       # new epoch: nothing warm, no logs, no refund, no transient storage, empty journal
cdef void ws_finish(WorkingSet* ws) noexcept nogil      # destroys what SELFDESTRUCT marked, clears empty touched accounts (from EIP-161 on)

# ---- accesses, those of reverted calls included (EIP-7928)
cdef void ws_keep_seen(WorkingSet* ws) noexcept nogil   # from now on, until `ws_reset`
cdef void ws_forget_seen(WorkingSet* ws) noexcept nogil
cdef void ws_note_account(WorkingSet* ws, uint32_t account) noexcept nogil      # for an access by a run elsewhere
cdef void ws_note_slot(WorkingSet* ws, uint32_t slot) noexcept nogil

# ---- images, so that finished transactions can be rolled back
cdef void ws_keep_past(WorkingSet* ws) noexcept nogil   # from now on
cdef void ws_forget_past(WorkingSet* ws) noexcept nogil
cdef void ws_go_back(WorkingSet* ws, uint32_t epoch) noexcept nogil     # rolls back the transaction of this epoch and all later ones
cdef uint32_t ws_account_changed_first(const WorkingSet* ws, uint32_t account) noexcept nogil   # epoch of that transaction; 0: none
cdef uint32_t ws_slot_changed_first(const WorkingSet* ws, uint32_t slot) noexcept nogil
cdef u256 ws_least_balance(const WorkingSet* ws, uint32_t account) noexcept nogil               # after any transaction, or at first

cdef Checkpoint ws_checkpoint(WorkingSet* ws) noexcept nogil
cdef void ws_revert(WorkingSet* ws, const Checkpoint* to) noexcept nogil

# ---- accounts (by entry number). `ws_account` loads; `ws_account_unloaded` only makes the entry (to warm it).
cdef uint32_t ws_account(WorkingSet* ws, const uint8_t* address) noexcept nogil
cdef uint32_t ws_account_unloaded(WorkingSet* ws, const uint8_t* address) noexcept nogil
cdef void ws_load(WorkingSet* ws, uint32_t account) noexcept nogil
cdef bint ws_warm_account(WorkingSet* ws, uint32_t account) noexcept nogil            # true if it was cold (now warm)
cdef const u256* ws_balance(WorkingSet* ws, uint32_t account) noexcept nogil          # valid until the next call
cdef bint ws_can_pay(WorkingSet* ws, uint32_t account, const u256* amount) noexcept nogil       # balance >= amount
cdef uint64_t ws_nonce(WorkingSet* ws, uint32_t account) noexcept nogil
cdef bint ws_exists(WorkingSet* ws, uint32_t account) noexcept nogil
cdef bint ws_is_empty(WorkingSet* ws, uint32_t account) noexcept nogil                # no code, nonce 0, balance 0 (or absent)
cdef Code* ws_code(WorkingSet* ws, uint32_t account) noexcept nogil                   # borrowed; the empty code if absent; NULL: failed
cdef void ws_touch(WorkingSet* ws, uint32_t account) noexcept nogil                   # EIP-161 touch; before EIP-161 it creates the account
cdef void ws_set_balance(WorkingSet* ws, uint32_t account, const u256* balance) noexcept nogil
cdef void ws_add_balance(WorkingSet* ws, uint32_t account, const u256* amount) noexcept nogil    # never wraps: supply is below 2**256
cdef bint ws_sub_balance(WorkingSet* ws, uint32_t account, const u256* amount) noexcept nogil    # false: too poor (nothing changed)
cdef void ws_set_nonce(WorkingSet* ws, uint32_t account, uint64_t nonce) noexcept nogil
cdef void ws_raise_nonce(WorkingSet* ws, uint32_t account) noexcept nogil             # by one, at the transaction's first access: never noted as read
cdef bint ws_set_code(WorkingSet* ws, uint32_t account, const uint8_t* data, size_t size) noexcept nogil   # hashes and interns; false: no memory
cdef void ws_mark_created(WorkingSet* ws, uint32_t account) noexcept nogil            # contract creation starts here: exists, created, storage of its own
cdef void ws_destroy(WorkingSet* ws, uint32_t account) noexcept nogil                 # takes effect at ws_finish
cdef void ws_wipe(WorkingSet* ws, uint32_t account) noexcept nogil                    # the effect of that; not journaled
cdef bint ws_has_storage(WorkingSet* ws, uint32_t account) noexcept nogil             # EIP-7610

# ---- storage (by entry number)
cdef uint32_t ws_slot(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil           # loads
cdef uint32_t ws_slot_unloaded(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil  # only makes the entry (to warm it)
cdef void ws_load_slot(WorkingSet* ws, uint32_t slot) noexcept nogil
cdef bint ws_warm_slot(WorkingSet* ws, uint32_t slot) noexcept nogil                  # true if it was cold (now warm)
cdef void ws_store(WorkingSet* ws, uint32_t slot, const u256* value) noexcept nogil
cdef void ws_tload(WorkingSet* ws, uint32_t account, const u256* key, u256* value) noexcept nogil
cdef void ws_tstore(WorkingSet* ws, uint32_t account, const u256* key, const u256* value) noexcept nogil

# ---- logs, block hashes
cdef bint ws_log(WorkingSet* ws, const uint8_t* address, uint32_t topic_count, const u256* top_topic, const uint8_t* data, size_t size) noexcept nogil
cdef Found ws_block_hash(WorkingSet* ws, uint64_t number, uint8_t* out) noexcept nogil

# ---- for an executor that brings in results of transactions that ran elsewhere: no journal, no reader
cdef uint32_t ws_find_account(WorkingSet* ws, const uint8_t* address) noexcept nogil           # 0: it has not been loaded
cdef void ws_ask_for_account(WorkingSet* ws, const uint8_t* address) noexcept nogil            # prefetches it for a lookup
cdef uint32_t ws_find_slot(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil
cdef void ws_ask_for_slot(WorkingSet* ws, uint32_t account, const u256* key) noexcept nogil
cdef uint32_t ws_adopt_account(WorkingSet* ws, const uint8_t* address, const AccountData* base, bint exists) noexcept nogil
cdef uint32_t ws_adopt_slot(WorkingSet* ws, uint32_t account, const u256* key, const u256* base) noexcept nogil
cdef bint ws_put_code(WorkingSet* ws, uint32_t account, const uint8_t* code_hash, Code* code) noexcept nogil   # takes a reference of its own

# ---- joining what another working set changed while it kept images. It began where this one did, or from what this one
#      had come to. There the change no longer counts as one. False: no memory.
cdef bint ws_join_account(WorkingSet* ws, WorkingSet* other, uint32_t account) noexcept nogil   # changes by several working sets add up
cdef bint ws_join_slot(WorkingSet* ws, WorkingSet* other, uint32_t slot) noexcept nogil
cdef bint ws_join(WorkingSet* ws, WorkingSet* other) noexcept nogil                             # everything
# From now on, `other` is a part of `ws`: an entry that it changed is joined when `ws` loads it. Requirements: `ws` has
# loaded no entry that `other` changed, no two sets beside it changed the same entry, and no account has ended in any of
# them. `other` must not change any more, and must live until `ws_reset`.
cdef void ws_put_beside(WorkingSet* ws, WorkingSet* other) noexcept nogil
