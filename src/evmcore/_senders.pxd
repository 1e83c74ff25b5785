"""Who signed many transactions and authorizations: hashed and recovered on native threads, without the GIL. Layer 0."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from evmcore._rlp cimport Buffer

cdef extern from "include/workers.h" namespace "evmcore" nogil:
    cppclass Counter:
        uint64_t take(uint64_t amount)

cdef enum Recovered:
    NOT_YET
    FOUND
    NOT_FOUND

cdef struct Signature:
    const uint8_t* encoded        # the transaction, borrowed; NULL: an authorization, of which `digest` was signed
    size_t size
    uint64_t chain_id             # see `signing_digest`
    uint8_t[32] digest
    uint8_t[32] r
    uint8_t[32] s
    int parity
    size_t place                  # of the transaction, for the caller, ...
    uint8_t* into                 # ... who puts the address there ...
    bint* named                   # ... and here, of an authorization, whether there is one: without it that is passed over
    uint32_t recovered            # a `Recovered`; written last
    uint8_t[20] address

# Signatures whose signers are found by any number of threads, while one already uses those that are there.
cdef struct Pending:
    Signature* signatures
    size_t count
    Counter* next                 # that nobody has begun with
    const uint32_t* stop          # once it is raised nobody begins with another; NULL: never
    int64_t waited                # ns that `pending_signer` took

# The digest that the sender signed, from a transaction's canonical encoding. `chain_id`: of a legacy transaction with
# replay protection (EIP-155), else 0. `scratch` is made larger where needed. False: no memory, or no such encoding.
cdef bint signing_digest(const uint8_t* encoded, size_t size, uint64_t chain_id, Buffer* scratch, uint8_t* digest) noexcept nogil

# Recovers until nobody is left to begin with, and asks in time (`_asking`) meanwhile.
cdef void pending_help(Pending* pending) noexcept nogil
# Recovers all, on at most so many threads.
cdef void pending_finish(Pending* pending, unsigned int threads) noexcept nogil
# The signer of a signature once it is there; the caller, one thread at a time, recovers others while it waits, and asks in
# time. NULL: not found, or `stop` was raised before it was.
cdef const uint8_t* pending_signer(Pending* pending, size_t number) noexcept nogil

cdef class Recovery:
    """What is to be recovered of a block.

    Transactions of which something has to be looked at more closely are no part of it: `Transaction.recover_sender` says
    what, as it does for those whose senders are not found.
    """
    cdef Pending pending
    cdef size_t capacity          # signatures there is room for
    cdef list encodings           # which the signatures borrow

    # The sender of the transaction at a place, not before those of earlier ones. `protected`: by EIP-155 rules too. False: the
    # transaction has to be looked at more closely.
    cdef bint add(self, object transaction, size_t place, bint protected, uint8_t* into) except -1
    # The authority of an authorization of it, after its sender: who signed `digest`, with numbers that EIP-7702 accepts.
    cdef int add_authorization(
        self, const uint8_t* digest, const uint8_t* r, const uint8_t* s, int parity, size_t place, uint8_t* into, bint* named
    ) except -1
    cdef Signature* next_signature(self) except NULL         # all zero; in use once `pending.count` says so
