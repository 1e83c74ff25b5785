// A hash index of pointers: any number of readers without locks, one writer at a time (whoever owns it locks).
//
// Open addressing with linear probing. A cell is a pointer with four bits of the hash in its low bits, so most other
// entries are told apart without a look at them. The index is split in shards that grow one by one: no growth is long.
// A reader that comes while a key is being put in may miss it; it never finds a wrong one.
#ifndef EVMCORE_CACHE_INDEX_H
#define EVMCORE_CACHE_INDEX_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace evmcore::cache {

template <class Entry>
class Index {
    static_assert(alignof(Entry) >= 16, "the low four bits of a cell hold a part of the hash");

public:
    struct Cells {
        size_t count;
        std::atomic<uintptr_t>* cell() noexcept { return reinterpret_cast<std::atomic<uintptr_t>*>(this + 1); }
        const std::atomic<uintptr_t>* cell() const noexcept {
            return reinterpret_cast<const std::atomic<uintptr_t>*>(this + 1);
        }
    };

    Index() = default;
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;
    ~Index() {
        for (Shard& shard : shards_)
            free(shard.cells.load(std::memory_order_relaxed));
    }

    template <class Match>
    Entry* find(uint64_t hash, const Match& match) const noexcept {
        const Cells* cells = shard_of(hash).cells.load(std::memory_order_acquire);
        if (!cells)
            return nullptr;
        size_t at = place(hash, cells->count);
        for (size_t probes = 0; probes < cells->count; ++probes) {
            const uintptr_t value = cells->cell()[at].load(std::memory_order_acquire);
            if (value == FREE)
                return nullptr;
            if ((value & TAG) == (hash & TAG) && value > TAG) {
                Entry* entry = reinterpret_cast<Entry*>(value & ~TAG);
                if (match(*entry))
                    return entry;
            }
            if (++at == cells->count)
                at = 0;
        }
        return nullptr;
    }

    // What `find` will look at, on its way from memory: first the cell; and once that is there, the entry in it.
    void prefetch(uint64_t hash) const noexcept {
        const Cells* cells = shard_of(hash).cells.load(std::memory_order_acquire);
        if (cells)
            __builtin_prefetch(&cells->cell()[place(hash, cells->count)]);
    }

    void prefetch_entry(uint64_t hash) const noexcept {
        const Cells* cells = shard_of(hash).cells.load(std::memory_order_acquire);
        if (!cells)
            return;
        size_t at = place(hash, cells->count);
        for (int probes = 0; probes < 8; ++probes) {
            const uintptr_t value = cells->cell()[at].load(std::memory_order_relaxed);
            if (value == FREE)
                return;
            if ((value & TAG) == (hash & TAG) && value > TAG) {
                __builtin_prefetch(reinterpret_cast<const void*>(value & ~TAG));
                __builtin_prefetch(reinterpret_cast<const char*>(value & ~TAG) + sizeof(Entry) - 1);
                return;
            }
            if (++at == cells->count)
                at = 0;
        }
    }

    // Puts in an entry that is not there yet. `hash_of(entry)` gives any entry's hash; `retire(cells)` takes what readers
    // may still look at. False: no memory.
    template <class HashOf, class Retire>
    bool insert(uint64_t hash, Entry* entry, const HashOf& hash_of, const Retire& retire) noexcept {
        Shard& shard = shard_of(hash);
        Cells* cells = shard.cells.load(std::memory_order_relaxed);
        if (!cells || (shard.taken + 1) * 5 > cells->count * 4) {
            if (!rebuild(shard, 1, hash_of, retire))
                return false;
            cells = shard.cells.load(std::memory_order_relaxed);
        }
        shard.taken += put(cells, hash, entry);
        ++shard.live;
        return true;
    }

