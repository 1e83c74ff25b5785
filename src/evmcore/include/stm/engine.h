// What every worker does during a block: execute transactions ahead of time, and make final what can become final.
//
// The caller supplies four functions that say how a transaction is executed and when a run is valid. The executor
// (stm.pyx) and the drivers in tests/native share everything else.
#pragma once
#include "scheduler.h"
#include "watch.h"

namespace evmcore::stm {

struct Tasks {
    void* self;                                             // the worker
    // Executes the transaction and publishes its writes. 0: done; else the transaction whose estimate it met, and
    // nothing is published. `final`: all earlier transactions are final, there are no estimates, and the limits of the
    // block apply.
    TxIndex (*run)(void* self, TxIndex tx, bool final);
    // Validates the latest run: whether its whole read set holds, now that all earlier transactions are final.
    bool (*stands)(void* self, TxIndex tx);
    // Brings the latest run into the block; all earlier transactions are final. False: the block ends here.
    bool (*conclude)(void* self, TxIndex tx);
    // The transaction has not run: its latest run, if any, must fail validation.
    void (*pass)(void* self, TxIndex tx);
};

// Why the frontier's transaction failed validation.
enum Cause : uint32_t {
    kStands, kNonceChanged, kBalanceChanged, kBalanceTooLow, kCodeChanged, kExistenceChanged, kSlotChanged, kSlotOutOfBounds,
    kBlockGasGone, kEndedInvalid, kEngineFailed, kCauses
};

// What a worker did in a block. The engine counts what concerns the scheduler; the caller counts the rest.
struct Tally {
    uint64_t runs;                     // executions begun
    uint64_t reruns;                   // of these, re-executions by the committer after a failed validation
    uint64_t waits;                    // runs that met an unfinished transaction: at most kMostTries for each transaction
    uint64_t validations;              // at the frontier
    uint64_t aborts[kCauses];          // failed validations, by cause
    uint64_t settled;                  // deltas that became values
    uint32_t cause;                    // of the latest validation; of Cause
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

// How often the committer polls for a brief transaction to end before it does something else: some microseconds. If it
// turned away sooner, the data it works on would begin to move to another core.
#ifdef STM_PAUSE
constexpr unsigned kPatience = 0;
#else
constexpr unsigned kPatience = 100;
#endif

// The work of the office: makes the frontier's transactions final while each has run or is run by no other worker.
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
        // Between two runs of its own the committer does next to nothing, less than reading the clock takes: that
        // counts as running.
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

// Before the other workers begin: runs the frontier's transaction and makes it final.
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

// Runs a claimed transaction ahead of time. When it meets an estimate, it waits for the transaction that left it; if
// that transaction has run meanwhile, it starts again at once. After too many attempts it is left to the committer.
// Returns a transaction that this run woke, which must be claimed next, or 0.
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

// Works until the block is final or `stop` is raised, which other threads may do to end it early.
inline void work(Scheduler& scheduler, const Tasks& tasks, Arena& arena, uint32_t* stop, Tally& tally, Delays& delays) {
    unsigned idle = 0;
    Stretch mine{0, 0};
    bool has_run = false;              // since the last `advance`, perhaps the frontier's transaction
    TxIndex handed = 0;                // the transaction that this run woke
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
