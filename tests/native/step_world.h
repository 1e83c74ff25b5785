// The parallel engine's workers as coroutines of one thread. The driver chooses the worker that makes the next access
// to shared memory, so every run can be repeated. Every access is sequentially consistent here; weaker orders are
// tested by ThreadSanitizer and stm_driver.cpp.
//
// step_state.h describes the state of such a world in few bytes.
#pragma once
#include <csetjmp>
#include <cstdint>
#include <ucontext.h>

template <class T>
inline void stm_yield(const T* word, bool write);
template <class... Values>
inline void stm_knows(int place, int depth, Values... values);
static void stm_pause();
#define STM_YIELD(address, write) stm_yield(address, write)
#define STM_KNOWS(...) stm_knows(__COUNTER__, __VA_ARGS__)
#define STM_PAUSE() stm_pause()
#define STM_TICKS 1
#define STM_MAX_TXS 6
#define STM_MAX_ACCOUNTS 2
#define STM_MAX_SLOTS 2
#define STM_MAX_WORKERS 3
#include "synthetic.h"
namespace synthetic {
struct Run;
inline uint64_t digest(const void* address, size_t size);
inline uint64_t digest(const Run& run);
}
#include "synthetic_block.h"

using namespace synthetic;

namespace evmcore::stm {

struct Inspect {
    static bool is_in(const Arena& arena, const void* address) {
        const char* at = static_cast<const char*>(address);
        return arena.first_ != nullptr && at >= reinterpret_cast<const char*>(arena.first_) &&
               at < reinterpret_cast<const char*>(arena.first_) + arena.first_->size;
    }
    static bool in_an_arena(const void* address);
    static void scheduler();
    static bool is_awaited(TxIndex tx, uint32_t epoch);
    static void cells();
    template <class Visit>
    static void pieces(Visit visit);
    template <class Hash>
    static void shared(Hash& hash);
};

}  // namespace evmcore::stm

// ---------------------------------------------------------------------------------------------------- coroutines

constexpr int kDepths = 4;

struct Coroutine {
    jmp_buf context;
    char* low;                                  // nothing below is in use while the coroutine waits
    bool live, paused;                          // paused: it found nothing to do
    bool writes;                                // its next access is a write
    uint64_t known[kDepths];                    // of what it has read, what it depends on: see STM_KNOWS
    uint64_t path;                              // the same, and what it has read since
};

constexpr size_t kStack = 1 << 15, kBelow = 2048, kMargin = 192;

// Everything that a step can change, except the heap memory of these objects.
static struct World {
    Store store;
    Scheduler scheduler;
    Arena arenas[STM_MAX_WORKERS];
    Block block;
    Coroutine coroutines[STM_MAX_WORKERS];
} world;

alignas(64) static char stacks[STM_MAX_WORKERS][kStack];
static ucontext_t main_entry, entry;
static jmp_buf main_context;
static int workers, current = -1;
static uint64_t steps;

// What is going on, for the report of a failure.
static const char* mode = "";
static uint64_t seed = 1, now_block;
static std::vector<uint8_t> schedule;

void synthetic::fail(const char* what, TxIndex tx) {
    current = -1;
    std::fprintf(stderr, "FAILED: %s (transaction %u). Again: %s --seed %llu --first %llu --blocks 1; the workers' steps were ",
                 what, tx, mode, static_cast<unsigned long long>(seed), static_cast<unsigned long long>(now_block));
    for (uint8_t worker : schedule) std::fputc('0' + worker, stderr);
    std::fputc('\n', stderr);
    std::abort();
}

inline uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = ((hash ^ word) + 0x243f6a8885a308d3) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 32;
}

template <class... Values>
inline void stm_knows(int place, int depth, Values... values) {
    if (current < 0) return;
    Coroutine& self = world.coroutines[current];
    uint64_t hash = mixed(depth == 0 ? 0 : self.known[depth - 1], place);
    ((hash = mixed(hash, static_cast<uint64_t>(values))), ...);
    for (int i = depth; i < kDepths; ++i) self.known[i] = hash;
    self.path = hash;
}

