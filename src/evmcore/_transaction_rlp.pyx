"""The canonical encodings of transactions, read natively.

Nearly all transactions of blocks are valid and of common types. These are read here in one pass, which checks every rule of
`transaction_rlp`. If any check fails, the pass ends, and the Python decoder, which distinguishes the many ways to be malformed,
starts from the beginning.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from evmcore._u256 cimport u256, u256_to_int, u_from_be_n

cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object target, object name, object value) except -1

cdef enum:
    LEGACY                        # types; EIP-7702's is left out, because it is rare and has other lists
    ACCESS_LIST
    DYNAMIC_FEE
    BLOB

# The number of fields of each type.
cdef int[4] FIELD_COUNTS
FIELD_COUNTS[:] = [9, 11, 12, 14]


cdef bint next_item(const uint8_t** at, const uint8_t* end, Item* item) noexcept nogil:
    cdef const uint8_t* start = at[0]
    cdef size_t size, digits, i
    cdef uint8_t first
    if start >= end:
        return False
    first = start[0]
    item.begin = start
    item.is_list = first >= 0xc0
    if first < 0x80:
        item.payload = start
        item.end = at[0] = start + 1
        return True
    size = first - (0xc0 if item.is_list else 0x80)
    start += 1
    if size > 55:
        digits = size - 55
        if digits > <size_t>(end - start) or digits > 7 or start[0] == 0:
            return False
        size = 0
        for i in range(digits):
            size = size << 8 | start[i]
        if size < 56:
            return False
        start += digits
    if size > <size_t>(end - start) or (size == 1 and not item.is_list and start[0] < 0x80):
        return False
    item.payload = start
    item.end = at[0] = start + size
    return True


cdef inline size_t size_of(const Item* item) noexcept nogil:
    return item.end - item.payload


cdef inline bytes payload_of(const Item* item):
    return PyBytes_FromStringAndSize(<const char*>item.payload, item.end - item.payload)


cdef inline bint is_number(const Item* item, size_t most) noexcept nogil:
    """Whether an item is a number of at most `most` bytes, without leading zeros."""
    return not item.is_list and size_of(item) <= most and (size_of(item) == 0 or item.payload[0] != 0)


cdef inline object number_of(const Item* item):
    cdef u256 value
    u_from_be_n(&value, item.payload, size_of(item))
    return u256_to_int(&value)


cdef tuple access_list_of(const Item* entries):
    """The access list; None if the item is not one."""
    cdef const uint8_t* at = entries.payload
    cdef const uint8_t* inner
    cdef const uint8_t* key
    cdef Item entry, address, keys, slot
    cdef list result = [], slots
    while at < entries.end:
        if not next_item(&at, entries.end, &entry) or not entry.is_list:
            return None
        inner = entry.payload
        if not next_item(&inner, entry.end, &address) or not next_item(&inner, entry.end, &keys) or inner != entry.end:
            return None
        if address.is_list or size_of(&address) != 20 or not keys.is_list:
            return None
        slots = []
        key = keys.payload
        while key < keys.end:
            if not next_item(&key, keys.end, &slot) or slot.is_list or size_of(&slot) != 32:
                return None
            slots.append(number_of(&slot))
        result.append((payload_of(&address), tuple(slots)))
    return tuple(result)


cdef tuple hashes_of(const Item* entries):
    """The hashes; None if some hash does not have 32 bytes."""
    cdef const uint8_t* at = entries.payload
    cdef Item entry
    cdef list result = []
    while at < entries.end:
        if not next_item(&at, entries.end, &entry) or entry.is_list or size_of(&entry) != 32:
            return None
        result.append(payload_of(&entry))
    return tuple(result)


cdef bint split_fields(int kind, const uint8_t* at, const uint8_t* end, Item* fields) noexcept nogil:
    """The members of the list that makes up all of the data, and whether each is valid. Nested lists are not checked."""
    cdef Item whole
    cdef int count = FIELD_COUNTS[kind], i, first, signature = count - 3
    if not next_item(&at, end, &whole) or not whole.is_list or at != end:
        return False
    at = whole.payload
    for i in range(count):
        if not next_item(&at, whole.end, &fields[i]):
            return False
    if at != whole.end:
        return False
    # Chain id, nonce, prices, gas limit, recipient, value, data.
    first = 0
    if kind != LEGACY:
        first = 1
        if not is_number(&fields[0], 32):
            return False
    if not is_number(&fields[first], 8) or not is_number(&fields[first + 1], 32):
        return False
    first += 2
    if kind >= DYNAMIC_FEE:
        if not is_number(&fields[first], 32):
            return False
        first += 1
    if not is_number(&fields[first], 8) or not is_number(&fields[first + 2], 32):
        return False
    if fields[first + 1].is_list or (size_of(&fields[first + 1]) != 0 and size_of(&fields[first + 1]) != 20):
        return False
    if fields[first + 3].is_list:
        return False
    if kind != LEGACY and not fields[first + 4].is_list:
        return False
    if kind == BLOB and (not is_number(&fields[first + 5], 32) or not fields[first + 6].is_list):
        return False
    # The chain id in a legacy signature is computed with 64 bits here.
    return (
        is_number(&fields[signature], 8 if kind == LEGACY else 32) and is_number(&fields[signature + 1], 32)
        and is_number(&fields[signature + 2], 32)
    )


def read_transaction(transaction, data):
    if type(data) is not bytes:
        return False
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef const uint8_t* end = at + PyBytes_GET_SIZE(data)
    cdef Item[14] fields
    cdef int kind = LEGACY, i, signature
    cdef object chain_id = None, price = None, most = None, tip = None, blob_price = None, v, r, s
    cdef tuple access_list = (), hashes = ()
    if at == end:
        return False
    if at[0] < 0xc0:
        kind = at[0]
        if kind == LEGACY or kind > BLOB:
            return False
        at += 1
    if not split_fields(kind, at, end, fields):
        return False
    signature = FIELD_COUNTS[kind] - 3
    v = number_of(&fields[signature])
    r = number_of(&fields[signature + 1])
    s = number_of(&fields[signature + 2])
    i = 0
    if kind == LEGACY:
        if v >= 35:
            chain_id = (v - 35) // 2
    else:
        chain_id = number_of(&fields[0])
        i = 1
        access_list = access_list_of(&fields[7 if kind == ACCESS_LIST else 8])
        if access_list is None:
            return False
    if kind == BLOB:
        blob_price = number_of(&fields[9])
        hashes = hashes_of(&fields[10])
        if hashes is None:
            return False
    PyObject_GenericSetAttr(transaction, "type", kind)
    PyObject_GenericSetAttr(transaction, "chain_id", chain_id)
    PyObject_GenericSetAttr(transaction, "nonce", number_of(&fields[i]))
    if kind >= DYNAMIC_FEE:
        tip = number_of(&fields[i + 1])
        most = number_of(&fields[i + 2])
        i += 3
    else:
        price = number_of(&fields[i + 1])
        i += 2
    PyObject_GenericSetAttr(transaction, "gas_price", price)
    PyObject_GenericSetAttr(transaction, "max_fee_per_gas", most)
    PyObject_GenericSetAttr(transaction, "max_priority_fee_per_gas", tip)
    PyObject_GenericSetAttr(transaction, "gas_limit", number_of(&fields[i]))
    PyObject_GenericSetAttr(transaction, "to", payload_of(&fields[i + 1]) or None)
    PyObject_GenericSetAttr(transaction, "value", number_of(&fields[i + 2]))
    PyObject_GenericSetAttr(transaction, "data", payload_of(&fields[i + 3]))
    PyObject_GenericSetAttr(transaction, "access_list", access_list)
    PyObject_GenericSetAttr(transaction, "max_fee_per_blob_gas", blob_price)
    PyObject_GenericSetAttr(transaction, "blob_versioned_hashes", hashes)
    PyObject_GenericSetAttr(transaction, "authorization_list", ())
    PyObject_GenericSetAttr(transaction, "v", v)
    PyObject_GenericSetAttr(transaction, "r", r)
    PyObject_GenericSetAttr(transaction, "s", s)
    PyObject_GenericSetAttr(transaction, "sender", None)
    PyObject_GenericSetAttr(transaction, "_encoded", data)
    return True


def split_transactions(data):
    if type(data) is not bytes:
        return None
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef const uint8_t* end = at + PyBytes_GET_SIZE(data)
    cdef Item whole, member
    cdef list found = []
    if not next_item(&at, end, &whole) or not whole.is_list or at != end:
        return None
    at = whole.payload
    while at < whole.end:
        if not next_item(&at, whole.end, &member):
            return None
        if member.is_list:
            member.payload = member.begin        # a legacy transaction is its own encoding
        elif size_of(&member) == 0 or member.payload[0] >= 0xc0:
            return None
        found.append(payload_of(&member))
    return found
