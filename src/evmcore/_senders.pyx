"""Recovers the signers of many transactions and authorizations; see `_senders.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from evmcore._asking cimport ask_in_time
from evmcore._crypto cimport ec_recover
from evmcore._handlers cimport Handlers, handle_signals
from evmcore._hash cimport keccak256
from evmcore._rlp cimport (
    RLP_LIST, Buffer, buffer_free, buffer_reserve, rlp_header_size, rlp_put_header, rlp_put_uint, rlp_uint_size,
)
from evmcore._sync cimport atomic_acquire32, atomic_release32, is_to_stop, monotonic_ns, raise_flag
from evmcore._u256 cimport u256, u256_from_int, u_is_zero, u_lt, u_sat64, u_to_be
from evmcore._workers cimport run_on_workers

from evmcore.errors import InputError, ResourceError
from evmcore.forks import Fork
from evmcore.transactions import SECP256K1_ORDER, Transaction

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    SIGNATURE_ITEMS = 3           # v, r and s: the last items of every transaction's list
    LEAST_SIGNATURES = 32         # the smallest capacity

cdef u256 ORDER = u256_from_int(SECP256K1_ORDER, "order")
cdef u256 HALF_ORDER = u256_from_int(SECP256K1_ORDER // 2, "order")


# ---------------------------------------------------------------------------------------------------- signed digests

cdef size_t item_size(const uint8_t* at, size_t left, size_t* header) noexcept nogil:
    """Bytes of the RLP item, including its header of `header` bytes; 0 if the item does not fit into `left`."""
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
    cdef size_t[3] latest         # the starts of the latest three items
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


# ---------------------------------------------------------------------------------------------------- recovery

cdef bint is_usual(int kind, const u256* v, const u256* r, const u256* s, bint protected) noexcept nogil:
    """Whether the signature's numbers are usual: valid by the rules of every fork that has this transaction type."""
    cdef uint64_t value = u_sat64(v)
    if kind == 0:
        # 35 and 36 are for chain id 0, which means here that there is no replay protection.
        if value != 27 and value != 28 and not (protected and 36 < value < <uint64_t>1 << 63):
            return False
    elif value > 1:
        return False
    return not u_is_zero(r) and u_lt(r, &ORDER) and not u_is_zero(s) and not u_lt(&HALF_ORDER, s)


cdef void recover(Signature* signature, Buffer* scratch) noexcept nogil:
    cdef bint hashed = signature.encoded == NULL or signing_digest(
        signature.encoded, signature.size, signature.chain_id, scratch, signature.digest
    )
    cdef bint found = hashed and ec_recover(signature.digest, signature.r, signature.s, signature.parity, signature.address)
    atomic_release32(&signature.recovered, FOUND if found else NOT_FOUND)


cdef bint recover_next(Pending* pending, Buffer* scratch) noexcept nogil:
    """Recovers the next signature that no thread has begun with. False: none is left, or `stop` is set."""
    cdef uint64_t place
    ask_in_time()
    if is_to_stop(pending.stop):
        return False
    place = pending.next.take(1)
    if place >= pending.count:
        return False
    recover(&pending.signatures[place], scratch)
    return True


cdef void pending_help(Pending* pending) noexcept nogil:
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    while recover_next(pending, &scratch):
        pass
    buffer_free(&scratch)


cdef void help_with(void* context) noexcept nogil:
    pending_help(<Pending*>context)


cdef void pending_finish(Pending* pending, unsigned int threads) noexcept nogil:
    run_on_workers(<unsigned int>min(<size_t>threads, pending.count), help_with, pending)


cdef const uint8_t* pending_signer(Pending* pending, size_t number) noexcept nogil:
    cdef Signature* signature = &pending.signatures[number]
    cdef Buffer scratch = Buffer(NULL, 0, 0)
    cdef int64_t start
    if atomic_acquire32(&signature.recovered) == NOT_YET:
        start = monotonic_ns()
        while atomic_acquire32(&signature.recovered) == NOT_YET:
            if not recover_next(pending, &scratch):
                if is_to_stop(pending.stop):
                    break
                sched_yield()                    # another thread is recovering it
        buffer_free(&scratch)
        pending.waited += monotonic_ns() - start
    if atomic_acquire32(&signature.recovered) != FOUND:
        return NULL
    return signature.address


