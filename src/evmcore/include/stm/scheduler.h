// Which transaction runs next, which transaction waits for which, and how far the block is final.
//
// One atomic word per transaction holds its status, its incarnation (how often it was started) and a wait epoch. The
// epoch makes a late wake-up for an earlier wait harmless (Block-STM's ABA problem). Transactions are numbered from 1
// to count.
//
//   Ready --claim--> Executing --finish--> Executed --take--> Checking --commit--> Committed
//     ^                  |                                        |
//     +-----wake----- Blocked                                     +--again--> Executing, by the committer
//
// Transactions are offered for execution ahead of time in stretches of neighbours. One worker runs a stretch in order:
// short transactions on different workers would spend more time on each other's cache lines than on their own work. A
// transaction in no stretch is left to the committer, who runs it directly at the frontier; that is cheaper than
// running it ahead. Once all stretches are taken, idle workers take neighbours from the end of the block, where the
// committer does not come soon.
#pragma once
#include "arena.h"
#include "shared.h"
#include "store.h"
#include <algorithm>
#include <utility>

namespace evmcore::stm {

enum Status : uint32_t { kReady, kExecuting, kBlocked, kExecuted, kChecking, kCommitted };

struct Waiter {
    TxIndex tx;
    uint32_t epoch;
    Waiter* next;
};

struct TxState {
    Shared<uint64_t> word;             // status 8 bits, incarnation 24, wait epoch 32
    Shared<Waiter*> waiters;
    TxIndex after[2];                  // hints: run behind these transactions; 0: none
    uint16_t vain;                     // runs that met an estimate; written by the worker that executes the transaction
    bool brief;                        // it takes a few microseconds: spinning for its end pays
};

struct Stretch {
    TxIndex next, end;
};

// A transaction begins ahead of time at most this often; then it is left to the committer. This bounds the work that a
// block can waste, whatever the system does with its threads.
constexpr uint32_t kMostTries = 3;

// When a worker takes from the rest: at most this many neighbours at once, and at most one part in kPartOfRest of those
// between the frontier and the rest's end.
constexpr TxIndex kMostOfRest = 16, kPartOfRest = 4;

inline Status status_of(uint64_t word) { return static_cast<Status>(word & 0xff); }
inline uint32_t incarnation_of(uint64_t word) { return static_cast<uint32_t>(word >> 8) & 0xffffff; }
inline uint32_t epoch_of(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
inline uint64_t word_of(Status status, uint32_t incarnation, uint32_t epoch) {
    return uint64_t{epoch} << 32 | uint64_t{incarnation & 0xffffff} << 8 | status;
}

class Scheduler {
public:
    Scheduler() = default;
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;
    ~Scheduler() {
        std::free(states_);
        std::free(stretches_);
    }

    // Resets the scheduler for `count` transactions, none of them offered. False: no memory.
    bool prepare(TxIndex count) {
        if (count + 1 > capacity_) {
            std::free(states_);
            std::free(stretches_);
            capacity_ = 0;
            states_ = static_cast<TxState*>(std::malloc((size_t{count} + 1) * sizeof(TxState)));
            stretches_ = static_cast<Stretch*>(std::malloc((size_t{count} + 1) * sizeof(Stretch)));
            if (states_ == nullptr || stretches_ == nullptr) return false;
            capacity_ = count + 1;
        }
        count_ = count;
        offered_ = 0;
        for (TxIndex tx = 0; tx <= count; ++tx) {
            new (&states_[tx].word) Shared<uint64_t>(word_of(tx ? kReady : kCommitted, 0, 0));
            new (&states_[tx].waiters) Shared<Waiter*>(nullptr);
            states_[tx].after[0] = states_[tx].after[1] = 0;
            states_[tx].vain = 0;
            states_[tx].brief = false;
        }
        next_.store(count + 1);
        taken_.store(0);
        rest_.store(count + 1);
        frontier_.store(1);
        office_.store(false);
        return true;
    }

    // Offers the transactions from `first` to before `end` as one stretch, to be run ahead of time by one worker.
    // Called in order, before the workers begin. `brief`: each takes a few microseconds.
    void offer(TxIndex first, TxIndex end, bool brief) {
        stretches_[offered_++] = {first, end};
        for (TxIndex tx = first; brief && tx < end; ++tx) states_[tx].brief = true;
    }

    void hint(TxIndex tx, int which, TxIndex after) { states_[tx].after[which] = after; }
    TxIndex hinted(TxIndex tx, int which) const { return states_[tx].after[which]; }

    TxIndex count() const { return count_; }
    TxIndex frontier() const { return frontier_.load(); }   // the lowest transaction that is not final
    bool finished() const { return frontier() > count_; }
    uint64_t word(TxIndex tx) const { return states_[tx].word.load(); }

    // True once the transaction's writes are in the store, even if validation may still reject them.
    bool has_run(TxIndex tx) const { return status_of(word(tx)) >= kExecuted; }

    // The next transaction to run ahead of time, now Executing for the caller; 0: none. In this order: the transaction
    // that the caller's last run woke (`handed`, 0: none), other woken transactions, the rest of the worker's stretch,
    // another stretch, and last neighbours from the end of the block (`take_rest`).
    TxIndex claim(TxIndex handed, Stretch& mine, Arena& arena) {
        if (handed != 0 && begin(handed, word(handed), arena)) return handed;
        for (;;) {
            STM_KNOWS(1, mine.next, mine.end);
            const TxIndex woken = claim_lowest(arena);
            STM_KNOWS(1, mine.next, mine.end, woken);
            if (woken != 0) return woken;
            while (mine.next < mine.end) {
                const TxIndex tx = mine.next++;
                if (begin(tx, word(tx), arena)) return tx;
            }
            if (taken_.load() < offered_) {
                const uint32_t taken = taken_.fetch_add(1);
                if (taken < offered_) mine = stretches_[taken];
            } else if (!take_rest(mine)) {
                return 0;
            }
        }
    }

    // Executing -> Blocked until `blocker` has run. False: it has run already (or no memory); the caller still executes
    // `tx`.
    bool wait_for(TxIndex tx, TxIndex blocker, Arena& arena) {
        Waiter* waiter = static_cast<Waiter*>(arena.take(sizeof(Waiter)));
        if (waiter == nullptr) return false;
        const uint64_t word = this->word(tx);
        const uint32_t epoch = epoch_of(word) + 1;
        waiter->tx = tx;
        waiter->epoch = epoch;
        const uint64_t blocked = word_of(kBlocked, incarnation_of(word), epoch);
        states_[tx].word.store(blocked);
        Shared<Waiter*>& waiters = states_[blocker].waiters;
        waiter->next = waiters.load();
        while (!waiters.replace(waiter->next, waiter)) {
        }
        // The blocker may have run and woken its waiters before this waiter was linked.
        uint64_t seen = blocked;
        return !has_run(blocker) || !states_[tx].word.replace(seen, word_of(kExecuting, incarnation_of(word), epoch));
    }

    // After a run that met an estimate: whether the transaction may run ahead of time once more.
    bool may_retry(TxIndex tx) { return ++states_[tx].vain < kMostTries; }

    // Executing -> Executed: the writes are in the store. Wakes the waiters, but leaves one of them to the caller,
    // whose caches hold what it waited for. Returns that transaction, which the caller must claim next; 0: none.
    TxIndex finish(TxIndex tx) { return become(tx, kExecuted, true); }

    // ---- the committer: the worker that holds the office. A worker that makes the frontier's transaction takeable
    // checks the office afterwards; a worker that leaves the office checks the frontier's transaction afterwards. So
    // one of the two sees what the other did.

    bool take_office() {
        bool taken = office_.load();       // only looking leaves the cache line where it is
        return !taken && office_.replace(taken, true);
    }
    void leave_office() { office_.store(false); }

    // Whether `take_frontier` would find something to do.
    bool needs_committer() const {
        const TxIndex tx = frontier();
        if (tx > count_) return false;
        const Status status = status_of(word(tx));
        return status == kReady || status == kBlocked || status == kExecuted;
    }

    bool is_brief(TxIndex tx) const { return states_[tx].brief; }

    enum Frontier { kBusy, kToCheck, kToRun };

    // Takes the frontier's transaction `tx` to validate it (it has run) or to run it (it is now Executing). kBusy:
    // another worker has it, or it is final, or there is none.
    Frontier take_frontier(TxIndex tx) {
        while (tx <= count_) {
            const uint64_t word = this->word(tx);
            const Status status = status_of(word);
            if (status == kExecuted) {
                // No other thread changes an Executed word, and others do not distinguish Checking from it: no fence is
                // needed.
                states_[tx].word.store(word_of(kChecking, incarnation_of(word), epoch_of(word)), std::memory_order_release);
                return kToCheck;
            } else if (status == kReady || status == kBlocked) {
                if (start(tx, word)) return kToRun;
            } else {
                break;
            }
        }
        return kBusy;
    }

    // Checking -> Executing: the committer re-executes the transaction on final inputs.
    void again(TxIndex tx) {
        const uint64_t word = this->word(tx);
        states_[tx].word.store(word_of(kExecuting, incarnation_of(word) + 1, epoch_of(word) + 1));
    }

    // Makes the transaction final and moves the frontier on. Wakes waiters only if the transaction ran just now: after
    // a run ahead, `finish` has woken them. Only the holder of the office moves the frontier; other workers take from
    // it only what is final.
    void commit(TxIndex tx) {
        const uint64_t word = this->word(tx);
        if (status_of(word) == kChecking) {
            states_[tx].word.store(word_of(kCommitted, incarnation_of(word), epoch_of(word)), std::memory_order_release);
        } else {
            become(tx, kCommitted, false);
        }
        frontier_.store(tx + 1, std::memory_order_release);
    }

private:
    friend struct Inspect;             // tests/native

    // `keeps`: one of the woken transactions is left to the caller and returned; else the result is 0.
    TxIndex become(TxIndex tx, Status status, bool keeps) {
        const uint64_t word = this->word(tx);
        states_[tx].word.store(word_of(status, incarnation_of(word), epoch_of(word)));
        // A waiter links itself first and then looks at the word; so one of the two threads sees what the other did.
        if (states_[tx].waiters.load() == nullptr) return 0;
        TxIndex kept = 0;
        Waiter* waiter = states_[tx].waiters.exchange(nullptr);
        for (; waiter != nullptr; waiter = waiter->next) {
            uint64_t seen = this->word(waiter->tx);
            if (status_of(seen) != kBlocked || epoch_of(seen) != waiter->epoch ||
                !states_[waiter->tx].word.replace(seen, word_of(kReady, incarnation_of(seen), waiter->epoch)))
                continue;
            TxIndex woken = waiter->tx;
            if (keeps && (kept == 0 || woken < kept)) std::swap(woken, kept);
            if (woken != 0) lower_next(woken);
        }
        return kept;
    }

    // Takes neighbours from the end of the block, before those taken so earlier. Transactions among them that have begun
    // are skipped by `claim`. False: the committer will be there soon.
    bool take_rest(Stretch& mine) {
        TxIndex end = rest_.load();
        for (;;) {
            const TxIndex from = frontier();
            const TxIndex size = end > from ? std::min((end - from) / kPartOfRest, kMostOfRest) : 0;
            STM_KNOWS(2, end, size);
            if (size == 0) return false;
            if (!rest_.replace(end, end - size)) continue;
            mine = {end - size, end};
            return true;
        }
    }

    // The lowest woken transaction. A Ready transaction that was never started was not woken.
    TxIndex lowest_woken(TxIndex from, TxIndex end) const {
        for (; from < end; ++from) {
            const uint64_t word = this->word(from);
            if (status_of(word) == kReady && incarnation_of(word) != 0) break;
        }
        return from;
    }

    // Claims the lowest woken transaction from `next_` on. Each worker searches alone and moves `next_` once, after the
    // search: a word that all workers write at every step would cost many cores more time than the transactions do.
    TxIndex claim_lowest(Arena& arena) {
        for (;;) {
            STM_KNOWS(2);
            TxIndex next = next_.load();
            if (next > count_) return 0;
            const TxIndex tx = lowest_woken(next, count_ + 1);
            STM_KNOWS(2, next, tx);
            const bool begun = tx <= count_ && begin(tx, word(tx), arena);
            // A transaction that the search passed may have been woken since. The waking thread either saw `next_`
            // moved past it, and lowered it, or the wake-up is seen here.
            if (tx != next && next_.replace(next, tx)) {
                const TxIndex missed = lowest_woken(next, tx);
                if (missed != tx) lower_next(missed);
            }
            if (begun) return tx;
        }
    }

    // Ready -> Executing. False: the transaction is not ready, or a hint holds it back and it now waits.
    bool begin(TxIndex tx, uint64_t word, Arena& arena) {
        if (status_of(word) != kReady || !start(tx, word)) return false;
        const TxIndex first = states_[tx].after[0], second = states_[tx].after[1];
        if (first != 0 && !has_run(first) && wait_for(tx, first, arena)) return false;
        if (second != 0 && !has_run(second) && wait_for(tx, second, arena)) return false;
        return true;
    }

    // Ready or Blocked -> Executing, with a new incarnation and epoch.
    bool start(TxIndex tx, uint64_t word) {
        return states_[tx].word.replace(word, word_of(kExecuting, incarnation_of(word) + 1, epoch_of(word) + 1));
    }

    void lower_next(TxIndex tx) {
        TxIndex next = next_.load();
        while (tx < next && !next_.replace(next, tx)) {
        }
    }

    TxState* states_ = nullptr;
    Stretch* stretches_ = nullptr;
    TxIndex count_ = 0, capacity_ = 0;
    uint32_t offered_ = 0;                 // stretches
    // On cache lines of their own: some of them are written all the time.
    alignas(64) Shared<TxIndex> next_{1};          // below it no transaction is Ready after a wake-up
    alignas(64) Shared<uint32_t> taken_{0};        // stretches taken; may exceed `offered_`
    alignas(64) Shared<TxIndex> rest_{1};          // from here on the rest has been taken
    alignas(64) Shared<TxIndex> frontier_{1};
    alignas(64) Shared<bool> office_{false};
};

}  // namespace evmcore::stm