// What a worker learns from a word: not addresses, which depend on the order of allocations, but what they lead to.
inline uint64_t said(const Value* value) {
    if (value == nullptr) return 0;
    uint64_t hash = value->delta ? 3 : 1;
    for (uint64_t limb : value->word.w) hash = mixed(hash, limb);
    return hash;
}
inline uint64_t said(uintptr_t word) { return said(reinterpret_cast<const Value*>(word & ~uintptr_t{1})) * 2 + (word & 1); }
inline uint64_t said(const Version* version) { return version == nullptr ? 0 : version->tx; }
inline uint64_t said(const Waiter* waiter) {
    uint64_t hash = 0;
    for (; waiter != nullptr; waiter = waiter->next) hash = mixed(mixed(hash, waiter->tx), waiter->epoch);
    return hash;
}

uint64_t synthetic::digest(const void* address, size_t size) {
    uint64_t hash = 0;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word;
        std::memcpy(&word, static_cast<const char*>(address) + i, 8);
        hash = mixed(hash, word);
    }
    return hash;
}

uint64_t synthetic::digest(const Run& run) {
    const uint64_t counts = run.account_count | uint64_t{run.slot_count} << 16 | uint64_t{run.write_count} << 32;
    uint64_t hash = mixed(run.seen, run.verdict | counts << 8);
    for (uint32_t i = 0; i < run.account_count; ++i) {
        const AccountRead& read = run.accounts[i];
        hash = mixed(mixed(hash, read.location->hash), read.uses);
        for (uint64_t word : {read.base.balance.w[0], read.base.exists, read.base.nonce, read.base.code, read.floor.w[0]})
            hash = mixed(hash, word);
    }
    for (uint32_t i = 0; i < run.slot_count; ++i)
        hash = mixed(mixed(mixed(hash, run.slots[i].location->hash), run.slots[i].low), run.slots[i].high);
    for (uint32_t i = 0; i < run.write_count; ++i)
        hash = mixed(mixed(mixed(hash, run.writes[i].location->hash), run.writes[i].part), said(run.writes[i].value));
    return hash;
}

template <class T>
inline const T& plain(const Shared<T>* word) {
    static_assert(sizeof(Shared<T>) == sizeof(T));
    return *reinterpret_cast<const T*>(word);
}
template <class T>
inline uint64_t seen_in(const Shared<T>* word) { return static_cast<uint64_t>(plain(word)); }
inline uint64_t seen_in(const uint32_t* word) { return *word; }
template <class T>
inline uint64_t seen_in(const Shared<T*>* word) { return said(plain(word)); }
inline uint64_t seen_in(const Shared<void*>* word) { return plain(word) != nullptr; }

// The value of a version; words of transactions have the same type.
inline uint64_t seen_in(const Shared<uintptr_t>* word) {
    return Inspect::in_an_arena(word) ? said(plain(word)) : static_cast<uint64_t>(plain(word));
}

// The exhaustive search allows no switch before an access to a word that is never written: it makes no difference when
// that word is read. These words are found as the search goes; a write to a word that was taken for one makes it begin
// again.
static bool all_visible = true, begin_again;
static std::vector<const void*> written;

static bool is_visible(const void* address, bool write) {
    if (all_visible || Inspect::in_an_arena(address) || std::find(written.begin(), written.end(), address) != written.end())
        return true;
    if (write) {
        written.push_back(address);
        begin_again = true;
    }
    return write;
}

__attribute__((noinline)) static void switch_away() {
    Coroutine& self = world.coroutines[current];
    self.low = static_cast<char*>(__builtin_frame_address(0)) - kMargin;
    if (_setjmp(self.context) == 0) _longjmp(main_context, 1);
    world.coroutines[current].paused = false;
}

template <class T>
inline void stm_yield(const T* word, bool write) {
    if (current < 0 || !is_visible(word, write)) return;
    world.coroutines[current].writes = write;
    switch_away();
    Coroutine& self = world.coroutines[current];
    self.path = mixed(self.path, seen_in(word));
}

static void stm_pause() { world.coroutines[current].paused = true; }

