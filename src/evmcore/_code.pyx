"""Code analysis and the process-wide code cache.

Analysis comes in two parts. When code is first needed, one pass finds its jump destinations and makes a second copy of it,
byte for byte at the same offsets, which is what is executed (`include/code_scan.h`). In it every place at which
execution can enter, the start and what follows each jump destination, holds a number of its own. Whoever comes to such a
place first fuses the common instruction sequences (`ops/fusion.py`) that follow, as far as execution can run on without
a jump. So only what is reached of a contract is ever looked at closely, which is a small part of most.

Threads share the copy while it changes. That is harmless: fusing replaces first bytes of instructions only, one byte at a
time, and always by the same number; before and after, execution from there gives the same.

Both copies are padded with zero bytes, so that the interpreter may read PUSH data and fetch the next opcode past the end
without a check: the padding is STOP.

The cache is split in shards by code hash, each with its own lock, chained buckets and a clock hand for eviction. A process
forks while no thread has one of the locks: the child finds the cache whole.
"""
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._hash cimport keccak256
from evmcore._sync cimport Mutex, atomic_add32, atomic_store8, mutex_lock, mutex_unlock

cdef extern from "include/code_scan.h":                      # which the generated file includes
    pass

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*before)() noexcept, void (*parent)() noexcept, void (*child)() noexcept)

include "_fusion_generated.pxi"

cdef enum:
    PADDING = 64                  # also what the pass reads at once
    SHARDS = 32
    FIRST_BUCKETS = 64
    MAX_SIZE = 1 << 30

# A cached code. `Code` comes first: the cache hands out &entry.code and finds its way back by a cast.
cdef struct Entry:
    Code code
    Entry* next
    size_t footprint
    bint recent                   # asked for since the clock hand last passed

cdef struct Shard:
    Mutex lock
    Entry** buckets
    size_t bucket_count           # a power of two
    size_t entries
    size_t footprint              # bytes
    size_t hand                   # bucket the next eviction looks at

cdef Shard[SHARDS] shards
cdef size_t shard_budget = (512 << 20) // SHARDS
cdef Entry* empty_entry


cdef Entry* new_entry(const uint8_t* code_hash, const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t padded = size + PADDING
    cdef size_t words = (size + 63) // 64
    cdef size_t bitmap = (sizeof(Entry) + 2 * padded + 7) & ~<size_t>7
    cdef size_t footprint = bitmap + 8 * words
    if size > MAX_SIZE:
        return NULL
    cdef uint8_t* block = <uint8_t*>malloc(footprint)
    if block == NULL:
        return NULL
    cdef Entry* entry = <Entry*>block
    cdef uint8_t* raw = block + sizeof(Entry)
    cdef uint8_t* ops = raw + padded
    cdef uint64_t* jumpdests = <uint64_t*>(block + bitmap)
    memset(entry, 0, sizeof(Entry))
    if size:
        memcpy(raw, data, size)
    memset(raw + size, 0, PADDING)
    memset(ops + size, 0, PADDING)
    scan_code(raw, <uint32_t>size, ops, jumpdests)
    entry.footprint = footprint
    entry.code.refs = 1
    entry.code.size = <uint32_t>size
    if code_hash != NULL:
        memcpy(entry.code.hash, code_hash, 32)
    entry.code.raw = raw
    entry.code.ops = ops
    entry.code.jumpdests = jumpdests
    entry.code.delegation = size == 23 and raw[0] == 0xef and raw[1] == 0x01 and raw[2] == 0x00
    return entry


# Code hashes are uniform already; an attacker who picks them still has to find Keccak prefixes to crowd a bucket.
cdef inline uint64_t hash_word(const uint8_t* code_hash, int index) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, code_hash + 8 * index, 8)
    return word


cdef inline Shard* shard_of(const uint8_t* code_hash) noexcept nogil:
    return &shards[hash_word(code_hash, 0) % SHARDS]


cdef Entry* find_locked(Shard* shard, const uint8_t* code_hash) noexcept nogil:
    cdef Entry* entry
    if shard.bucket_count == 0:
        return NULL
    entry = shard.buckets[hash_word(code_hash, 1) & (shard.bucket_count - 1)]
    while entry != NULL and memcmp(entry.code.hash, code_hash, 32) != 0:
        entry = entry.next
    return entry


cdef void grow_locked(Shard* shard) noexcept nogil:
    """Doubles the buckets; keeps the old ones when memory is short (chains then grow longer)."""
    cdef size_t count = shard.bucket_count * 2 if shard.bucket_count else FIRST_BUCKETS
    cdef Entry** buckets = <Entry**>calloc(count, sizeof(Entry*))
    cdef Entry* entry
    cdef Entry* following
    cdef size_t i, at
    if buckets == NULL:
        return
    for i in range(shard.bucket_count):
        entry = shard.buckets[i]
        while entry != NULL:
            following = entry.next
            at = hash_word(entry.code.hash, 1) & (count - 1)
            entry.next = buckets[at]
            buckets[at] = entry
            entry = following
    free(shard.buckets)
    shard.buckets = buckets
    shard.bucket_count = count
    shard.hand = 0


cdef void evict_locked(Shard* shard) noexcept nogil:
    """Frees entries not asked for lately until the shard is within its budget; at most two turns of the clock hand."""
    cdef Entry** link
    cdef Entry* entry
    cdef size_t steps = 0
    while shard.footprint > shard_budget and steps < 2 * shard.bucket_count:
        link = &shard.buckets[shard.hand]
        while link[0] != NULL and shard.footprint > shard_budget:
            entry = link[0]
            if entry.recent:
                entry.recent = False
                link = &entry.next
            else:
                link[0] = entry.next
                shard.entries -= 1
                shard.footprint -= entry.footprint
                code_release(&entry.code)
        shard.hand = (shard.hand + 1) & (shard.bucket_count - 1)
        steps += 1


