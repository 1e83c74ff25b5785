"""Merkle proofs; see `_proof.pxd`."""
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from evmcore._empty_code cimport EMPTY_CODE_HASH
from evmcore._hash cimport keccak256
from evmcore._live_trie cimport LiveLeaf, LiveTrie, live_find, live_proof, live_root
from evmcore._rlp cimport Buffer, buffer_free
from evmcore._trie_record cimport record_nodes
from evmcore._u256 cimport u256_from_int, u256_to_int, u_to_be
from evmcore.state._kept_trie cimport KeptTrie, kept_ready
from evmcore.state._store cimport Row, Store, row_code_hash, store_find
from evmcore.state._tables cimport slot_find

from evmcore.errors import ResourceError


cdef int proof_init(AccountProof* proof, bytes address, list slots) except -1:
    cdef size_t i
    memset(proof, 0, sizeof(AccountProof))
    memcpy(proof.address, <const uint8_t*>address, 20)
    memcpy(proof.code_hash, EMPTY_CODE_HASH, 32)
    proof.slots = <SlotProof*>calloc(len(slots) + 1, sizeof(SlotProof))
    if proof.slots == NULL:
        raise ResourceError("no memory for a proof")
    for i in range(<size_t>len(slots)):
        proof.slots[i].key = u256_from_int(slots[i], "slots")
    proof.slot_count = len(slots)
    return 0


cdef void proof_free(AccountProof* proof) noexcept nogil:
    cdef size_t i
    buffer_free(&proof.nodes)
    for i in range(proof.slot_count):
        buffer_free(&proof.slots[i].nodes)
    free(proof.slots)


cdef bint prove_slot(LiveTrie* storage, const Row* row, SlotProof* slot) noexcept nogil:
    cdef uint8_t[32] word, hashed
    u_to_be(word, &slot.key)
    keccak256(word, 32, hashed)
    value = slot_find(&row.slots, &slot.key) if row != NULL else NULL
    if value != NULL:
        slot.value = value[0]
    return live_proof(storage, hashed, NULL, &slot.nodes)


cdef bint prove(KeptTrie* kept, Store* store, AccountProof* proof, const uint32_t* stop) noexcept nogil:
    cdef const Row* row = store_find(store, proof.address)
    cdef LiveTrie no_storage
    cdef LiveTrie* storage = &no_storage
    cdef LiveLeaf* leaf
    cdef uint8_t[32] hashed
    cdef size_t i
    keccak256(proof.address, 20, hashed)
    if not kept_ready(kept, store, 1, stop) or not live_proof(&kept.accounts, hashed, stop, &proof.nodes):
        return False
    memset(&no_storage, 0, sizeof(LiveTrie))
    leaf = live_find(&kept.accounts, hashed)
    if leaf != NULL and leaf.below != NULL:
        storage = leaf.below
    if row != NULL:
        proof.nonce = row.nonce
        proof.balance = row.balance
        memcpy(proof.code_hash, row_code_hash(row), 32)
    if not live_root(storage, 1, NULL, proof.storage_root):
        return False
    for i in range(proof.slot_count):
        if not prove_slot(storage, row, &proof.slots[i]):
            return False
    return True


cdef str hex_of(const uint8_t* data, size_t size):
    return "0x" + data[:size].hex()


cdef list hex_nodes(const Buffer* record):
    return ["0x" + node.hex() for node in record_nodes(record)]


cdef dict proof_json(const AccountProof* proof):
    cdef const SlotProof* slot
    cdef list slots = []
    cdef size_t i
    for i in range(proof.slot_count):
        slot = &proof.slots[i]
        slots.append({
            "key": hex(u256_to_int(&slot.key)), "value": hex(u256_to_int(&slot.value)), "proof": hex_nodes(&slot.nodes)
        })
    return {
        "address": hex_of(proof.address, 20),
        "accountProof": hex_nodes(&proof.nodes),
        "balance": hex(u256_to_int(&proof.balance)),
        "codeHash": hex_of(proof.code_hash, 32),
        "nonce": hex(proof.nonce),
        "storageHash": hex_of(proof.storage_root, 32),
        "storageProof": slots,
    }
