"""Roots and proofs of tries whose keys and values are Python's bytes; `_trie` does the work."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from evmcore._hash cimport keccak256
from evmcore._rlp cimport Buffer, buffer_free, rlp_put_uint
from evmcore._trie cimport TrieItem, trie_proof, trie_root_threaded
from evmcore._trie_nodes cimport MAX_KEY_SIZE
from evmcore._trie_record cimport record_nodes

from evmcore.errors import InputError, ResourceError

cdef object no_memory():
    return ResourceError("trie: not enough memory")


cdef bytes digest(const uint8_t* data, size_t size):
    cdef uint8_t[32] out
    keccak256(data, size, out)
    return PyBytes_FromStringAndSize(<char*>out, 32)


cdef bytes checked(object value, str name):
    if not isinstance(value, bytes):
        raise InputError(f"argument '{name}': expected bytes, got {type(value).__name__}")
    return value


cdef bytes checked_key(object value, bint secure):
    cdef bytes key = checked(value, "key")
    if secure:
        return digest(<const uint8_t*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    if PyBytes_GET_SIZE(key) > MAX_KEY_SIZE:
        raise InputError(f"argument 'key': expected at most {MAX_KEY_SIZE} bytes, got {PyBytes_GET_SIZE(key)}")
    return key


cdef dict collected(object items, bint secure):
    """The pairs that are in the trie: for each key its last pair, unless the value is empty."""
    cdef dict pairs = {}
    for key, value in items.items() if hasattr(items, "items") else items:
        key = checked_key(key, secure)
        if checked(value, "value"):
            pairs[key] = value
        else:
            pairs.pop(key, None)
    return pairs


cdef bytes native(dict pairs):
    """The pairs as `TrieItem`s, which borrow from `pairs`."""
    cdef bytes memory = PyBytes_FromStringAndSize(NULL, len(pairs) * sizeof(TrieItem))
    cdef TrieItem* item = <TrieItem*>PyBytes_AS_STRING(memory)
    cdef bytes key, value
    for key, value in pairs.items():
        if PyBytes_GET_SIZE(value) > 0xffffffff:
            raise InputError("argument 'value': expected less than 4 GiB")
        item.key = <const uint8_t*>PyBytes_AS_STRING(key)
        item.key_size = <uint32_t>PyBytes_GET_SIZE(key)
        item.value = <const uint8_t*>PyBytes_AS_STRING(value)
        item.value_size = <uint32_t>PyBytes_GET_SIZE(value)
        item += 1
    return memory


cdef bytes root_of_pairs(dict pairs, unsigned int threads=1):
    cdef bytes memory = native(pairs)
    cdef TrieItem* items = <TrieItem*>PyBytes_AS_STRING(memory)
    cdef size_t count = len(pairs)
    cdef uint8_t[32] root
    cdef bint done
    with nogil:
        done = trie_root_threaded(items, count, threads, NULL, root)
    if not done:
        raise no_memory()
    return PyBytes_FromStringAndSize(<char*>root, 32)


def root_of(items, bint secure=False):
    return root_of_pairs(collected(items, secure))


def ordered_root(values, unsigned int threads=1):
    cdef dict pairs = {}
    cdef uint8_t[9] key
    cdef uint64_t index = 0
    for value in values:
        if not checked(value, "values"):
            raise InputError(f"argument 'values': value {index} is empty")
        pairs[PyBytes_FromStringAndSize(<char*>key, rlp_put_uint(key, index) - key)] = value
        index += 1
    return root_of_pairs(pairs, threads)


def proof(items, key, bint secure=False):
    cdef dict pairs = collected(items, secure)
    cdef bytes target = checked_key(key, secure)
    cdef bytes memory = native(pairs)
    cdef TrieItem* first = <TrieItem*>PyBytes_AS_STRING(memory)
    cdef const uint8_t* path = <const uint8_t*>PyBytes_AS_STRING(target)
    cdef uint32_t path_size = <uint32_t>PyBytes_GET_SIZE(target)
    cdef Buffer record = Buffer(NULL, 0, 0)
    cdef size_t count = len(pairs)
    cdef bint done
    cdef list nodes
    with nogil:
        done = trie_proof(first, count, path, path_size, &record)
    try:
        if not done:
            raise no_memory()
        nodes = record_nodes(&record)
    finally:
        buffer_free(&record)
    nodes.reverse()
    return nodes
