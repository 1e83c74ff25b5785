# ECRECOVER, and P256VERIFY (EIP-7951).

cdef extern from "include/p256.h" namespace "evmcore" nogil:
    bool p256_verify(const uint8_t* input) noexcept

cdef enum:      # gas
    ECRECOVER = 3000
    P256_VERIFY = 6900


cdef PrecompileStatus run_ecrecover(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef uint8_t[128] call              # digest, v, r, s
    cdef uint8_t[20] address
    cdef int i
    if not charge(gas, ECRECOVER):
        return PRECOMPILE_FAILED
    read_padded(call, 128, input, size)
    for i in range(32, 63):
        if call[i] != 0:
            return empty(out)
    if call[63] != 27 and call[63] != 28:
        return empty(out)
    if not ec_recover(call, call + 64, call + 96, call[63] - 27, address):
        return empty(out)
    if output_reserve(out, 32):
        return PRECOMPILE_NO_MEMORY
    memset(out.data, 0, 12)
    memcpy(out.data + 12, address, 20)
    return PRECOMPILE_OK


cdef PrecompileStatus run_p256_verify(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge(gas, P256_VERIFY):
        return PRECOMPILE_FAILED
    if size != 160 or not p256_verify(input):
        return empty(out)
    return boolean(out, True)
