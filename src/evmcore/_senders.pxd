"""Senders of many transactions at once: hashed and recovered on native threads, without the GIL. Layer 0."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from evmcore._rlp cimport Buffer

# The digest that the sender signed, from a transaction's canonical encoding. `chain_id`: of a legacy transaction with
# replay protection (EIP-155), else 0. `scratch` is made larger where needed. False: no memory, or no such encoding.
cdef bint signing_digest(const uint8_t* encoded, size_t size, uint64_t chain_id, Buffer* scratch, uint8_t* digest) noexcept nogil

# The senders in order, as bytes; None where something about the transaction or its signature has to be looked at more
# closely (`Transaction.recover_sender` then says what).
cdef list usual_senders(list given, unsigned int threads, object fork)
