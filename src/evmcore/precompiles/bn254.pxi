# Addition, multiplication and pairing on BN254 (EIP-196, EIP-197).

cdef extern from "include/bn254_pairing.h" namespace "evmcore" nogil:
    bool bn254_add(const uint8_t* input, uint8_t* output) noexcept
    bool bn254_mul(const uint8_t* input, uint8_t* output) noexcept
    int bn254_pairing_check(const uint8_t* input, size_t pairs) noexcept

cdef enum:      # gas
    BN254_ADD_BYZANTIUM = 500
    BN254_MUL_BYZANTIUM = 40000
    BN254_PAIRING_BYZANTIUM = 100000
    BN254_PAIR_BYZANTIUM = 80000
    BN254_ADD = 150             # from Istanbul on: EIP-1108
    BN254_MUL = 6000
    BN254_PAIRING = 45000
    BN254_PAIR = 34000


cdef PrecompileStatus run_bn254_add(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef uint8_t[128] points
    if not charge(gas, BN254_ADD if revision >= ISTANBUL else BN254_ADD_BYZANTIUM):
        return PRECOMPILE_FAILED
    if output_reserve(out, 64):
        return PRECOMPILE_NO_MEMORY
    read_padded(points, 128, input, size)
    return PRECOMPILE_OK if bn254_add(points, out.data) else PRECOMPILE_FAILED


cdef PrecompileStatus run_bn254_mul(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef uint8_t[96] point_and_scalar
    if not charge(gas, BN254_MUL if revision >= ISTANBUL else BN254_MUL_BYZANTIUM):
        return PRECOMPILE_FAILED
    if output_reserve(out, 64):
        return PRECOMPILE_NO_MEMORY
    read_padded(point_and_scalar, 96, input, size)
    return PRECOMPILE_OK if bn254_mul(point_and_scalar, out.data) else PRECOMPILE_FAILED


cdef PrecompileStatus run_bn254_pairing(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef uint64_t pairs = <uint64_t>size // 192
    cdef uint64_t cost
    cdef int verdict
    if revision >= ISTANBUL:
        cost = BN254_PAIRING + BN254_PAIR * pairs
    else:
        cost = BN254_PAIRING_BYZANTIUM + BN254_PAIR_BYZANTIUM * pairs
    if not charge(gas, cost) or size % 192 != 0:
        return PRECOMPILE_FAILED
    verdict = bn254_pairing_check(input, pairs)
    return boolean(out, verdict) if verdict >= 0 else PRECOMPILE_FAILED
