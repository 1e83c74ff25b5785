# Addresses of created contracts.

cdef void create_address(const uint8_t* sender, uint64_t nonce, uint8_t* out) noexcept nogil:
    """Last 20 bytes of keccak256(rlp([sender, nonce]))."""
    cdef uint8_t[32] rlp
    cdef uint8_t[32] digest
    cdef int size = 0                        # bytes of the nonce
    cdef int i
    rlp[1] = 0x94
    memcpy(&rlp[2], sender, 20)
    if nonce == 0:
        rlp[22] = 0x80
    elif nonce < 0x80:
        rlp[22] = <uint8_t>nonce
    else:
        while size < 8 and nonce >> (8 * size):
            size += 1
        rlp[22] = <uint8_t>(0x80 + size)
        for i in range(size):
            rlp[23 + i] = <uint8_t>(nonce >> (8 * (size - 1 - i)))
    rlp[0] = <uint8_t>(0xc0 + 22 + size)
    keccak256(rlp, 23 + size, digest)
    memcpy(out, &digest[12], 20)


cdef void create2_address(const uint8_t* sender, const u256* salt, const uint8_t* init_code_hash, uint8_t* out) noexcept nogil:
    """EIP-1014: last 20 bytes of keccak256(0xff ++ sender ++ salt ++ keccak256(init code))."""
    cdef uint8_t[85] data
    cdef uint8_t[32] digest
    data[0] = 0xff
    memcpy(&data[1], sender, 20)
    u_to_be(&data[21], salt)
    memcpy(&data[53], init_code_hash, 32)
    keccak256(data, 85, digest)
    memcpy(out, &digest[12], 20)
