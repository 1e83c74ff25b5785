// The state of a world (step_world.h), by which the exhaustive search distinguishes states, and copies of whole worlds.
//
// Two worlds are the same state if everything that follows is the same, whatever the workers do next:
// Two worlds are the same state if everything that follows is the same, whatever the workers do next:
//   transaction and value, records of runs. Addresses, earlier runs and data that no worker can reach any more make no
//   difference.
// - What a worker does follows from what it has read. At the places marked with STM_KNOWS it depends only on the values
//   named there. So a worker is compared by the latest of these marks and by what it has read since.
// - Workers are alike: it makes no difference which of them is where.
// `--check` verifies this, see stm_steps.cpp: from worlds taken for the same, the same step must lead to the same.
#pragma once
#include "step_world.h"

struct Hash {
    uint64_t a = 0x243f6a8885a308d3, b = 0x13198a2e03707344;
    void add(uint64_t word) {
        a = mixed(a, word);
        b = (b + word) * 0xd1342543de82ef95;
        b = b << 27 | b >> 37;
    }
};

template <class HashType>
void Inspect::shared(HashType& hash) {
    const Scheduler& s = world.scheduler;
    for (TxIndex tx = 1; tx <= s.count_; ++tx) {
        hash.add(plain(&s.states_[tx].word));
        hash.add(said(plain(&s.states_[tx].waiters)));
        hash.add(s.states_[tx].vain);
    }
    hash.add(plain(&s.next_) | uint64_t{plain(&s.taken_)} << 32);
    hash.add(plain(&s.rest_));
    hash.add(plain(&s.frontier_) | uint64_t{plain(&s.office_)} << 32 | uint64_t{world.block.stop} << 33);
    const uint32_t used = static_cast<uint32_t>(world.store.used());
    for (uint32_t i = 0; i < used; ++i) {
        const Location& location = world.store.locations_[i];
        for (const Cell& cell : location.cells) {
            for (const Version* at = plain(&cell.head); at != nullptr; at = plain(&at->next)) {
                hash.add(at->tx);
                hash.add(said(plain(&at->value)));
            }
            hash.add(plain(&location.written));
        }
    }
    uint64_t runs = 0, reruns = 0, waits = 0;
    for (int i = 0; i < workers; ++i) {
        runs += world.block.workers[i].tally.runs;
        reruns += world.block.workers[i].tally.reruns;
        waits += world.block.workers[i].tally.waits;
    }
    hash.add(runs | reruns << 16 | waits << 32);
    const Block& block = world.block;
    for (TxIndex tx = 1; tx <= s.count_; ++tx) hash.add(digest(block.run_of[tx]));
    hash.add(block.outcome.done | uint64_t{block.outcome.verdict} << 32 | uint64_t{block.fallback} << 40);
    hash.add(block.gas_used);
}

struct Key {
    uint64_t a, b;
    bool swapped;                                // the second worker is the first of the pair
    bool operator==(const Key& other) const { return a == other.a && b == other.b; }
};

// The key of the state of two workers.
inline Key key_of_state() {
    Hash hash;
    Inspect::shared(hash);
    uint64_t local[2];
    for (int i = 0; i < 2; ++i) {
        const Coroutine& c = world.coroutines[i];
        local[i] = !c.live ? 0 : mixed(c.path, c.writes | c.paused << 1 | world.block.workers[i].inside << 2 | 8);
    }
    const bool swapped = local[1] < local[0];
    hash.add(local[swapped]);
    hash.add(local[!swapped]);
    return {hash.a, hash.b, swapped};
}

// The pieces of memory that make up a world, in a fixed order; `visit(address, size)`.
template <class Visit>
void Inspect::pieces(Visit visit) {
    visit(&world, sizeof world);
    visit(world.scheduler.states_, (world.scheduler.count_ + 1) * sizeof(TxState));
    visit(world.store.locations_, world.store.used() * sizeof(Location));
    for (int i = 0; i < workers; ++i) {
        Arena& arena = world.arenas[i];
        if (arena.current_ != arena.first_) fail("an arena has more than one chunk", 0);
        if (arena.first_ != nullptr) visit(arena.first_->data(), arena.used_);
        visit(world.coroutines[i].low, stacks[i] + kStack - world.coroutines[i].low);
    }
}

struct Snapshot {
    std::vector<char> bytes;
    void take() {
        bytes.clear();
        Inspect::pieces([this](const void* address, size_t size) {
            const char* at = static_cast<const char*>(address);
            bytes.insert(bytes.end(), at, at + size);
        });
    }
    void restore() const {
        // The first piece holds the sizes of the others.
        std::memcpy(static_cast<void*>(&world), bytes.data(), sizeof world);
        size_t from = 0;
        Inspect::pieces([&](void* address, size_t size) {
            std::memcpy(address, bytes.data() + from, size);
            from += size;
        });
    }
};