    // Grows now where it would while `more` entries are put in, wherever they belong. Of few, no part gets many.
    template <class HashOf, class Retire>
    void prepare(size_t more, const HashOf& hash_of, const Retire& retire) noexcept {
        if (more < SHARDS)
            return;
        const size_t each = more / SHARDS + 1, expected = each + each / 2 + 4;
        for (Shard& shard : shards_) {
            const Cells* cells = shard.cells.load(std::memory_order_relaxed);
            if (cells && (shard.taken + expected) * 5 > cells->count * 4 && !rebuild(shard, expected, hash_of, retire))
                return;
        }
    }

    void remove(uint64_t hash, const Entry* entry) noexcept {
        Shard& shard = shard_of(hash);
        Cells* cells = shard.cells.load(std::memory_order_relaxed);
        const uintptr_t wanted = reinterpret_cast<uintptr_t>(entry) | (hash & TAG);
        size_t at = place(hash, cells->count);
        while (cells->cell()[at].load(std::memory_order_relaxed) != wanted)
            if (++at == cells->count)
                at = 0;
        cells->cell()[at].store(GONE, std::memory_order_release);
        --shard.live;
    }

    size_t bytes() const noexcept {
        size_t sum = 0;
        for (const Shard& shard : shards_)
            if (const Cells* cells = shard.cells.load(std::memory_order_relaxed))
                sum += sizeof(Cells) + cells->count * sizeof(uintptr_t);
        return sum;
    }

private:
    static constexpr uintptr_t TAG = 15, FREE = 0, GONE = 1;
    static constexpr size_t SHARDS = 256, FEWEST = 32, AHEAD = 8;

    struct Shard {
        std::atomic<Cells*> cells{nullptr};
        size_t taken = 0;               // cells that are not free
        size_t live = 0;
    };

    Shard& shard_of(uint64_t hash) noexcept { return shards_[hash >> 56]; }
    const Shard& shard_of(uint64_t hash) const noexcept { return shards_[hash >> 56]; }

    // By the bits below those that chose the shard.
    static size_t place(uint64_t hash, size_t count) noexcept {
        return static_cast<size_t>((static_cast<unsigned __int128>(hash << 8) * count) >> 64);
    }

    // One when it took a free cell, zero when it took that of an entry that is gone.
    static size_t put(Cells* cells, uint64_t hash, Entry* entry) noexcept {
        size_t at = place(hash, cells->count);
        uintptr_t value;
        while ((value = cells->cell()[at].load(std::memory_order_relaxed)) > GONE)
            if (++at == cells->count)
                at = 0;
        cells->cell()[at].store(reinterpret_cast<uintptr_t>(entry) | (hash & TAG), std::memory_order_release);
        return value == FREE;
    }

    template <class HashOf, class Retire>
    static bool rebuild(Shard& shard, size_t more, const HashOf& hash_of, const Retire& retire) noexcept {
        // From 4/5 full to about half, `more` entries included.
        const size_t wanted = (shard.live + more) * 15 / 8, count = wanted < FEWEST ? FEWEST : wanted;
        Cells* fresh = static_cast<Cells*>(malloc(sizeof(Cells) + count * sizeof(uintptr_t)));
        if (!fresh)
            return false;
        fresh->count = count;
        for (size_t i = 0; i < count; ++i)
            new (&fresh->cell()[i]) std::atomic<uintptr_t>(FREE);
        Cells* old = shard.cells.load(std::memory_order_relaxed);
        if (old) {
            for (size_t i = 0; i < old->count; ++i) {
                const uintptr_t value = old->cell()[i].load(std::memory_order_relaxed);
                if (i + AHEAD < old->count)
                    __builtin_prefetch(reinterpret_cast<const void*>(
                        old->cell()[i + AHEAD].load(std::memory_order_relaxed) & ~TAG));
                if (value > GONE) {
                    Entry* entry = reinterpret_cast<Entry*>(value & ~TAG);
                    put(fresh, hash_of(*entry), entry);
                }
            }
        }
        shard.taken = shard.live;
        shard.cells.store(fresh, std::memory_order_release);
        if (old)
            retire(old);
        return true;
    }

    Shard shards_[SHARDS];
};

}  // namespace evmcore::cache

#endif
