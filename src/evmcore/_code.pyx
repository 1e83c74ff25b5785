"""Code analysis and the process-wide code cache.

Analysis has two parts. When a code is first needed, one pass finds its jump destinations and makes the executed copy, byte
for byte at the same offsets (`include/code_scan.h`). In this copy every entry point (the start, and the instruction after each
jump destination) holds a reserved opcode number. The first execution that reaches an entry point fuses the common
instruction sequences (`ops/fusion.py`) that follow, as far as execution can run without a jump. So only the executed parts
of a contract, a small part of most, are analysed closely.

Threads share the copy while it changes. That is harmless: fusing replaces only first bytes of instructions, one byte at a
time, and every thread writes the same number; before and after, execution from there has the same effect.

Both copies are padded with zero bytes, so that the interpreter may read PUSH data and fetch the next opcode past the end
without a check: the padding is STOP.

The cache is split into shards by code hash, each with its own lock, chained buckets and a clock hand for eviction. A fork of
the process waits until no thread holds one of the locks, so the child finds a consistent cache.
"""
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from evmcore._hash cimport keccak256
from evmcore._sync cimport Mutex, atomic_add32, atomic_store8, mutex_lock, mutex_unlock

from evmcore.errors import InputError

cdef extern from "include/code_scan.h":                      # which the generated file includes
    pass

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*before)() noexcept, void (*parent)() noexcept, void (*child)() noexcept)

include "_fusion_generated.pxi"

cdef enum:
    PADDING = 64                  # also the number of bytes that the pass reads at once
    SHARDS = 32
    FIRST_BUCKETS = 64

# A cached code. `Code` comes first: the cache returns &entry.code and finds the entry again by a cast.
cdef struct Entry:
    Code code
    Entry* next
    size_t footprint
    bint recent                   # used since the clock hand last passed

cdef struct Shard:
    Mutex lock
    Entry** buckets
    size_t bucket_count           # a power of two
    size_t entries
    size_t footprint              # bytes
    size_t hand                   # the bucket that the next eviction begins with

cdef Shard[SHARDS] shards
cdef size_t shard_budget = (512 << 20) // SHARDS       # changed with all locks held
cdef Entry* empty_entry


cdef Entry* new_entry(const uint8_t* code_hash, const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t padded = size + PADDING
    cdef size_t words = (size + 63) // 64
    cdef size_t bitmap = (sizeof(Entry) + 2 * padded + 7) & ~<size_t>7
    cdef size_t footprint = bitmap + 8 * words
    if size > MOST_CODE:
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


# Code hashes are uniform already; an attacker who chooses codes must still find Keccak prefixes to crowd a bucket.
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
    """Doubles the buckets; if memory is short, keeps the old ones (chains then grow longer)."""
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
    """Frees entries not used recently until the shard is within its budget; at most two turns of the clock hand."""
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


cdef int check_code_size(Py_ssize_t size, str name) except -1:
    if size > MOST_CODE:
        raise InputError(f"argument '{name}': expected at most 2**30 bytes of code, got {size}")
    return 0


cdef void fuse_everywhere(const Code* code) noexcept nogil:
    """Fuses as if execution had reached every entry point."""
    cdef size_t at
    if code.size:
        code_fuse(code, 0)
    for at in range(1, code.size):
        if is_jumpdest(code, at - 1):
            code_fuse(code, at)


def analysis(bytes code not None, bint reached) -> tuple[list[int], bytes]:
    """The jump destinations of `code`, and its executed copy: in its initial form, or with `reached` as after execution has
    reached every entry point. For tests."""
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
    """Analyses codes (bytes) one after the other without keeping them: the first pass, and with `reached` also fusing at every
    entry point. Returns the bytes of memory that all of them take. For benchmarks."""
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
    lock_shards()
    shard_budget = budget // SHARDS
    for i in range(SHARDS):
        evict_locked(&shards[i])
    unlock_shards()


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
