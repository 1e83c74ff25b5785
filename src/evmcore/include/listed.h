// How the transactions of a block with a given access list are handed out to workers and become final in order.
//
// The caller supplies two functions that run a transaction and make it final. The executor (_listed_run.pyx) and the
// driver in tests/native share everything else.
#pragma once
#include <cstdint>

#include "stm/delays.h"
#include "stm/watch.h"

namespace evmcore::listed {

enum Verdict : uint32_t {
    kNotRun = 0,
    kStands,
    kDoubtful,           // differs from the list, or does more than the list can tell
    kNotFinished,        // the engine stopped
};

// Transactions are numbered from 1.
struct Turns {
    uint32_t count;
    uint32_t* verdict_of;        // by transaction, from 1; of Verdict, written when its run has ended
    uint32_t* halted;            // raised: nothing more becomes final, and no further transaction begins
    uint32_t next;               // transactions handed out
    uint32_t stop;               // transactions after this one need not run
    uint32_t frontier;           // the last final transaction; written only by the holder of the office
    uint32_t committing;         // a worker holds the office of making transactions final
};

struct Tasks {
    void* self;                                          // the worker
    stm::Delays delays;                                  // for tests
    uint32_t (*run)(void* self, uint32_t tx);            // returns the Verdict
    // Brings a transaction into the block. All earlier transactions are final, and no other worker commits. False: the
    // frontier stays before it.
    bool (*commit)(void* self, uint32_t tx);
    stm::Watch watch = {};                               // what the worker did and for how long
};

inline void open_turns(Turns& turns, uint32_t count, uint32_t* verdict_of, uint32_t* halted) {
    turns = Turns{count, verdict_of, halted, 0, UINT32_MAX, 0, 0};
}

inline uint32_t load(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
inline void store(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }

// Lowers `stop` to a transaction that does not stand.
inline void stop_after(Turns& turns, uint32_t tx) {
    uint32_t current = load(&turns.stop);
    while (tx < current &&
           !__atomic_compare_exchange_n(&turns.stop, &current, tx, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

// Makes final what can be made final. No worker waits for the office: after giving it up, its holder checks whether
// another run has ended meanwhile. So every run that ends is seen by the holder or finds the office free. (This rests
// on four accesses, to a verdict and to the office from both sides; they are sequentially consistent.)
inline void advance(Turns& turns, Tasks& tasks) {
    bool more = true;
    while (more && !load(turns.halted)) {
        stm::delay_point(tasks.delays);
        if (__atomic_exchange_n(&turns.committing, 1, __ATOMIC_SEQ_CST)) return;
        uint32_t tx = turns.frontier + 1;
        tasks.watch.turn_to(stm::kCommitting);
        for (; tx <= turns.count && load(&turns.verdict_of[tx]) != kNotRun; ++tx) {
            if (load(turns.halted)) break;
            if (!tasks.commit(tasks.self, tx)) {
                store(turns.halted, 1);
                break;
            }
            turns.frontier = tx;
            stm::delay_point(tasks.delays);
        }
        store(&turns.committing, 0);
        stm::delay_point(tasks.delays);
        more = tx <= turns.count && load(&turns.verdict_of[tx]) != kNotRun;
    }
}

// A worker's share: runs transactions, each by itself, until all are handed out or the frontier cannot go on.
inline void work(Turns& turns, Tasks& tasks) {
    tasks.watch.start();
    while (!load(turns.halted)) {
        stm::delay_point(tasks.delays);
        const uint32_t tx = __atomic_add_fetch(&turns.next, 1, __ATOMIC_RELAXED);
        if (tx > turns.count || tx > load(&turns.stop)) break;
        tasks.watch.turn_to(stm::kRunning);
        const uint32_t verdict = tasks.run(tasks.self, tx);
        if (verdict != kStands) stop_after(turns, tx);
        stm::delay_point(tasks.delays);
        store(&turns.verdict_of[tx], verdict);
        advance(turns, tasks);
    }
    tasks.watch.finish();
}

// ---- a value from before the block: the first worker that has it keeps it for all

enum Once : int32_t { kNobodyHas = 0, kBeingKept, kKept };

inline bool is_kept(const int32_t* once) { return __atomic_load_n(once, __ATOMIC_ACQUIRE) == kKept; }

// True: the caller must write the value and then call `keep`.
inline bool may_keep(int32_t* once) {
    int32_t nobody = kNobodyHas;
    return __atomic_compare_exchange_n(once, &nobody, kBeingKept, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

inline void keep(int32_t* once) { __atomic_store_n(once, kKept, __ATOMIC_RELEASE); }

}  // namespace evmcore::listed
