// Which transaction runs next, which one waits for which, and how far the block is final.
//
// One atomic word per transaction holds its status, its incarnation (how often it was started) and a wait epoch, so that a
// late wake-up for an earlier wait can do nothing (Block-STM's ABA). Transactions are numbered from 1 to count.
//
//   Ready --claim--> Executing --finish--> Executed --take--> Checking --commit--> Committed
//     ^                  |                                        |
//     +-----wake----- Blocked                                     +--again--> Executing (by the committer), or back to Ready
#pragma once
#include <atomic>

#include "arena.h"
#include "store.h"

namespace evmcore::stm {

enum Status : uint32_t { kReady, kExecuting, kBlocked, kExecuted, kChecking, kCommitted };

struct Waiter {
    TxIndex tx;
    uint32_t epoch;
    Waiter* next;
};

struct TxState {
    std::atomic<uint64_t> word;        // status 8 bits, incarnation 24, wait epoch 32
    std::atomic<Waiter*> waiters;
    TxIndex after[2];                  // hints: run behind these, 0 for none
};

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
    ~Scheduler() { std::free(states_); }

    // Makes `count` transactions ready. False: no memory.
    bool prepare(TxIndex count) {
        if (count + 1 > capacity_) {
            std::free(states_);
            capacity_ = 0;
            states_ = static_cast<TxState*>(std::malloc((size_t{count} + 1) * sizeof(TxState)));
            if (states_ == nullptr) return false;
            capacity_ = count + 1;
        }
        count_ = count;
        for (TxIndex tx = 0; tx <= count; ++tx) {
            new (&states_[tx].word) std::atomic<uint64_t>(word_of(tx ? kReady : kCommitted, 0, 0));
            new (&states_[tx].waiters) std::atomic<Waiter*>(nullptr);
            states_[tx].after[0] = states_[tx].after[1] = 0;
        }
        next_.store(1, std::memory_order_relaxed);
        frontier_.store(1, std::memory_order_relaxed);
        committing_.store(false, std::memory_order_relaxed);
        return true;
    }

    void hint(TxIndex tx, int which, TxIndex after) { states_[tx].after[which] = after; }

    TxIndex count() const { return count_; }
    TxIndex frontier() const { return frontier_.load(std::memory_order_acquire); }   // the lowest that is not final
    bool finished() const { return frontier() > count_; }
    uint64_t word(TxIndex tx) const { return states_[tx].word.load(std::memory_order_acquire); }

    // True once the transaction's writes are in the store, whether or not they last.
    bool has_run(TxIndex tx) const { return status_of(word(tx)) >= kExecuted; }

