"""The precompiled contracts: addresses, forks and prices here, the algorithms in headers of their own.

Every contract has one body: it charges its gas, checks its input and writes its output. Prices are those of the
execution-specs; where a fork changed one, the body asks for the revision. No body keeps state between calls.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset
from libcpp cimport bool

from evmcore._crypto cimport ec_recover
from evmcore._rules cimport BERLIN, BYZANTIUM, CANCUN, FRONTIER, ISTANBUL, OSAKA, PRAGUE

from evmcore.errors import InputError, ResourceError

cdef extern from "include/sha256.h" namespace "evmcore" nogil:
    void sha256(const uint8_t* data, size_t size, uint8_t* digest) noexcept
    void sha256_portable(const uint8_t* data, size_t size, uint8_t* digest) noexcept

cdef extern from "include/ripemd160.h" namespace "evmcore" nogil:
    void ripemd160(const uint8_t* data, size_t size, uint8_t* digest) noexcept

cdef extern from "include/modexp_call.h" namespace "evmcore" nogil:
    ctypedef struct modexp_number:
        const uint8_t* data
        size_t present
        size_t size
    cdef enum class ModexpRules(int):
        EIP198
        EIP2565
        EIP7883
    cdef cppclass ModexpCall:
        uint64_t gas
        modexp_number base, exponent, modulus
    ModexpCall modexp_read(const uint8_t* input, size_t size, ModexpRules rules) noexcept
    int modexp(modexp_number base, modexp_number exponent, modexp_number modulus, uint8_t* out) noexcept

cdef extern from "include/bn254_pairing.h" namespace "evmcore" nogil:
    bool bn254_add(const uint8_t* input, uint8_t* output) noexcept
    bool bn254_mul(const uint8_t* input, uint8_t* output) noexcept
    int bn254_pairing_check(const uint8_t* input, size_t pairs) noexcept

cdef extern from "include/blake2f.h" namespace "evmcore" nogil:
    void blake2f(uint32_t rounds, const uint8_t* state, const uint8_t* block, const uint8_t* offset, bool last,
                 uint8_t* out) noexcept

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

cdef extern from "include/p256.h" namespace "evmcore" nogil:
    bool p256_verify(const uint8_t* input) noexcept

cdef enum:      # gas
    ECRECOVER = 3000
    SHA256 = 60
    SHA256_WORD = 12
    RIPEMD160 = 600
    RIPEMD160_WORD = 120
    IDENTITY = 15
    IDENTITY_WORD = 3
    BN254_ADD_BYZANTIUM = 500
    BN254_MUL_BYZANTIUM = 40000
    BN254_PAIRING_BYZANTIUM = 100000
    BN254_PAIR_BYZANTIUM = 80000
    BN254_ADD = 150             # from Istanbul on: EIP-1108
    BN254_MUL = 6000
    BN254_PAIRING = 45000
    BN254_PAIR = 34000
    BLAKE2F_ROUND = 1
    POINT_EVALUATION = 50000
    BLS_G1_ADD = 375            # EIP-2537
    BLS_G1_MUL = 12000
    BLS_G2_ADD = 600
    BLS_G2_MUL = 22500
    BLS_PAIRING = 37700
    BLS_PAIR = 32600
    BLS_MAP_FP_TO_G1 = 5500
    BLS_MAP_FP2_TO_G2 = 23800
    P256_VERIFY = 6900

cdef enum:      # bytes of input
    POINT_EVALUATION_INPUT = 192
    BLS_G1_POINT = 128
    BLS_G2_POINT = 256
    BLS_G1_TERM = 160
    BLS_G2_TERM = 288
    BLS_PAIR_INPUT = 384
    BLS_FP = 64
    BLS_FP2 = 128

# FIELD_ELEMENTS_PER_BLOB and BLS_MODULUS as two words: what point evaluation returns (EIP-4844).
cdef bytes _point_evaluation_output = (4096).to_bytes(32, "big") + bytes.fromhex(
    "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001")
cdef uint8_t[64] POINT_EVALUATION_OUTPUT
memcpy(POINT_EVALUATION_OUTPUT, PyBytes_AS_STRING(_point_evaluation_output), 64)


cdef int output_reserve(Output* out, size_t size) noexcept nogil:
    cdef size_t capacity
    if size > out.capacity:
        capacity = size if size > 256 else 256
        free(out.data)
        out.data = <uint8_t*>malloc(capacity)
        out.capacity = capacity if out.data != NULL else 0
        if out.data == NULL:
            out.size = 0
            return -1
    out.size = size
    return 0


cdef void output_free(Output* out) noexcept nogil:
    free(out.data)
    out.data = NULL
    out.size = 0
    out.capacity = 0


cdef inline bint charge(int64_t* gas, uint64_t cost) noexcept nogil:
    """Takes `cost` from `gas`; false where there is not enough."""
    if gas[0] < 0 or cost > <uint64_t>gas[0]:
        return False
    gas[0] -= <int64_t>cost
    return True


cdef inline bint charge_words(int64_t* gas, uint64_t base, uint64_t per_word, size_t size) noexcept nogil:
    # No address space holds the 2**57 bytes at which this could overflow.
    return charge(gas, base + per_word * (<uint64_t>size // 32 + (size % 32 != 0)))


cdef inline void read_padded(uint8_t* to, size_t length, const uint8_t* input, size_t size) noexcept nogil:
    """The first `length` bytes of the input, which is zero beyond its end."""
    cdef size_t present = size if size < length else length
    if present != 0:
        memcpy(to, input, present)
    memset(to + present, 0, length - present)


cdef inline PrecompileStatus empty(Output* out) noexcept nogil:
    out.size = 0
    return PRECOMPILE_OK


cdef inline PrecompileStatus boolean(Output* out, bint value) noexcept nogil:
    if output_reserve(out, 32):
        return PRECOMPILE_NO_MEMORY
    memset(out.data, 0, 32)
    out.data[31] = value
    return PRECOMPILE_OK


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


cdef PrecompileStatus run_sha256(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge_words(gas, SHA256, SHA256_WORD, size):
        return PRECOMPILE_FAILED
    if output_reserve(out, 32):
        return PRECOMPILE_NO_MEMORY
    sha256(input, size, out.data)
    return PRECOMPILE_OK


cdef PrecompileStatus run_ripemd160(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge_words(gas, RIPEMD160, RIPEMD160_WORD, size):
        return PRECOMPILE_FAILED
    if output_reserve(out, 32):
        return PRECOMPILE_NO_MEMORY
    memset(out.data, 0, 12)
    ripemd160(input, size, out.data + 12)
    return PRECOMPILE_OK


cdef PrecompileStatus run_identity(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge_words(gas, IDENTITY, IDENTITY_WORD, size):
        return PRECOMPILE_FAILED
    if output_reserve(out, size):
        return PRECOMPILE_NO_MEMORY
    if size != 0:
        memcpy(out.data, input, size)
    return PRECOMPILE_OK


cdef PrecompileStatus run_modexp(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef ModexpRules rules = (ModexpRules.EIP7883 if revision >= OSAKA else
                              ModexpRules.EIP2565 if revision >= BERLIN else ModexpRules.EIP198)
    cdef ModexpCall call = modexp_read(input, size, rules)
    if not charge(gas, call.gas):
        return PRECOMPILE_FAILED
    if output_reserve(out, call.modulus.size):
        return PRECOMPILE_NO_MEMORY
    if modexp(call.base, call.exponent, call.modulus, out.data):
        return PRECOMPILE_NO_MEMORY
    return PRECOMPILE_OK


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


cdef PrecompileStatus run_blake2f(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    # rounds (4, big-endian), h (64), m (128), t (16), final flag (1): EIP-152
    cdef uint32_t rounds
    if size != 213:
        return PRECOMPILE_FAILED
    rounds = <uint32_t>input[0] << 24 | <uint32_t>input[1] << 16 | <uint32_t>input[2] << 8 | input[3]
    if not charge(gas, BLAKE2F_ROUND * <uint64_t>rounds) or input[212] > 1:
        return PRECOMPILE_FAILED
    if output_reserve(out, 64):
        return PRECOMPILE_NO_MEMORY
    blake2f(rounds, input + 4, input + 68, input + 196, input[212], out.data)
    return PRECOMPILE_OK


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


ctypedef bool (*BlsMap)(const uint8_t* input, uint8_t* output) noexcept nogil
ctypedef int (*BlsMsm)(const uint8_t* input, size_t k, uint8_t* output) noexcept nogil


cdef PrecompileStatus bls_fixed(
    BlsMap operation, uint64_t cost, size_t expected, size_t produced,
    const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    """An operation of fixed input and output size."""
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


cdef PrecompileStatus run_p256_verify(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge(gas, P256_VERIFY):
        return PRECOMPILE_FAILED
    if size != 160 or not p256_verify(input):
        return empty(out)
    return boolean(out, True)


cdef object _find_blst():
    """Loads blst out of the ckzg wheel; None, or why that was not possible."""
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


ctypedef PrecompileStatus (*Body)(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out) noexcept nogil

cdef struct Precompile:
    int since               # the first revision that has it
    Body body

cdef enum:
    SLOTS = 0x12
    P256_NUMBER = 0x100

# By number, 0x100 in the unused place of 0. Written while the module is imported, read-only from then on.
cdef Precompile[SLOTS] TABLE
memset(TABLE, 0, sizeof(TABLE))
TABLE[0x00] = Precompile(OSAKA, run_p256_verify)
TABLE[0x01] = Precompile(FRONTIER, run_ecrecover)
TABLE[0x02] = Precompile(FRONTIER, run_sha256)
TABLE[0x03] = Precompile(FRONTIER, run_ripemd160)
TABLE[0x04] = Precompile(FRONTIER, run_identity)
TABLE[0x05] = Precompile(BYZANTIUM, run_modexp)
TABLE[0x06] = Precompile(BYZANTIUM, run_bn254_add)
TABLE[0x07] = Precompile(BYZANTIUM, run_bn254_mul)
TABLE[0x08] = Precompile(BYZANTIUM, run_bn254_pairing)
TABLE[0x09] = Precompile(ISTANBUL, run_blake2f)
TABLE[0x0a] = Precompile(CANCUN, run_point_evaluation)
TABLE[0x0b] = Precompile(PRAGUE, run_bls_g1_add)
TABLE[0x0c] = Precompile(PRAGUE, run_bls_g1_msm)
TABLE[0x0d] = Precompile(PRAGUE, run_bls_g2_add)
TABLE[0x0e] = Precompile(PRAGUE, run_bls_g2_msm)
TABLE[0x0f] = Precompile(PRAGUE, run_bls_pairing)
TABLE[0x10] = Precompile(PRAGUE, run_bls_map_fp_to_g1)
TABLE[0x11] = Precompile(PRAGUE, run_bls_map_fp2_to_g2)


cdef inline const Precompile* precompile_of(int number, int revision) noexcept nogil:
    """The table's entry, NULL where the revision has no such precompile."""
    cdef const Precompile* entry
    if number == P256_NUMBER:
        entry = &TABLE[0]
    elif 0 < number < SLOTS:
        entry = &TABLE[number]
    else:
        return NULL
    return entry if entry.body != NULL and revision >= entry.since else NULL


