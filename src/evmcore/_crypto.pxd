"""secp256k1 recovery without the GIL, through coincurve's libsecp256k1."""
from libc.stdint cimport uint8_t

# digest, r, s: 32 bytes big-endian; parity 0 or 1. Writes the 20-byte address and returns 1, or returns 0 if no key is
# recoverable. High values of s are accepted: callers check them (EIP-2 and the ecrecover precompile differ).
cdef int ec_recover(
    const uint8_t* digest, const uint8_t* r, const uint8_t* s, int parity, uint8_t* address) noexcept nogil