    // The lowest ready transaction whose hints do not hold it back, now Executing for the caller; 0 when there is none.
    TxIndex claim(Arena& arena) {
        for (;;) {
            TxIndex tx = next_.load(std::memory_order_acquire);
            if (tx > count_) return 0;
            uint64_t word = this->word(tx);
            if (status_of(word) == kReady && start(tx, word)) {
                TxIndex first = states_[tx].after[0], second = states_[tx].after[1];
                if (first != 0 && !has_run(first) && wait_for(tx, first, arena)) continue;
                if (second != 0 && !has_run(second) && wait_for(tx, second, arena)) continue;
                return tx;
            }
            next_.compare_exchange_strong(tx, tx + 1, std::memory_order_acq_rel);
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
        states_[tx].word.store(word_of(kBlocked, incarnation_of(word), epoch), std::memory_order_release);
        Waiter* head = states_[blocker].waiters.load(std::memory_order_acquire);
        do {
            waiter->next = head;
        } while (!states_[blocker].waiters.compare_exchange_weak(head, waiter, std::memory_order_seq_cst,
                                                                 std::memory_order_acquire));
        std::atomic_thread_fence(std::memory_order_seq_cst);
        // The blocker may have finished, and woken its waiters, before this one was among them.
        if (has_run(blocker)) {
            uint64_t blocked = word_of(kBlocked, incarnation_of(word), epoch);
            return !states_[tx].word.compare_exchange_strong(blocked, word_of(kExecuting, incarnation_of(word), epoch),
                                                             std::memory_order_acq_rel);
        }
        return true;
    }

    // Executing -> Executed: the writes are in the store. Wakes those who wait.
    void finish(TxIndex tx) { become(tx, kExecuted); }

    // Executed -> Checking, for a validation before the frontier. False: somebody else has it.
    bool check(TxIndex tx) {
        uint64_t word = this->word(tx);
        return status_of(word) == kExecuted &&
               states_[tx].word.compare_exchange_strong(word, word_of(kChecking, incarnation_of(word), epoch_of(word)),
                                                        std::memory_order_acq_rel);
    }

    // Checking -> Executed (it stands), or -> Ready (it must run again).
    void checked(TxIndex tx, bool stands) {
        const uint64_t word = this->word(tx);
        states_[tx].word.store(word_of(stands ? kExecuted : kReady, incarnation_of(word), epoch_of(word)),
                               std::memory_order_release);
        if (!stands) lower_next(tx);
    }

    // ---- the committer: one thread at a time

    bool try_commit() { return !committing_.load(std::memory_order_relaxed) && !committing_.exchange(true, std::memory_order_acquire); }
    void leave_commit() { committing_.store(false, std::memory_order_release); }

    // True when the frontier's transaction needs a committer: it has run, or nobody is running it.
    bool frontier_waits() const {
        const TxIndex tx = frontier();
        if (tx > count_) return false;
        const Status status = status_of(word(tx));
        return status == kExecuted || status == kReady || status == kBlocked;
    }

    enum Frontier { kBusy, kToCheck, kToRun };

    // The frontier's transaction for the committer: to check (it has run) or to run (it is Executing now); kBusy: not yet.
    Frontier take_frontier(TxIndex tx) {
        for (;;) {
            uint64_t word = this->word(tx);
            const Status status = status_of(word);
            if (status == kExecuted) {
                if (check(tx)) return kToCheck;
            } else if (status == kReady || status == kBlocked) {
                if (start(tx, word)) return kToRun;
            } else {
                return kBusy;
            }
        }
    }

    // Checking -> Executing: the committer runs it again, on final inputs.
    void again(TxIndex tx) {
        const uint64_t word = this->word(tx);
        states_[tx].word.store(word_of(kExecuting, incarnation_of(word) + 1, epoch_of(word) + 1), std::memory_order_release);
    }

    // Final. Wakes those who wait and moves the frontier on.
    void commit(TxIndex tx) {
        become(tx, kCommitted);
        frontier_.store(tx + 1, std::memory_order_release);
    }

private:
    void become(TxIndex tx, Status status) {
        const uint64_t word = this->word(tx);
        states_[tx].word.store(word_of(status, incarnation_of(word), epoch_of(word)), std::memory_order_seq_cst);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        Waiter* waiter = states_[tx].waiters.exchange(nullptr, std::memory_order_seq_cst);
        for (; waiter != nullptr; waiter = waiter->next) {
            uint64_t seen = this->word(waiter->tx);
            if (status_of(seen) == kBlocked && epoch_of(seen) == waiter->epoch &&
                states_[waiter->tx].word.compare_exchange_strong(seen, word_of(kReady, incarnation_of(seen), waiter->epoch),
                                                                 std::memory_order_acq_rel)) {
                lower_next(waiter->tx);
            }
        }
    }

    // Ready or Blocked -> Executing, with a new incarnation and epoch.
    bool start(TxIndex tx, uint64_t word) {
        return states_[tx].word.compare_exchange_strong(
            word, word_of(kExecuting, incarnation_of(word) + 1, epoch_of(word) + 1), std::memory_order_acq_rel);
    }

    void lower_next(TxIndex tx) {
        TxIndex next = next_.load(std::memory_order_acquire);
        while (tx < next && !next_.compare_exchange_weak(next, tx, std::memory_order_acq_rel)) {
        }
    }

    TxState* states_ = nullptr;
    TxIndex count_ = 0, capacity_ = 0;
    std::atomic<TxIndex> next_{1};         // no transaction below it is ready
    std::atomic<TxIndex> frontier_{1};
    std::atomic<bool> committing_{false};
};

}  // namespace evmcore::stm
