// A block in bins, run by several threads: which thread runs which transactions, and what all threads do together
// afterwards.
//
// The first thread runs the block's transactions in order until another thread has dealt out the later ones. Then each
// thread takes a bin and runs its transactions in block order, and between them portions that were dealt to no bin.
// When all bins have ended, all threads look up the meetings between bins. The first thread decides up to which
// transaction the results count. Then one thread joins the state while the first one brings in everything else.
//
// The caller supplies, as functions, what a transaction, a meeting and the state are: the executor (_bins.pyx), or the
// driver in tests/native.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "engine.h"

namespace evmcore::stm {

// Neighbouring transactions that were dealt to no bin: `loose[first]` to before `loose[end]`.
struct Portion {
    uint32_t first, end;
    uint64_t worth;
    uint32_t state;                    // number of bins that have passed it, or kTaken
};

// The result of dealing out; the arrays are the caller's.
struct Deal {
    const uint32_t* worth;             // of each transaction
    const uint32_t* order;             // transactions, bin by bin, ascending in each ...
    const uint32_t* first;             // ... bin b: from `order[first[b]]` to before `order[first[b + 1]]`
    const uint32_t* loose;             // transactions in no bin, ascending, ...
    Portion* portions;                 // ... in portions; no transaction of a bin lies within one
    uint32_t portion_count;
};

struct BinTasks {
    void* self;
    // Runs a transaction in a bin. False: it did not run, or may not be in the block.
    bool (*run)(void* self, uint32_t bin, uint32_t place);
    // Prefetch for the transactions that the bin runs next if no others come between. `places` null: those of the block
    // from `count` on.
    void (*ask)(void* self, uint32_t bin, const uint32_t* places, uint32_t count);
    // How many more transactions the first thread, having begun `begun`, will have begun by the end of dealing out.
    uint32_t (*foresee)(void* self, uint32_t begun);
    // Deals out all transactions, those before `begun` to the first bin. False: dealing out would not pay.
    bool (*deal)(void* self, uint32_t begun, Deal* deal);
    // All bins have ended: the number of pieces in which to look up accounts, and then slots.
    void (*prepare)(void* self, uint32_t* accounts, uint32_t* slots);
    void (*look_up)(void* self, uint32_t piece, bool slots);
    // The last two steps of the first thread, in this order. Returns the transaction from which on nothing counts,
    // `limit` at most, and rolls those transactions back.
    uint32_t (*judge)(void* self, uint32_t limit);
    void (*bring_results)(void* self);
    // Called by another thread meanwhile, or by the first one after `bring_results`.
    void (*bring_state)(void* self);
};

class BinRun {
public:
    // Prepares for `transactions` transactions in `bins` bins. `seed`: for tests, portions are taken at random; 0: by
    // the bin that has least to do. False: no memory.
    bool open(uint32_t transactions, uint32_t bins, bool deals_first, uint64_t seed, const uint32_t* stop) {
        if (bins > capacity_) {
            bins_.reset(new (std::nothrow) Bin[bins]);
            capacity_ = bins_ ? bins : 0;
        }
        if (!bins_) return false;
        count_ = transactions;
        bin_count_ = bins;
        deals_first_ = deals_first;
        seed_ = seed;
        stop_ = stop;
        stage_.store(kAlone);
        begun_.store(0);
        alone_until_.store(transactions);
        limit_.store(transactions);
        came_.store(0);
        next_bin_.store(1);
        ended_.store(0);
        bringing_.store(0);
        prepared_.store(false);
        judged_.store(false);
        brought_.store(false);
        for (int kind = 0; kind < 2; ++kind) {
            pieces_[kind] = 0;
            next_piece_[kind].store(0);
            pieces_ended_[kind].store(0);
        }
        return true;
    }

    // The first thread's part. Returns how many transactions count.
    uint32_t lead(const BinTasks& tasks, Watch& watch) {
        watch.start();
        if (!deals_first_) run_alone(tasks, watch);
        else if (came_.fetch_add(1) == 0) deal(tasks);
        if (!is_dealt_in_the_end()) {
            watch.turn_to(kCommitting);
            const uint32_t limit = tasks.judge(tasks.self, std::min(limit_.load(), begun_.load()));
            tasks.bring_results(tasks.self);
            watch.finish();
            return limit;
        }
        run_bin(tasks, 0, watch);
        run_others(tasks, watch);
        watch.turn_to(kCommitting);
        look_up(tasks);
        const uint32_t limit = tasks.judge(tasks.self, limit_.load());
        judged_.store(true, std::memory_order_release);
        tasks.bring_results(tasks.self);
        bring_state(tasks);
        wait_for(brought_);
        watch.finish();
        return limit;
    }

