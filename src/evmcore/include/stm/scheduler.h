// Which transaction runs next, which one waits for which, and how far the block is final.
//
// One atomic word per transaction holds its status, its incarnation (how often it was started) and a wait epoch, so that a
// late wake-up for an earlier wait can do nothing (Block-STM's ABA). Transactions are numbered from 1 to count.
//
//   Ready --claim--> Executing --finish--> Executed --take--> Checking --commit--> Committed
//     ^                  |                                        |
//     +-----wake----- Blocked                                     +--again--> Executing, by the committer
//
// What is run ahead of time is offered in stretches of neighbours, which one worker runs one after the other: short
// transactions would spend more on finding each other's traces than on their own work. What is in no stretch is left to the
// committer, who runs it directly when it comes there: that is cheaper than running it ahead. Once all stretches are taken
// whoever has nothing to do takes the rest from its end, where the committer is not soon.
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
    TxIndex after[2];                  // hints: run behind these, 0 for none
    uint16_t vain;                     // runs that met an estimate; of whoever has it Executing
    bool brief;                        // it is over soon: worth waiting for
};

struct Stretch {
    TxIndex next, end;
};

// So often a transaction begins ahead of time, at most; then it is left to the committer. This bounds what a block can take
// in vain, whatever the system does with its threads.
constexpr uint32_t kMostTries = 3;

// Of the rest so many neighbours at most are taken at once, and only one part in so many of what is before the committer.
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

    // Makes `count` transactions ready. Nothing is offered yet. False: no memory.
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

    // Before the workers begin, in order: from `first` to just before `end`, to be run ahead of time by one worker.
    // `brief`: they take a few microseconds each.
    void offer(TxIndex first, TxIndex end, bool brief) {
        stretches_[offered_++] = {first, end};
        for (TxIndex tx = first; brief && tx < end; ++tx) states_[tx].brief = true;
    }

    void hint(TxIndex tx, int which, TxIndex after) { states_[tx].after[which] = after; }
    TxIndex hinted(TxIndex tx, int which) const { return states_[tx].after[which]; }

    TxIndex count() const { return count_; }
    TxIndex frontier() const { return frontier_.load(); }   // the lowest that is not final
    bool finished() const { return frontier() > count_; }
    uint64_t word(TxIndex tx) const { return states_[tx].word.load(); }

    // True once the transaction's writes are in the store, whether or not they last.
    bool has_run(TxIndex tx) const { return status_of(word(tx)) >= kExecuted; }

    // The next transaction to run ahead of time, now Executing for the caller; 0 when there is none. First comes the one that
    // the caller's last run woke (`handed`, 0 for none), then others that have been woken, then what is left of the worker's
    // stretch, then another stretch, at last some of the rest.
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

    // Executing -> Blocked until `blocker` has run. False: it has already (or no memory); the caller keeps `tx`.
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
        // The blocker may have run, and woken its waiters, before this one was among them.
        uint64_t seen = blocked;
        return !has_run(blocker) || !states_[tx].word.replace(seen, word_of(kExecuting, incarnation_of(word), epoch));
    }

    // After a run that met an estimate: whether there may be another one ahead of time.
    bool may_retry(TxIndex tx) { return ++states_[tx].vain < kMostTries; }

    // Executing -> Executed: the writes are in the store. Wakes those who wait, and leaves one of them to the caller, who has
    // what it waited for in its caches: what this returns, 0 for none, has to be claimed next.
    TxIndex finish(TxIndex tx) { return become(tx, kExecuted, true); }

    // ---- the committer: whoever has the office. Who makes the frontier's transaction takeable looks at the office
    // afterwards, and who leaves the office looks at the transaction there: one of them sees the other's doing.

    bool take_office() {
        bool taken = office_.load();       // whoever only looks leaves the line where it is
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

    // Takes the frontier's transaction `tx` to check it (it has run) or to run it (it is Executing now). kBusy: somebody
    // else runs or has it, or it is final, or there is none.
    Frontier take_frontier(TxIndex tx) {
        while (tx <= count_) {
            const uint64_t word = this->word(tx);
            const Status status = status_of(word);
            if (status == kExecuted) {
                // Nobody else changes an Executed word, and to others Checking is no different: no fence is needed.
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

    // Checking -> Executing: the committer runs it again, on final inputs.
    void again(TxIndex tx) {
        const uint64_t word = this->word(tx);
        states_[tx].word.store(word_of(kExecuting, incarnation_of(word) + 1, epoch_of(word) + 1));
    }

    // Final. Moves the frontier on, and wakes those who wait: only for one that ran just now, `finish` has woken the others.
    // Only whoever has the office moves the frontier; others learn from it no more than what is final.
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

    // `keeps`: one of those that are woken is left to the caller, which is returned; else 0.
    TxIndex become(TxIndex tx, Status status, bool keeps) {
        const uint64_t word = this->word(tx);
        states_[tx].word.store(word_of(status, incarnation_of(word), epoch_of(word)));
        // Who begins to wait adds itself to the waiters, then looks at the word: one of the two sees the other's doing.
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

    // A stretch of neighbours from the end of what nobody has been given. False: the committer will be there soon.
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

    // One that has been woken: others that are ready have never begun.
    TxIndex lowest_woken(TxIndex from, TxIndex end) const {
        for (; from < end; ++from) {
            const uint64_t word = this->word(from);
            if (status_of(word) == kReady && incarnation_of(word) != 0) break;
        }
        return from;
    }

    // The lowest woken transaction from `next_` on. Everybody looks for it alone and moves `next_` once it is found: a word that
    // all write at every step would take many cores longer than the transactions do.
    TxIndex claim_lowest(Arena& arena) {
        for (;;) {
            STM_KNOWS(2);
            TxIndex next = next_.load();
            if (next > count_) return 0;
            const TxIndex tx = lowest_woken(next, count_ + 1);
            STM_KNOWS(2, next, tx);
            const bool begun = tx <= count_ && begin(tx, word(tx), arena);
            // Those passed by may have been woken since they were looked at: whoever made one so either found `next_` moved
            // past it, or is seen here.
            if (tx != next && next_.replace(next, tx)) {
                const TxIndex missed = lowest_woken(next, tx);
                if (missed != tx) lower_next(missed);
            }
            if (begun) return tx;
        }
    }

    // Ready -> Executing, unless it is not ready or its hints hold it back; then it waits.
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
    // Lines of their own: some are written all the time.
    alignas(64) Shared<TxIndex> next_{1};          // no transaction below it was woken and is ready
    alignas(64) Shared<uint32_t> taken_{0};        // stretches, or more
    alignas(64) Shared<TxIndex> rest_{1};          // from here on the rest has been taken
    alignas(64) Shared<TxIndex> frontier_{1};
    alignas(64) Shared<bool> office_{false};
};

}  // namespace evmcore::stm
