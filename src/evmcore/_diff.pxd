"""State diffs: old and new value of every changed account field, slot and code. The currency of the whole system."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from evmcore._state cimport WorkingSet
from evmcore._u256 cimport u256

cdef struct AccountState:
    bint exists                   # when false the other fields are those of an absent account (0, 0, hash of no code)
    uint64_t nonce
    u256 balance
    uint8_t[32] code_hash

cdef struct AccountChange:
    uint8_t[20] address
    bint wiped                    # its storage was destroyed; old slots that the run did not read are added by the backend that applies the diff
    AccountState old
    AccountState new

cdef struct SlotChange:
    uint8_t[20] address
    u256 key
    u256 old
    u256 new

cdef class StateDiff:
    cdef AccountChange* accounts
    cdef size_t account_count
    cdef SlotChange* slots
    cdef size_t slot_count
    cdef readonly dict codes      # code hash (bytes) -> code (bytes): every code that `new` names and `old` did not
    # ... the implementer adds private capacity fields here

# Everything in the working set whose current value differs from the reader's. Needs the GIL. Order of first touch.
cdef StateDiff diff_collect(WorkingSet* ws)