    // The part of every other thread, as soon as it has come.
    void help(const BinTasks& tasks, Watch& watch) {
        watch.start();
        watch.turn_to(kCommitting);
        if (came_.fetch_add(1) == 0) deal(tasks);
        watch.turn_to(kWaiting);
        if (stage() == kDealt) {
            run_others(tasks, watch);
            watch.turn_to(kCommitting);
            look_up(tasks);
            watch.turn_to(kWaiting);
            wait_for(judged_);
            watch.turn_to(kCommitting);
            bring_state(tasks);
        }
        watch.finish();
    }

    bool was_dealt() const { return stage_.load() == kDealt; }
    bool deals_first() const { return deals_first_; }

private:
    enum Stage : uint32_t { kAlone, kDealt, kRefused };
    static constexpr uint32_t kTaken = uint32_t{1} << 30;
    static constexpr uint32_t kNone = ~uint32_t{0};

    struct alignas(64) Bin {
        const uint32_t* places;
        uint32_t count;
        Shared<uint64_t> left{0};      // worth of its transactions that have not run yet
    };

    static void wait_for(const Shared<bool>& raised) {
        unsigned turn = 0;
        while (!raised.load(std::memory_order_acquire)) turn = pause(turn);
    }

    Stage stage() const {
        unsigned turn = 0;
        uint32_t now;
        while ((now = stage_.load(std::memory_order_acquire)) == kAlone) turn = pause(turn);
        return static_cast<Stage>(now);
    }

    void lower_limit(uint32_t place) {
        uint32_t now = limit_.load(std::memory_order_relaxed);
        while (place < now && !limit_.replace(now, place)) {
        }
    }

    // False: this transaction and all later ones do not count.
    bool run_next(const BinTasks& tasks, uint32_t bin, uint32_t place, Watch& watch) {
        if (is_raised(stop_)) lower_limit(place);
        if (place >= limit_.load(std::memory_order_relaxed)) return false;
        watch.begin();
        if (!tasks.run(tasks.self, bin, place)) {
            lower_limit(place);
            return false;
        }
        watch.end(kRanInBin, place + 1);
        return true;
    }

    // The dealing thread bounds how far this thread goes alone. Either it sees `begun_` of this thread, or this thread
    // sees its `alone_until_`.
    void run_alone(const BinTasks& tasks, Watch& watch) {
        unsigned turn = 0;
        uint32_t place = 0;
        watch.turn_to(kRunning);
        while (stage_.load(std::memory_order_acquire) == kAlone && place < count_) {
            begun_.store(place);
            if (place >= alone_until_.load()) {
                turn = pause(turn);
                continue;
            }
            tasks.ask(tasks.self, 0, nullptr, place);
            if (!run_next(tasks, 0, place, watch)) break;
            ++place;
        }
        begun_.store(place);
        watch.turn_to(kWaiting);
    }

    void deal(const BinTasks& tasks) {
        uint32_t until = 0;
        if (!deals_first_) {
            const uint32_t begun = begun_.load();
            until = begun + tasks.foresee(tasks.self, begun);
            alone_until_.store(until);
            until = std::min(std::max(until, begun_.load() + 1), count_);
        }
        const bool dealt = tasks.deal(tasks.self, until, &deal_);
        for (uint32_t b = 0; dealt && b < bin_count_; ++b) {
            Bin& bin = bins_[b];
            bin.places = deal_.order + deal_.first[b];
            bin.count = deal_.first[b + 1] - deal_.first[b];
            uint64_t left = 0;
            for (uint32_t i = 0; i < bin.count; ++i) left += deal_.worth[bin.places[i]];
            bin.left.store(left, std::memory_order_relaxed);
        }
        stage_.store(dealt ? kDealt : kRefused, std::memory_order_release);
    }

    // Waits until dealing out has ended; if no thread has begun it, none will.
    bool is_dealt_in_the_end() {
        if (came_.fetch_add(1) == 0) stage_.store(kRefused, std::memory_order_release);
        return stage() == kDealt;
    }

