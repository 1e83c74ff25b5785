"""A state reader in front of another one: replaces accounts, slots and block hashes of the state for a call."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libcpp.vector cimport vector
from evmcore._code cimport Code
from evmcore._precompiles cimport PrecompileMove, PrecompileMoves
from evmcore._state cimport StateReader
from evmcore._u256 cimport u256

cdef struct OverlaySlot:
    u256 key
    u256 value

cdef struct OverlayAccount:
    uint8_t[20] address
    bint has_balance
    bint has_nonce
    bint fresh_storage            # slots not listed are zero, whatever the state says
    bint any_nonzero              # some listed slot is not zero
    u256 balance
    uint64_t nonce
    Code* code                    # NULL: the state's
    uint8_t[32] code_hash
    size_t first_slot             # into Overlay.slots, sorted by key
    size_t slot_count

cdef struct OverlayHash:
    uint64_t number
    uint8_t[32] hash

# The data that the reader's functions use, without the GIL and without touching a Python object.
cdef struct OverlayView:
    StateReader* base             # borrowed: the caller keeps its owner alive
    OverlayAccount* accounts
    size_t account_count
    OverlaySlot* slots
    OverlayHash* hashes
    size_t hash_count

cdef class Overlay:
    cdef StateReader reader       # its address may be used after the last `add_`
    cdef OverlayView view
    cdef vector[OverlayAccount] accounts      # sorted by address
    cdef vector[OverlaySlot] slots
    cdef vector[OverlayHash] hashes           # sorted by number

    cdef int add_accounts(self, object overrides) except -1
    cdef int add_hashes(self, object block_hashes, uint64_t number) except -1
    cdef int add_account(self, bytes address, dict fields) except -1      # `fields` as in `checked_overrides`
    cdef int add_slots(self, dict slots, OverlayAccount* account) except -1

# The addresses at which a call finds precompiles, for `Machine.moves`.
cdef class MovedPrecompiles:
    cdef PrecompileMoves moves
    cdef vector[PrecompileMove] entries

cdef MovedPrecompiles moves_new(object moves)

cdef Overlay overlay_new(StateReader* base)

# An override (an Account, or a mapping of field names) as a dict of the eth_call field names, without None.
cpdef dict account_fields(object override, str name)

# A mapping of overrides as pairs of a 20-byte address and such a dict, by address: balance and nonce are ints, code is bytes,
# state and stateDiff are dicts of ints. InputError for an invalid override.
cdef list checked_overrides(object overrides)
