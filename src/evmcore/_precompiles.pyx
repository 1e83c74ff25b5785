"""The precompiled contracts: addresses and forks here, bodies and prices in `precompiles/`, algorithms in headers.

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
    """Takes `cost` from `gas`; false if there is not enough."""
    if gas[0] < 0 or cost > <uint64_t>gas[0]:
        return False
    gas[0] -= <int64_t>cost
    return True


cdef inline bint charge_words(int64_t* gas, uint64_t base, uint64_t per_word, size_t size) noexcept nogil:
    # No address space holds the 2**57 bytes at which this could overflow.
    return charge(gas, base + per_word * (<uint64_t>size // 32 + (size % 32 != 0)))


cdef inline void read_padded(uint8_t* to, size_t length, const uint8_t* input, size_t size) noexcept nogil:
    """The first `length` bytes of the input, padded with zeros."""
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


include "precompiles/signatures.pxi"
include "precompiles/hashes.pxi"
include "precompiles/modexp.pxi"
include "precompiles/bn254.pxi"
include "precompiles/bls12_381.pxi"


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
    """The table's entry, NULL if the revision has no such precompile."""
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
