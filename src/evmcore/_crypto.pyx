"""secp256k1 through coincurve: its libsecp256k1 is called by address, so that no call needs the GIL.

Recovery only reads the context made here, which libsecp256k1 allows from many threads at once.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uintptr_t
from libc.string cimport memcpy

from evmcore._hash cimport keccak256

from evmcore.errors import InputError

try:
    import coincurve
    from coincurve._libsecp256k1 import ffi, lib
except ImportError as error:
    raise ImportError(
        "evmcore recovers transaction senders with coincurve, which could not be imported "
        f"({error}); install it with `pip install coincurve`"
    ) from error

cdef enum:
    RECOVERABLE_SIGNATURE_SIZE = 65     # sizeof(secp256k1_ecdsa_recoverable_signature), checked below
    PUBLIC_KEY_SIZE = 64                # sizeof(secp256k1_pubkey), checked below
    SERIALIZED_SIZE = 65                # 0x04, x, y

ctypedef int (*ParseSignature)(
    void* context, uint8_t* signature, const uint8_t* compact, int recovery_id) noexcept nogil
ctypedef int (*Recover)(void* context, uint8_t* key, const uint8_t* signature, const uint8_t* digest) noexcept nogil
ctypedef int (*Serialize)(
    void* context, uint8_t* output, size_t* size, const uint8_t* key, unsigned int flags) noexcept nogil


def _address_of_function(str name) -> int:
    return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))


if (ffi.sizeof("secp256k1_ecdsa_recoverable_signature"), ffi.sizeof("secp256k1_pubkey")) != (
    RECOVERABLE_SIGNATURE_SIZE, PUBLIC_KEY_SIZE
):
    raise ImportError("evmcore: coincurve's libsecp256k1 has structures of another size than this build knows; "
                      "install another version of coincurve")

# The context lives as long as the process: native threads may use it until the end.
_context = lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE)
cdef void* context = <void*><uintptr_t>int(ffi.cast("uintptr_t", _context))
cdef ParseSignature parse_signature = <ParseSignature><uintptr_t>_address_of_function(
    "secp256k1_ecdsa_recoverable_signature_parse_compact")
cdef Recover recover_key = <Recover><uintptr_t>_address_of_function("secp256k1_ecdsa_recover")
cdef Serialize serialize_key = <Serialize><uintptr_t>_address_of_function("secp256k1_ec_pubkey_serialize")
cdef unsigned int UNCOMPRESSED = lib.SECP256K1_EC_UNCOMPRESSED


cdef int ec_recover(
    const uint8_t* digest, const uint8_t* r, const uint8_t* s, int parity, uint8_t* address
) noexcept nogil:
    cdef uint8_t[64] compact
    cdef uint8_t[RECOVERABLE_SIGNATURE_SIZE] signature
    cdef uint8_t[PUBLIC_KEY_SIZE] key
    cdef uint8_t[SERIALIZED_SIZE] serialized
    cdef uint8_t[32] hashed
    cdef size_t size = SERIALIZED_SIZE
    if parity != 0 and parity != 1:
        return 0        # 2 and 3, x at or above the group order, do not exist in Ethereum
    memcpy(compact, r, 32)
    memcpy(compact + 32, s, 32)
    # Parsing fails for r or s at or above the group order, recovery for zero and for an x that is on no point.
    if not parse_signature(context, signature, compact, parity):
        return 0
    if not recover_key(context, key, signature, digest):
        return 0
    serialize_key(context, serialized, &size, key, UNCOMPRESSED)
    keccak256(serialized + 1, 64, hashed)
    memcpy(address, hashed + 12, 20)
    return 1


cdef bytes word(object value, str name):
    """32 big-endian bytes of an int."""
    if not isinstance(value, int) or value < 0 or value >> 256:
        raise InputError(f"{name}: expected an int in [0, 2**256), got {value!r}")
    return value.to_bytes(32, "big")


cdef bytes bytes32(object value, str name):
    if not isinstance(value, bytes) or len(value) != 32:
        raise InputError(f"{name}: expected 32 bytes, got {value!r}")
    return value


cdef object key_of(object private_key):
    bytes32(private_key, "private_key")
    try:
        return coincurve.PrivateKey(private_key)
    except ValueError as error:
        raise InputError(f"private_key: {error}") from None


def recover_address(digest, r, s, parity):
    cdef bytes d = bytes32(digest, "digest"), rb = word(r, "r"), sb = word(s, "s")
    if parity not in (0, 1):
        raise InputError(f"parity: expected 0 or 1, got {parity!r}")
    cdef int p = parity
    address = PyBytes_FromStringAndSize(NULL, 20)
    cdef const uint8_t* digest_pointer = <const uint8_t*>PyBytes_AS_STRING(d)
    cdef const uint8_t* r_pointer = <const uint8_t*>PyBytes_AS_STRING(rb)
    cdef const uint8_t* s_pointer = <const uint8_t*>PyBytes_AS_STRING(sb)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(address)
    cdef int found
    with nogil:
        found = ec_recover(digest_pointer, r_pointer, s_pointer, p, out)
    return address if found else None


def sign(digest, private_key):
    signature = key_of(private_key).sign_recoverable(bytes32(digest, "digest"), hasher=None)
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]


def address_of(private_key):
    cdef bytes key = key_of(private_key).public_key.format(compressed=False)
    cdef uint8_t[32] hashed
    keccak256(<const uint8_t*>PyBytes_AS_STRING(key) + 1, 64, hashed)
    return PyBytes_FromStringAndSize(<const char*>hashed + 12, 20)