cdef int precompile_at(const uint8_t* address, int revision) noexcept nogil:
    cdef int i, number
    for i in range(18):
        if address[i] != 0:
            return 0
    number = address[18] << 8 | address[19]
    return number if precompile_of(number, revision) != NULL else 0


cdef int precompile_after(const PrecompileMoves* moves, const uint8_t* address, int revision) noexcept nogil:
    cdef size_t i
    for i in range(moves.count):
        if memcmp(moves.moves[i].address, address, 20) == 0:
            return moves.moves[i].number
    return precompile_at(address, revision)


cdef PrecompileStatus precompile_run(
    int number, int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef const Precompile* entry = precompile_of(number, revision)
    out.size = 0
    if entry == NULL:
        return PRECOMPILE_FAILED
    return entry.body(revision, input, size, gas, out)


def number_at(address, int revision):
    if not isinstance(address, bytes) or len(address) != 20:
        raise InputError(f"address: expected 20 bytes, got {address!r}")
    return precompile_at(<const uint8_t*>PyBytes_AS_STRING(address), revision)


def run(number, int revision, data, gas):
    if not isinstance(data, bytes):
        raise InputError(f"data: expected bytes, got {type(data).__name__}")
    if not isinstance(gas, int) or not 0 <= gas <= INT64_MAX:
        raise InputError(f"gas: expected an int in [0, 2**63), got {gas!r}")
    if not isinstance(number, int) or not 0 <= number <= P256_NUMBER or precompile_of(number, revision) == NULL:
        raise InputError(f"number: revision {revision!r} has no precompile {number!r}")
    cdef int n = number
    cdef int64_t left = gas
    cdef Output out = Output(NULL, 0, 0)
    cdef const uint8_t* input = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef size_t size = <size_t>PyBytes_GET_SIZE(data)
    cdef PrecompileStatus status
    with nogil:
        status = precompile_run(n, revision, input, size, &left, &out)
    try:
        if status == PRECOMPILE_OK:
            return True, left, PyBytes_FromStringAndSize(<const char*>out.data, <Py_ssize_t>out.size)
        if status == PRECOMPILE_FAILED:
            return False, 0, b""
        raise ResourceError(f"precompile {number:#x}: " + (
            "out of memory" if status == PRECOMPILE_NO_MEMORY else blst_unavailable() or "blst is not loaded"))
    finally:
        output_free(&out)


def sha256_without_extensions(bytes data not None):
    digest = PyBytes_FromStringAndSize(NULL, 32)
    sha256_portable(<const uint8_t*>PyBytes_AS_STRING(data), <size_t>len(data), <uint8_t*>PyBytes_AS_STRING(digest))
    return digest