    // Whether bin `b` takes a portion: if its remaining work is at most the mean, or if all other bins have passed the
    // portion.
    bool takes(uint32_t b, Portion& portion) {
        uint64_t all = 0;
        for (uint32_t i = 0; i < bin_count_; ++i) all += bins_[i].left.load(std::memory_order_relaxed);
        bool wants = bins_[b].left.load(std::memory_order_relaxed) * bin_count_ <= all;
        if (seed_ != 0) wants = (seed_ >> (portion.first + b) % 32) % 2 != 0;
        STM_YIELD(&portion.state, true);
        if (wants) return __atomic_fetch_or(&portion.state, kTaken, __ATOMIC_ACQ_REL) < kTaken;
        return __atomic_add_fetch(&portion.state, 1, __ATOMIC_ACQ_REL) == bin_count_;
    }

    void run_bin(const BinTasks& tasks, uint32_t b, Watch& watch) {
        Bin& bin = bins_[b];
        const uint32_t begun = b == 0 ? begun_.load(std::memory_order_relaxed) : 0;
        uint64_t left = bin.left.load(std::memory_order_relaxed);
        uint32_t i = 0, next_portion = 0;
        watch.turn_to(kRunning);
        for (; i < bin.count && bin.places[i] < begun; ++i) left -= deal_.worth[bin.places[i]];
        for (;;) {
            bin.left.store(left, std::memory_order_relaxed);
            const uint32_t next = i < bin.count ? bin.places[i] : kNone;
            if (next_portion < deal_.portion_count && deal_.loose[deal_.portions[next_portion].first] < next) {
                Portion& portion = deal_.portions[next_portion++];
                if (!takes(b, portion)) continue;
                for (uint32_t n = portion.first; n < portion.end; ++n) {
                    tasks.ask(tasks.self, b, deal_.loose + n, portion.end - n);
                    if (!run_next(tasks, b, deal_.loose[n], watch)) break;
                }
                continue;
            }
            if (next == kNone) break;
            tasks.ask(tasks.self, b, bin.places + i, bin.count - i);
            if (!run_next(tasks, b, next, watch)) break;
            left -= deal_.worth[next];
            ++i;
        }
        watch.turn_to(kWaiting);
        if (ended_.fetch_add(1) + 1 == bin_count_) {
            tasks.prepare(tasks.self, &pieces_[0], &pieces_[1]);
            prepared_.store(true, std::memory_order_release);
        }
    }

    // Runs bins other than the first until none is left, then waits for those that other threads took.
    void run_others(const BinTasks& tasks, Watch& watch) {
        for (uint32_t b; (b = next_bin_.fetch_add(1)) < bin_count_;) run_bin(tasks, b, watch);
        wait_for(prepared_);
    }

    void look_up(const BinTasks& tasks) {
        for (int kind = 0; kind < 2; ++kind) {
            const uint32_t pieces = pieces_[kind];
            for (uint32_t piece; (piece = next_piece_[kind].fetch_add(1)) < pieces;) {
                tasks.look_up(tasks.self, piece, kind != 0);
                pieces_ended_[kind].fetch_add(1);
            }
            unsigned turn = 0;
            while (pieces_ended_[kind].load(std::memory_order_acquire) < pieces) turn = pause(turn);
        }
    }

    void bring_state(const BinTasks& tasks) {
        if (bringing_.fetch_add(1) != 0) return;
        tasks.bring_state(tasks.self);
        brought_.store(true, std::memory_order_release);
    }

    std::unique_ptr<Bin[]> bins_;
    uint32_t capacity_ = 0, count_ = 0, bin_count_ = 0;
    bool deals_first_ = false;
    uint64_t seed_ = 0;
    const uint32_t* stop_ = nullptr;
    Deal deal_{};                      // valid once the stage is kDealt
    uint32_t pieces_[2] = {};          // valid once `prepared_`: of accounts, of slots
    alignas(64) Shared<uint32_t> stage_{kAlone};
    Shared<uint32_t> begun_{0};        // how far the first thread has come alone ...
    Shared<uint32_t> alone_until_{0};  // ... and the transaction before which it stops
    Shared<uint32_t> came_{0};         // threads that came to deal out; the first of them does
    Shared<uint32_t> next_bin_{1}, ended_{0}, bringing_{0};
    Shared<uint32_t> next_piece_[2] = {Shared<uint32_t>{0}, Shared<uint32_t>{0}};
    Shared<uint32_t> pieces_ended_[2] = {Shared<uint32_t>{0}, Shared<uint32_t>{0}};
    Shared<bool> prepared_{false}, judged_{false}, brought_{false};
    alignas(64) Shared<uint32_t> limit_{0};      // transactions from this one on do not count
};

}  // namespace evmcore::stm
