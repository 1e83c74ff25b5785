"""Senders of many transactions at once; see ``_senders.pxd``."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from evmcore._crypto cimport ec_recover
from evmcore._hash cimport keccak256
from evmcore._rlp cimport (
    RLP_LIST, Buffer, buffer_free, buffer_reserve, rlp_header_size, rlp_put_header, rlp_put_uint, rlp_uint_size,
)
from evmcore._workers cimport for_each

from evmcore.errors import InputError, ResourceError
from evmcore.forks import Fork
from evmcore.transactions import SECP256K1_ORDER, Transaction

cdef enum:
    SIGNATURES_AT_ONCE = 4        # that a thread recovers
    SIGNATURE_ITEMS = 3           # v, r and s: the last of every transaction's list

cdef struct Signature:
    const uint8_t* encoded        # the transaction, borrowed
    size_t size
    uint64_t chain_id             # see `signing_digest`
    uint8_t[32] r
    uint8_t[32] s
    int parity
    bint found
    uint8_t[20] address

cdef object HALF_ORDER = SECP256K1_ORDER // 2


# ---------------------------------------------------------------------------------------------------- what was signed

cdef size_t item_size(const uint8_t* at, size_t left, size_t* header) noexcept nogil:
    """Bytes of the RLP item, its header (which is `header` bytes of them) included; 0 when it does not fit into `left`."""
    cdef size_t payload = 0, digits, i
    cdef uint8_t first
    header[0] = 1
    if left == 0:
        return 0
    first = at[0]
    if first < 0x80:
        header[0] = 0
        return 1
    if first <= 0xb7:
        payload = first - 0x80
    elif 0xc0 <= first <= 0xf7:
        payload = first - 0xc0
    else:
        digits = first - 0xb7 if first < 0xc0 else first - 0xf7
        if digits > 7 or digits >= left:
            return 0
        for i in range(digits):
            payload = payload << 8 | at[1 + i]
        header[0] = 1 + digits
    return header[0] + payload if payload <= left - header[0] else 0


cdef bint signing_digest(
    const uint8_t* encoded, size_t size, uint64_t chain_id, Buffer* scratch, uint8_t* digest
) noexcept nogil:
    cdef bint typed = size > 0 and encoded[0] < RLP_LIST
    cdef size_t header, end, one, at, signed_size, extra = 0
    cdef size_t[3] latest         # where the latest three items begin
    cdef size_t count = 0
    cdef uint8_t* out
    cdef uint8_t* to
    one = item_size(encoded + typed, size - typed, &header)
    if one == 0 or one != size - typed:
        return False
    at = typed + header
    end = size
    while at < end:
        latest[count % SIGNATURE_ITEMS] = at
        count += 1
        one = item_size(encoded + at, end - at, &header)
        if one == 0:
            return False
        at += one
    if count < SIGNATURE_ITEMS:
        return False
    end = latest[count % SIGNATURE_ITEMS]
    one = item_size(encoded + typed, size - typed, &header)
    at = typed + header
    if chain_id:
        extra = rlp_uint_size(chain_id) + 2            # and two zeros, EIP-155
    signed_size = end - at + extra
    out = buffer_reserve(scratch, typed + rlp_header_size(signed_size) + signed_size)
    if out == NULL:
        return False
    to = out
    if typed:
        to[0] = encoded[0]
        to += 1
    to = rlp_put_header(to, RLP_LIST, signed_size)
    memcpy(to, encoded + at, end - at)
    to += end - at
    if chain_id:
        to = rlp_put_uint(rlp_put_uint(rlp_put_uint(to, chain_id), 0), 0)
    keccak256(out, to - out, digest)
    return True


# ---------------------------------------------------------------------------------------------------- who signed

cdef void recover_some(void* context, uint64_t first, uint64_t end) noexcept nogil:
    cdef Signature* signature
    cdef Buffer scratch
    cdef uint8_t[32] digest
    cdef uint64_t i
    memset(&scratch, 0, sizeof(Buffer))
    for i in range(first, end):
        signature = &(<Signature*>context)[i]
        signature.found = signing_digest(
            signature.encoded, signature.size, signature.chain_id, &scratch, digest
        ) and ec_recover(digest, signature.r, signature.s, signature.parity, signature.address)
    buffer_free(&scratch)


cdef bint is_usual(object transaction, bint protected):
    """Whether nothing about the signature's numbers needs a closer look: valid by the rules of every fork that has it."""
    v = transaction.v
    if transaction.type == 0:
        if v != 27 and v != 28 and not (protected and 35 < v < 1 << 63):
            return False
    elif v > 1 or transaction.chain_id is None:
        return False
    return 0 < transaction.r < SECP256K1_ORDER and 0 < transaction.s <= HALF_ORDER


cdef list usual_senders(list given, unsigned int threads, object fork):
    cdef list places = [], encodings = []
    cdef Signature* signatures
    cdef Signature* signature
    cdef size_t count, i
    cdef bytes encoded, r, s
    cdef bint protected = fork >= Fork.SPURIOUS_DRAGON
    cdef list senders = [None] * len(given)
    for place, transaction in enumerate(given):
        if is_usual(transaction, protected):
            places.append(place)
            encodings.append(transaction.encode())
    count = len(places)
    signatures = <Signature*>calloc(count + 1, sizeof(Signature))
    if signatures == NULL:
        raise ResourceError("no memory to recover senders")
    try:
        for i in range(count):
            signature = &signatures[i]
            transaction = given[places[i]]
            encoded = encodings[i]
            signature.encoded = <const uint8_t*>PyBytes_AS_STRING(encoded)
            signature.size = <size_t>PyBytes_GET_SIZE(encoded)
            v = transaction.v
            if transaction.type == 0 and v >= 35:
                signature.chain_id = (v - 35) // 2
            r = transaction.r.to_bytes(32, "big")
            s = transaction.s.to_bytes(32, "big")
            memcpy(signature.r, PyBytes_AS_STRING(r), 32)
            memcpy(signature.s, PyBytes_AS_STRING(s), 32)
            signature.parity = transaction.y_parity
        with nogil:
            for_each(threads, count, SIGNATURES_AT_ONCE, recover_some, signatures)
        for i in range(count):
            if signatures[i].found:
                senders[places[i]] = PyBytes_FromStringAndSize(<char*>signatures[i].address, 20)
    finally:
        free(signatures)
    return senders


def recover_senders(transactions, unsigned int threads=1, fork=None):
    cdef list given = list(transactions)
    if not isinstance(fork, Fork):
        fork = Fork.OSAKA if fork is None else Fork.from_name(fork)
    for transaction in given:
        if not isinstance(transaction, Transaction):
            raise InputError(f"transactions: expected Transaction, got {type(transaction).__name__}")
    cdef list senders = usual_senders(given, threads, fork)
    for place, sender in enumerate(senders):
        if sender is None:
            senders[place] = given[place].recover_sender(fork)         # or what is wrong with it
    return senders
