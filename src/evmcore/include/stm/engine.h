// What every worker does during a block: run transactions ahead of time, and make final what has become so.
//
// How a transaction is run and what makes a run right is the caller's, as four functions; the executor (stm.pyx) and the
// drivers in tests/native share all the rest.
#pragma once
#include "scheduler.h"
#include "watch.h"

namespace evmcore::stm {

struct Tasks {
    void* self;                                             // the worker
    // Runs it and publishes its writes. 0: done; else the transaction whose estimate it met, and nothing is published.
    // `final`: all before it is final, there are no estimates, and limits of the block count.
    TxIndex (*run)(void* self, TxIndex tx, bool final);
    // Whether all that its latest run learnt is so, now that all before it is final.
    bool (*stands)(void* self, TxIndex tx);
    // Brings its latest run into the block; all before it is final. False: the block ends here.
    bool (*conclude)(void* self, TxIndex tx);
    // It has not run: its latest run, if any, must not stand.
    void (*pass)(void* self, TxIndex tx);
};

// Why the frontier's transaction did not stand.
enum Cause : uint32_t {
    kStands, kNonceChanged, kBalanceChanged, kBalanceTooLow, kCodeChanged, kExistenceChanged, kSlotChanged, kSlotOutOfBounds,
    kBlockGasGone, kEndedInvalid, kEngineFailed, kCauses
};

// What a worker did in a block. The engine counts what concerns the scheduler, the caller the rest.
struct Tally {
    uint64_t runs;                     // of transactions, begun
    uint64_t reruns;                   // of those, by the committer because the run before did not stand
    uint64_t waits;                    // runs that met an unfinished transaction: at most kMostTries for each transaction
    uint64_t validations;              // at the frontier
    uint64_t aborts[kCauses];          // of those, by what they found
    uint64_t settled;                  // deltas that became values
    uint32_t cause;                    // what the latest check found; of Cause
    Watch watch;
};

inline bool is_raised(const uint32_t* flag) {
    STM_YIELD(flag, false);
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0;
}

inline void raise(uint32_t* flag) {
    STM_YIELD(flag, true);
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

// How often the committer looks for a brief transaction to end before it turns to something else: some microseconds, in which
// what it works on would begin to move to another core.
#ifdef STM_PAUSE
constexpr unsigned kPatience = 0;
#else
constexpr unsigned kPatience = 100;
#endif

// What whoever has the office does: makes the frontier's transaction final as long as it has run, or nobody runs it.
inline void commit_ready(Scheduler& scheduler, const Tasks& tasks, uint32_t* stop, Tally& tally) {
    unsigned waited = 0;
    while (!is_raised(stop)) {
        STM_KNOWS(1);
        const TxIndex tx = scheduler.frontier();
        const Scheduler::Frontier frontier = scheduler.take_frontier(tx);
        if (frontier == Scheduler::kBusy) {
            if (waited == kPatience || tx > scheduler.count() || !scheduler.is_brief(tx)) return;
            ++waited;
            relax();
            continue;
        }
        waited = 0;
        // Between two runs of its own the committer does next to nothing, less than to look at the clock: it counts as running.
        if (frontier == Scheduler::kToCheck || tally.watch.doing == kWaiting) tally.watch.turn_to(kCommitting);
        tally.watch.begin();
        tally.validations += frontier == Scheduler::kToCheck;
        STM_KNOWS(1, tx, frontier);
        if (frontier == Scheduler::kToRun || !tasks.stands(tasks.self, tx)) {
            if (frontier == Scheduler::kToCheck) {
                scheduler.again(tx);
                ++tally.reruns;
                tally.watch.end(kRefused, tx, tally.cause);
            }
            ++tally.runs;
            tally.watch.turn_to(kRunning);
            tasks.run(tasks.self, tx, true);
            tally.watch.end(frontier == Scheduler::kToCheck ? kRanAgain : kRanAtFrontier, tx);
        }
        if (!tasks.conclude(tasks.self, tx)) {
            raise(stop);
            return;
        }
        STM_KNOWS(1, tx);
        tally.watch.end(kMadeFinal, tx);
        scheduler.commit(tx);
    }
}

// Before the others begin: runs the frontier's transaction and makes it final.
inline void commit_alone(Scheduler& scheduler, const Tasks& tasks, uint32_t* stop, Tally& tally) {
    const TxIndex tx = scheduler.frontier();
    scheduler.take_frontier(tx);
    ++tally.runs;
    tally.watch.turn_to(kRunning);
    tally.watch.begin();
    tasks.run(tasks.self, tx, true);
    tally.watch.end(kRanAtFrontier, tx);
    if (!tasks.conclude(tasks.self, tx)) {
        raise(stop);
        return;
    }
    tally.watch.end(kMadeFinal, tx);
    scheduler.commit(tx);
}

inline void advance(Scheduler& scheduler, const Tasks& tasks, uint32_t* stop, Tally& tally) {
    do {
        if (!scheduler.take_office()) return;
        commit_ready(scheduler, tasks, stop, tally);
        scheduler.leave_office();
        STM_KNOWS(1);
    } while (scheduler.needs_committer() && !is_raised(stop));
}

// Runs a claimed transaction ahead of time. When it meets an estimate it waits, unless the run that it would wait for has
// just ended; then it starts again at once. A transaction that does not get through is left to the committer. Returns one that
// it woke, to be claimed next, or 0.
inline TxIndex speculate(Scheduler& scheduler, const Tasks& tasks, Arena& arena, TxIndex tx, Tally& tally) {
    tally.watch.turn_to(kRunning);
    tally.watch.begin();
    for (;;) {
        ++tally.runs;
        const TxIndex blocker = tasks.run(tasks.self, tx, false);
        STM_KNOWS(1, tx, blocker);
        tally.watch.end(blocker == 0 ? kRanAhead : kRanInVain, tx, blocker);
        if (blocker == 0) break;
        ++tally.waits;
        if (!scheduler.may_retry(tx)) {
            tasks.pass(tasks.self, tx);
            break;
        }
        if (scheduler.wait_for(tx, blocker, arena)) return 0;
    }
    return scheduler.finish(tx);
}

// Until the block is final, or `stop` is raised: also by others, to end it early.
inline void work(Scheduler& scheduler, const Tasks& tasks, Arena& arena, uint32_t* stop, Tally& tally, Delays& delays) {
    unsigned idle = 0;
    Stretch mine{0, 0};
    bool has_run = false;              // something that may be the frontier's
    TxIndex handed = 0;                // what that woke
    if (tally.watch.since == 0) tally.watch.start();
    while (!is_raised(stop)) {
        if (handed == 0 && mine.next == mine.end) {
            if (scheduler.finished()) break;
            advance(scheduler, tasks, stop, tally);
            has_run = false;
        }
        const TxIndex tx = scheduler.claim(handed, mine, arena);
        handed = 0;
        STM_KNOWS(0, mine.next, mine.end, tx, has_run);
        if (tx != 0) {
            idle = 0;
            has_run = true;
            handed = speculate(scheduler, tasks, arena, tx, tally);
        } else if (!has_run) {
            tally.watch.turn_to(kWaiting);
            idle = pause(delays, idle);
        }
        STM_KNOWS(0, mine.next, mine.end, has_run, handed);
    }
    tally.watch.finish();
}

}  // namespace evmcore::stm
