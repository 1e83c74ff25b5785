# Operations on BLS12-381 (EIP-2537) and KZG point evaluation (EIP-4844), by the functions of blst.

cdef extern from "include/bls12_381.h" namespace "evmcore" nogil:
    bool bls_load(const char* path) noexcept
    bool bls_loaded() noexcept
    bool bls_g1_add(const uint8_t* input, uint8_t* output) noexcept
    bool bls_g2_add(const uint8_t* input, uint8_t* output) noexcept
    int bls_g1_msm(const uint8_t* input, size_t k, uint8_t* output) noexcept
    int bls_g2_msm(const uint8_t* input, size_t k, uint8_t* output) noexcept
    int bls_pairing_check(const uint8_t* input, size_t pairs) noexcept
    bool bls_map_to_g1(const uint8_t* input, uint8_t* output) noexcept
    bool bls_map_to_g2(const uint8_t* input, uint8_t* output) noexcept
    bool kzg_verify(const uint8_t* z, const uint8_t* y, const uint8_t* commitment, const uint8_t* proof) noexcept

cdef extern from "include/msm_discounts.h" namespace "evmcore" nogil:
    uint64_t g1_msm_discount(size_t terms) noexcept
    uint64_t g2_msm_discount(size_t terms) noexcept

cdef enum:      # gas
    BLS_G1_ADD = 375
    BLS_G1_MUL = 12000
    BLS_G2_ADD = 600
    BLS_G2_MUL = 22500
    BLS_PAIRING = 37700
    BLS_PAIR = 32600
    BLS_MAP_FP_TO_G1 = 5500
    BLS_MAP_FP2_TO_G2 = 23800
    POINT_EVALUATION = 50000

cdef enum:      # bytes of input
    POINT_EVALUATION_INPUT = 192
    BLS_G1_POINT = 128
    BLS_G2_POINT = 256
    BLS_G1_TERM = 160
    BLS_G2_TERM = 288
    BLS_PAIR_INPUT = 384
    BLS_FP = 64
    BLS_FP2 = 128

# FIELD_ELEMENTS_PER_BLOB and BLS_MODULUS as two words: the output of point evaluation (EIP-4844).
cdef bytes _point_evaluation_output = (4096).to_bytes(32, "big") + bytes.fromhex(
    "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001")
cdef uint8_t[64] POINT_EVALUATION_OUTPUT
memcpy(POINT_EVALUATION_OUTPUT, PyBytes_AS_STRING(_point_evaluation_output), 64)


cdef object _find_blst():
    """Loads blst from the ckzg wheel; returns None, or the reason why that failed."""
    try:
        import ckzg
    except ImportError as error:
        return f"BLS12-381 and KZG need the package ckzg, which could not be imported ({error}); " \
               "install it with `pip install ckzg`"
    path = ckzg.__file__
    if bls_load(path.encode()):
        return None
    return f"BLS12-381 and KZG need the functions of blst, which the ckzg installed at {path} does not export; " \
           "install one of ckzg's own wheels for Linux or macOS with `pip install --force-reinstall ckzg`"

_blst_unavailable = _find_blst()


def blst_unavailable():
    return _blst_unavailable


ctypedef bool (*BlsMap)(const uint8_t* input, uint8_t* output) noexcept nogil
ctypedef int (*BlsMsm)(const uint8_t* input, size_t k, uint8_t* output) noexcept nogil


