// How the transactions of a block with a given access list are handed out to workers, and become final in order.
//
// How one is run and what becoming final means is the caller's, as two functions; the executor (_listed_run.pyx) and the
// driver in tests/native share all the rest.
#pragma once
#include <cstdint>

#include "stm/delays.h"
#include "stm/watch.h"

namespace evmcore::listed {

enum Verdict : uint32_t {
    kNotRun = 0,
    kStands,
    kDoubtful,           // not as the list says, or more than the list can tell
    kNotFinished,        // the engine stopped
};

// Transactions are numbered from 1.
struct Turns {
    uint32_t count;
    uint32_t* verdict_of;        // by transaction, from 1; of Verdict, written when its run is over
    uint32_t* halted;            // raised: nothing more becomes final, and nothing more is begun
    uint32_t next;               // handed out
    uint32_t stop;               // none after this one need be run
    uint32_t frontier;           // final; changed by who holds the office below
    uint32_t committing;         // somebody holds the office of making final
};

struct Tasks {
    void* self;                                          // the worker
    stm::Delays delays;                                  // for tests
    uint32_t (*run)(void* self, uint32_t tx);            // gives the Verdict
    // Takes a transaction into the block; all before it is final, nobody else commits. False: the frontier stays before it.
    bool (*commit)(void* self, uint32_t tx);
    stm::Watch watch = {};                               // what it did and how long
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

// Makes final what can be. Nobody waits for the office: who holds it looks, after giving it up, whether another run has
// ended meanwhile; so every run that ends is seen by the holder or finds the office free. (The four accesses that this
// rests on, to a verdict and to the office from both sides, are sequentially consistent.)
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

// A worker's share: runs transactions, each by itself, until all are handed out or the frontier will not go on.
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

// ---- a value from before the block, which whoever has it first keeps for all

enum Once : int32_t { kNobodyHas = 0, kBeingKept, kKept };

inline bool is_kept(const int32_t* once) { return __atomic_load_n(once, __ATOMIC_ACQUIRE) == kKept; }

// True: the caller writes it, and then says `keep`.
inline bool may_keep(int32_t* once) {
    int32_t nobody = kNobodyHas;
    return __atomic_compare_exchange_n(once, &nobody, kBeingKept, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

inline void keep(int32_t* once) { __atomic_store_n(once, kKept, __ATOMIC_RELEASE); }

}  // namespace evmcore::listed