static void begin() {
    const int self = current;
    work_on(world.block.workers[self]);
    world.coroutines[self].live = false;
    world.coroutines[self].low = stacks[self] + kStack;
    _longjmp(main_context, 1);
}

// Lets a worker run to just before its next access to shared memory.
static void step(int worker) {
    current = worker;
    if (_setjmp(main_context) == 0) _longjmp(world.coroutines[worker].context, 1);
    current = -1;
    ++steps;
}

static void start(int worker) {
    current = worker;
    world.coroutines[worker] = Coroutine{};
    world.coroutines[worker].live = true;
    getcontext(&entry);
    entry.uc_stack.ss_sp = stacks[worker];
    entry.uc_stack.ss_size = kStack;
    entry.uc_link = nullptr;
    makecontext(&entry, begin, 0);
    if (_setjmp(main_context) == 0) swapcontext(&main_entry, &entry);
    current = -1;
}

static bool anybody() {
    for (int i = 0; i < workers; ++i)
        if (world.coroutines[i].live) return true;
    return false;
}

// ---------------------------------------------------------------------------------------------------- invariants

bool Inspect::in_an_arena(const void* address) {
    for (int i = 0; i < workers; ++i)
        if (is_in(world.arenas[i], address)) return true;
    return false;
}

void Inspect::scheduler() {
    const Scheduler& s = world.scheduler;
    const TxIndex frontier = s.frontier();
    for (TxIndex tx = 1; tx < frontier; ++tx)
        if (status_of(s.word(tx)) != kCommitted) fail("a transaction behind the frontier is not final", tx);
    check_committed(world.block);
    bool all_paused = true;
    for (int i = 0; i < workers; ++i) {
        const Coroutine& c = world.coroutines[i];
        const bool inside = world.block.workers[i].inside;
        all_paused = all_paused && (!c.live || (c.paused && !inside));
        if (c.live && !c.paused && !inside) return;  // it may be about to repair what is checked below
    }
    if (world.block.stop != 0) return;
    if (all_paused && !s.finished()) fail("nobody does anything, and the block is not done", frontier);
    for (TxIndex tx = frontier; tx <= s.count_; ++tx) {
        const uint64_t word = s.word(tx);
        // A worker will still come to a transaction that never began: the worker that has its stretch, or the
        // committer.
        if (status_of(word) == kReady && incarnation_of(word) != 0 && tx < s.next_.load())
            fail("ready, but nobody will claim it", tx);
        if (status_of(word) == kBlocked && !is_awaited(tx, epoch_of(word))) fail("blocked, but nobody will wake it", tx);
    }
}

bool Inspect::is_awaited(TxIndex tx, uint32_t epoch) {
    const Scheduler& s = world.scheduler;
    for (TxIndex other = 1; other <= s.count_; ++other) {
        if (s.has_run(other)) continue;
        for (const Waiter* waiter = s.states_[other].waiters.load(); waiter != nullptr; waiter = waiter->next)
            if (waiter->tx == tx && waiter->epoch == epoch) return true;
    }
    return false;
}

void Inspect::cells() {
    const uint32_t used = static_cast<uint32_t>(world.store.used());
    for (uint32_t i = 0; i < used; ++i)
        for (const Cell& cell : world.store.locations_[i].cells)
            for (const Version* at = cell.head.load(); at != nullptr && at->next.load() != nullptr; at = at->next.load())
                if (at->next.load()->tx >= at->tx) fail("versions out of order", at->tx);
}

// ---------------------------------------------------------------------------------------------------- a block

static void open(const Spec& spec, uint64_t block_seed, bool warm) {
    open_block(world.block, spec, workers, block_seed);
    for (int a = 0; warm && a < spec.accounts; ++a) {
        find_account(world.block.workers[0], a);
        for (int s = 0; s < spec.slots; ++s) find_slot(world.block.workers[0], a, s, true);
    }
    for (int i = 0; i < workers; ++i) start(i);
    schedule.clear();
}

static void close(const Outcome& expected) {
    Inspect::cells();
    close_block(world.block, expected, workers);
}