cdef PrecompileStatus bls_fixed(
    BlsMap operation, uint64_t cost, size_t expected, size_t produced,
    const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    """Runs an operation with fixed input and output sizes."""
    if not charge(gas, cost) or size != expected:
        return PRECOMPILE_FAILED
    if not bls_loaded():
        return PRECOMPILE_UNAVAILABLE
    if output_reserve(out, produced):
        return PRECOMPILE_NO_MEMORY
    return PRECOMPILE_OK if operation(input, out.data) else PRECOMPILE_FAILED


cdef PrecompileStatus bls_msm(
    BlsMsm operation, size_t terms, uint64_t cost, size_t produced,
    const uint8_t* input, int64_t* gas, Output* out
) noexcept nogil:
    cdef int verdict
    if not charge(gas, cost):
        return PRECOMPILE_FAILED
    if not bls_loaded():
        return PRECOMPILE_UNAVAILABLE
    if output_reserve(out, produced):
        return PRECOMPILE_NO_MEMORY
    verdict = operation(input, terms, out.data)
    return PRECOMPILE_OK if verdict == 1 else PRECOMPILE_NO_MEMORY if verdict < 0 else PRECOMPILE_FAILED


cdef PrecompileStatus run_bls_g1_add(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    return bls_fixed(bls_g1_add, BLS_G1_ADD, 2 * BLS_G1_POINT, BLS_G1_POINT, input, size, gas, out)


cdef PrecompileStatus run_bls_g1_msm(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef size_t terms = size // BLS_G1_TERM
    if terms == 0 or size % BLS_G1_TERM != 0:
        return PRECOMPILE_FAILED
    return bls_msm(bls_g1_msm, terms, BLS_G1_MUL * <uint64_t>terms * g1_msm_discount(terms) // 1000,
                   BLS_G1_POINT, input, gas, out)


cdef PrecompileStatus run_bls_g2_add(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    return bls_fixed(bls_g2_add, BLS_G2_ADD, 2 * BLS_G2_POINT, BLS_G2_POINT, input, size, gas, out)


cdef PrecompileStatus run_bls_g2_msm(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef size_t terms = size // BLS_G2_TERM
    if terms == 0 or size % BLS_G2_TERM != 0:
        return PRECOMPILE_FAILED
    return bls_msm(bls_g2_msm, terms, BLS_G2_MUL * <uint64_t>terms * g2_msm_discount(terms) // 1000,
                   BLS_G2_POINT, input, gas, out)


cdef PrecompileStatus run_bls_pairing(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef size_t pairs = size // BLS_PAIR_INPUT
    cdef int verdict
    if pairs == 0 or size % BLS_PAIR_INPUT != 0 or not charge(gas, BLS_PAIRING + BLS_PAIR * <uint64_t>pairs):
        return PRECOMPILE_FAILED
    if not bls_loaded():
        return PRECOMPILE_UNAVAILABLE
    verdict = bls_pairing_check(input, pairs)
    return boolean(out, verdict) if verdict >= 0 else PRECOMPILE_FAILED


cdef PrecompileStatus run_bls_map_fp_to_g1(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    return bls_fixed(bls_map_to_g1, BLS_MAP_FP_TO_G1, BLS_FP, BLS_G1_POINT, input, size, gas, out)


cdef PrecompileStatus run_bls_map_fp2_to_g2(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    return bls_fixed(bls_map_to_g2, BLS_MAP_FP2_TO_G2, BLS_FP2, BLS_G2_POINT, input, size, gas, out)


cdef PrecompileStatus run_point_evaluation(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    # versioned hash (32), z (32), y (32), commitment (48), proof (48): EIP-4844
    cdef uint8_t[32] versioned_hash
    if not charge(gas, POINT_EVALUATION) or size != POINT_EVALUATION_INPUT:
        return PRECOMPILE_FAILED
    sha256(input + 96, 48, versioned_hash)
    versioned_hash[0] = 1               # VERSIONED_HASH_VERSION_KZG
    if memcmp(versioned_hash, input, 32) != 0:
        return PRECOMPILE_FAILED
    if not bls_loaded():
        return PRECOMPILE_UNAVAILABLE
    if not kzg_verify(input + 32, input + 64, input + 96, input + 144):
        return PRECOMPILE_FAILED
    if output_reserve(out, 64):
        return PRECOMPILE_NO_MEMORY
    memcpy(out.data, POINT_EVALUATION_OUTPUT, 64)
    return PRECOMPILE_OK