cdef Code* code_empty() noexcept nogil:
    code_retain(&empty_entry.code)
    return &empty_entry.code


cdef Code* code_find(const uint8_t* code_hash) noexcept nogil:
    cdef Shard* shard = shard_of(code_hash)
    cdef Entry* entry
    mutex_lock(&shard.lock)
    entry = find_locked(shard, code_hash)
    if entry != NULL:
        entry.recent = True
        code_retain(&entry.code)
    mutex_unlock(&shard.lock)
    return &entry.code if entry != NULL else NULL


cdef Code* code_intern(const uint8_t* code_hash, const uint8_t* data, size_t size) noexcept nogil:
    if size == 0:
        return code_empty()
    cdef Code* known = code_find(code_hash)
    if known != NULL:
        return known
    cdef Entry* entry = new_entry(code_hash, data, size)     # analysed outside the lock
    if entry == NULL:
        return NULL
    cdef Shard* shard = shard_of(code_hash)
    cdef Entry* other
    cdef size_t at
    mutex_lock(&shard.lock)
    other = find_locked(shard, code_hash)
    if other != NULL:                                        # another thread was faster
        code_retain(&other.code)
        mutex_unlock(&shard.lock)
        code_release(&entry.code)
        return &other.code
    if shard.entries >= shard.bucket_count:
        grow_locked(shard)
    if shard.bucket_count:
        at = hash_word(code_hash, 1) & (shard.bucket_count - 1)
        entry.next = shard.buckets[at]
        entry.recent = True
        shard.buckets[at] = entry
        shard.entries += 1
        shard.footprint += entry.footprint
        code_retain(&entry.code)
        evict_locked(shard)
    mutex_unlock(&shard.lock)
    return &entry.code


cdef Code* code_transient(const uint8_t* data, size_t size) noexcept nogil:
    cdef Entry* entry = new_entry(NULL, data, size)
    return &entry.code if entry != NULL else NULL


cdef void code_fuse(const Code* code, size_t at) noexcept nogil:
    fuse(at, code.raw, <uint8_t*>code.ops, code.jumpdests, code.size)


cdef void code_retain(Code* code) noexcept nogil:
    atomic_add32(&code.refs, 1)


cdef void code_release(Code* code) noexcept nogil:
    if code != NULL and atomic_add32(&code.refs, -1) == 0:
        free(<Entry*>code)


cdef void fuse_everywhere(const Code* code) noexcept nogil:
    """As if execution had entered at every place where it can."""
    cdef size_t at
    if code.size:
        code_fuse(code, 0)
    for at in range(1, code.size):
        if is_jumpdest(code, at - 1):
            code_fuse(code, at)


def analysis(bytes code not None, bint reached) -> tuple[list[int], bytes]:
    """The jump destinations of `code`, and the copy of it that is executed: as it is at first, or as it is when every place
    was `reached`. For tests."""
    cdef Code* made = code_transient(<const uint8_t*>code, len(code))
    if made == NULL:
        raise MemoryError(f"evmcore: no memory for a code of {len(code)} bytes")
    try:
        if reached:
            fuse_everywhere(made)
        return [at for at in range(made.size) if is_jumpdest(made, at)], made.ops[:made.size]
    finally:
        code_release(made)


def analyse_all(list codes not None, bint reached) -> int:
    """Analyses codes, which are bytes, one after the other, and forgets each: what is done when a code is first needed, and
    with `reached` what is done when every place of it is reached as well. Returns the bytes of memory that all of them take.
    To be timed."""
    cdef size_t taken = 0
    cdef Code* made
    cdef bytes code
    for code in codes:
        made = code_transient(<const uint8_t*>code, len(code))
        if made == NULL:
            raise MemoryError(f"evmcore: no memory for a code of {len(code)} bytes")
        if reached:
            fuse_everywhere(made)
        taken += (<Entry*>made).footprint
        code_release(made)
    return taken


def cache_info() -> tuple[int, int, int]:
    """(codes held, bytes held, budget in bytes) of the process-wide code cache."""
    cdef size_t entries = 0
    cdef size_t footprint = 0
    cdef int i
    for i in range(SHARDS):
        mutex_lock(&shards[i].lock)
        entries += shards[i].entries
        footprint += shards[i].footprint
        mutex_unlock(&shards[i].lock)
    return entries, footprint, shard_budget * SHARDS


def set_cache_budget(size_t budget) -> None:
    """Bound the code cache to `budget` bytes in all. Codes in use are never freed."""
    global shard_budget
    cdef int i
    shard_budget = budget // SHARDS
    for i in range(SHARDS):
        mutex_lock(&shards[i].lock)
        evict_locked(&shards[i])
        mutex_unlock(&shards[i].lock)


cdef void lock_shards() noexcept nogil:
    cdef int i
    for i in range(SHARDS):
        mutex_lock(&shards[i].lock)


cdef void unlock_shards() noexcept nogil:
    cdef int i
    for i in range(SHARDS):
        mutex_unlock(&shards[i].lock)


if pthread_atfork(lock_shards, unlock_shards, unlock_shards) != 0:
    raise MemoryError("evmcore: no memory to be told of a fork")

cdef uint8_t[32] empty_hash
keccak256(empty_hash, 0, empty_hash)
empty_entry = new_entry(empty_hash, NULL, 0)
if empty_entry == NULL:
    raise MemoryError("evmcore: no memory for the empty code")