cdef class Recovery:

    def __cinit__(self):
        self.encodings = []
        self.pending.next = new Counter()

    def __dealloc__(self):
        del self.pending.next
        free(self.pending.signatures)

    cdef Signature* next_signature(self) except NULL:
        cdef Signature* signature
        cdef size_t wanted
        if self.pending.count == self.capacity:
            wanted = max(2 * self.capacity, <size_t>LEAST_SIGNATURES)
            signature = <Signature*>realloc(self.pending.signatures, wanted * sizeof(Signature))
            if signature == NULL:
                raise ResourceError("no memory to recover senders")
            self.pending.signatures = signature
            self.capacity = wanted
        signature = &self.pending.signatures[self.pending.count]
        memset(signature, 0, sizeof(Signature))
        return signature

    cdef bint add(self, object transaction, size_t place, bint protected, uint8_t* into) except -1:
        cdef Signature* signature
        cdef int kind = transaction.type
        cdef u256 v = u256_from_int(transaction.v, "v")
        cdef u256 r = u256_from_int(transaction.r, "r")
        cdef u256 s = u256_from_int(transaction.s, "s")
        cdef bytes encoded
        if not is_usual(kind, &v, &r, &s, protected) or (kind and transaction.chain_id is None):
            return False
        encoded = transaction.encode()
        signature = self.next_signature()
        signature.encoded = <const uint8_t*>PyBytes_AS_STRING(encoded)
        signature.size = <size_t>PyBytes_GET_SIZE(encoded)
        signature.parity = <int>v.w[0]
        if kind == 0:
            signature.parity = <int>((v.w[0] + 1) & 1)         # 27 and 35 stand for zero
            if v.w[0] >= 35:
                signature.chain_id = (v.w[0] - 35) // 2
        u_to_be(signature.r, &r)
        u_to_be(signature.s, &s)
        signature.place = place
        signature.into = into
        self.encodings.append(encoded)
        self.pending.count += 1
        return True

    cdef int add_authorization(
        self, const uint8_t* digest, const uint8_t* r, const uint8_t* s, int parity, size_t place, uint8_t* into, bint* named
    ) except -1:
        cdef Signature* signature = self.next_signature()
        memcpy(signature.digest, digest, 32)
        memcpy(signature.r, r, 32)
        memcpy(signature.s, s, 32)
        signature.parity = parity
        signature.place = place
        signature.into = into
        signature.named = named
        self.pending.count += 1
        return 0


cdef void end_recovery(void* stop) noexcept nogil:
    raise_flag(<uint32_t*>stop)


def recover_senders(transactions, unsigned int threads=1, fork=None):
    cdef list given = list(transactions)
    cdef Recovery recovery = Recovery()
    cdef list senders = [None] * len(given)
    cdef Handlers handlers
    cdef uint32_t stop = 0
    cdef const uint8_t* sender
    cdef size_t i
    if not isinstance(fork, Fork):
        fork = Fork.OSAKA if fork is None else Fork.from_name(fork)
    for place, transaction in enumerate(given):
        if not isinstance(transaction, Transaction):
            raise InputError(f"transactions: expected Transaction, got {type(transaction).__name__}")
        recovery.add(transaction, place, fork >= Fork.SPURIOUS_DRAGON, NULL)
    recovery.pending.stop = &stop
    handlers = handle_signals(end_recovery, &stop)
    with nogil:
        pending_finish(&recovery.pending, threads)
    if handlers is not None:
        handlers.done()
    for i in range(recovery.pending.count):
        sender = pending_signer(&recovery.pending, i)
        if sender != NULL:
            senders[recovery.pending.signatures[i].place] = PyBytes_FromStringAndSize(<const char*>sender, 20)
    for place, found in enumerate(senders):
        if found is None:
            senders[place] = given[place].recover_sender(fork)         # or raises the error
    return senders
