"""Keccak-256 for every compiled module and for Python."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from evmcore.errors import InputError

cdef extern from "include/keccak.h" nogil:
    ctypedef void (*KeccakPermutation)(uint64_t* state) noexcept nogil
    ctypedef struct KeccakVariant:
        const char* name
        KeccakPermutation permute
    const KeccakVariant* keccak_variants() noexcept
    const KeccakPermutation keccak_permute
    void keccak_hash(KeccakPermutation permute, const uint8_t* data, size_t size, uint8_t* digest) noexcept
    void keccak_hash_64(KeccakPermutation permute, const uint8_t* data, uint8_t* digest) noexcept


cdef void keccak256(const uint8_t* data, size_t size, uint8_t* digest) noexcept nogil:
    keccak_hash(keccak_permute, data, size, digest)


cdef void keccak256_64(const uint8_t* data, uint8_t* digest) noexcept nogil:
    keccak_hash_64(keccak_permute, data, digest)


cdef object hash_object(object data, KeccakPermutation permute):
    cdef Py_buffer view
    if not PyObject_CheckBuffer(data):
        raise InputError(f"data: expected bytes or another contiguous buffer, got {type(data).__name__}")
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except BufferError as error:
        raise InputError(f"data: expected bytes or another contiguous buffer: {error}") from None
    digest = PyBytes_FromStringAndSize(NULL, 32)
    keccak_hash(permute, <const uint8_t*>view.buf, <size_t>view.len, <uint8_t*>PyBytes_AS_STRING(digest))
    PyBuffer_Release(&view)
    return digest


def hash_bytes(data):
    """The 32-byte Keccak-256 digest of a bytes-like object."""
    return hash_object(data, keccak_permute)


# The C function above has the name already, so Python gets its own by hand.
hash_bytes.__name__ = hash_bytes.__qualname__ = "keccak256"
globals()["keccak256"] = hash_bytes
del globals()["hash_bytes"]


def variants():
    """Names of the permutations this machine can run; the first is the one in use."""
    cdef const KeccakVariant* variant = keccak_variants()
    names = []
    while variant.name != NULL:
        names.append(variant.name.decode())
        variant += 1
    return names


def keccak256_variant(str name, data):
    """As `keccak256`, with the named permutation, for tests."""
    cdef const KeccakVariant* variant = keccak_variants()
    while variant.name != NULL:
        if variant.name.decode() == name:
            return hash_object(data, variant.permute)
        variant += 1
    raise InputError(f"name: {name!r} is not one of {variants()}")


def keccak256_of_64(bytes data):
    """As `keccak256`, by the path for exactly 64 bytes, for tests."""
    if len(data) != 64:
        raise InputError(f"data: expected 64 bytes, got {len(data)}")
    digest = PyBytes_FromStringAndSize(NULL, 32)
    keccak256_64(<const uint8_t*>PyBytes_AS_STRING(data), <uint8_t*>PyBytes_AS_STRING(digest))
    return digest
