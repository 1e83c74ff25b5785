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
    SLOT_LEFT_OVER                # key, found: an account that goes would keep a slot, or an absent one would get it
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
    const uint8_t* data           # NULL: not given; the store must have it
    size_t size

# Brings the store from the diff's old to its new values, or back when `backward`. `codes` has one entry per account
# change, for the code it is to get. Going forward, slots of wiped accounts that the diff does not list are added to it.
# `taken` (one entry per account change) gets a reference to the code that each takes away, or NULL; the caller releases
# them. When there is a problem, store and diff are as before.
cdef void apply_diff(
    Store* store, StateDiff diff, bint backward, const CodeBytes* codes, StoredCode** taken, ApplyResult* result
) noexcept nogil

# Lists the slots of wiped and removed accounts that the diff does not list, as applying it would. False: no memory.
cdef bint complete_diff(Store* store, StateDiff diff) noexcept nogil

# Fills in the code that each account change needs, from the diff; gives what must be kept alive meanwhile. InputError
# when the diff holds a code under a hash that is not its own.
cdef list codes_of(StateDiff diff, bint backward, CodeBytes* codes)

cdef object apply_error(const ApplyResult* result, bint backward)     # the exception for a problem
