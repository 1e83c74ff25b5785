"""Applying and undoing a state diff on the native store: all of it, or nothing."""
from libc.stdint cimport uint8_t
from evmcore._diff cimport StateDiff
from evmcore._diff_data cimport AccountState
from evmcore._u256 cimport u256
from evmcore.state._store cimport Store
from evmcore.state._tables cimport StoredCode

cdef enum ApplyProblem:
    APPLIED = 0
    NO_MEMORY
    ACCOUNT_DIFFERS               # found_account, expected_account
    SLOT_DIFFERS                  # key, found, expected
    SLOT_LEFT_OVER                # key, found: a removed account would keep a slot, or an absent account would get it
    CODE_MISSING                  # expected_account.code_hash

cdef struct ApplyResult:
    ApplyProblem problem
    uint8_t[20] address
    AccountState found_account
    AccountState expected_account
    u256 key
    u256 found
    u256 expected

cdef struct CodeBytes:
    const uint8_t* data           # NULL: not given; the store must have the code
    size_t size

# Brings the store from the diff's old to its new values, or back if `backward`. `codes` has one entry per account change,
# for the account's new code. Forward, slots of wiped accounts that the diff does not list are added to it. `taken` (one
# entry per account change) receives a reference to the code that each change removes, or NULL; the caller releases them.
# If there is a problem, store and diff are unchanged.
cdef void apply_diff(
    Store* store, StateDiff diff, bint backward, const CodeBytes* codes, StoredCode** taken, ApplyResult* result
) noexcept nogil

# Adds the unlisted slots of wiped and removed accounts to the diff, as applying it would. False: no memory.
cdef bint complete_diff(Store* store, StateDiff diff) noexcept nogil

# Fills in the code for each account change, from the diff; returns the owners of the bytes, to be kept alive meanwhile.
# InputError if the diff has a code under a wrong hash.
cdef list codes_of(StateDiff diff, bint backward, CodeBytes* codes)

cdef object apply_error(const ApplyResult* result, bint backward)     # the exception for a problem
