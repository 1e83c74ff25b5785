"""Recovers the signers of many transactions and authorizations on native threads, without the GIL. Layer 0."""
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
    const uint8_t* encoded        # the transaction, borrowed; NULL: an authorization, whose signed hash is `digest`
    size_t size
    uint64_t chain_id             # see `signing_digest`
    uint8_t[32] digest
    uint8_t[32] r
    uint8_t[32] s
    int parity
    size_t place                  # index of the transaction, for the caller
    uint8_t* into                 # where the caller stores the address
    bint* named                   # authorization: where the caller stores whether it has a signer; without one it is skipped
    uint32_t recovered            # a `Recovered`; written last
    uint8_t[20] address

# Signatures whose signers any number of threads recover, while one thread already uses the signers that are recovered.
cdef struct Pending:
    Signature* signatures
    size_t count
    Counter* next                 # the next signature that no thread has begun with
    const uint32_t* stop          # once it is set, no thread begins with another signature; NULL: never
    int64_t waited                # nanoseconds spent in `pending_signer`

# The digest that the sender signed, from a transaction's canonical encoding. `chain_id`: of a legacy transaction with
# replay protection (EIP-155), else 0. `scratch` grows as needed. False: no memory, or not a canonical encoding.
cdef bint signing_digest(const uint8_t* encoded, size_t size, uint64_t chain_id, Buffer* scratch, uint8_t* digest) noexcept nogil

# Recovers signers until every signature was begun with, and polls (`ask_in_time` of `_asking`) meanwhile.
cdef void pending_help(Pending* pending) noexcept nogil
# Recovers all, on at most `threads` threads.
cdef void pending_finish(Pending* pending, unsigned int threads) noexcept nogil
# The signer of a signature, once it is recovered. Only one thread at a time may call this; while it waits, it recovers other
# signers and polls. NULL: no signer, or `stop` was set before.
cdef const uint8_t* pending_signer(Pending* pending, size_t number) noexcept nogil

cdef class Recovery:
    """The signatures of a block whose signers are to be recovered.

    A transaction with an unusual signature is not included: `Transaction.recover_sender` checks it and reports the error, as
    it does for a transaction whose sender cannot be recovered.
    """
    cdef Pending pending
    cdef size_t capacity          # number of signatures there is room for
    cdef list encodings           # owners of the bytes that signatures borrow

    # Adds the sender of the transaction at index `place`; indices must ascend. `protected`: EIP-155 signatures are allowed.
    # False: the signature is unusual and was not added.
    cdef bint add(self, object transaction, size_t place, bint protected, uint8_t* into) except -1
    # Adds the authority of an authorization of the same transaction, after its sender: the signer of `digest`. The caller has
    # checked that EIP-7702 accepts the signature's numbers.
    cdef int add_authorization(
        self, const uint8_t* digest, const uint8_t* r, const uint8_t* s, int parity, size_t place, uint8_t* into, bint* named
    ) except -1
    cdef Signature* next_signature(self) except NULL         # zeroed; in use once `pending.count` includes it
