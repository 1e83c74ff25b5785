// A block in bins, run by several threads: who runs what, and what all do together when that has been done.
//
// The first thread runs the block's transactions in order until another one has dealt out those that come later. Then each
// thread takes a bin and runs its transactions, in the block's order, and between them portions that were dealt to nobody.
// When all bins have ended, all threads look up who met; the first one says up to where that counts, and while one thread
// brings the state together the first one brings in the rest.
//
// What a transaction, a meeting and a state are is the caller's, as functions: the executor's (_bins.pyx), and that of the
// driver in tests/native.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "engine.h"

namespace evmcore::stm {

// Neighbours that were dealt to no bin: `loose[first]` to before `loose[end]`.
struct Portion {
    uint32_t first, end;
    uint64_t worth;
    uint32_t state;                    // how many bins have passed it, or kTaken
};

// What was dealt out; the arrays are the caller's.
struct Deal {
    const uint32_t* worth;             // of each transaction
    const uint32_t* order;             // bin by bin, ascending in each ...
    const uint32_t* first;             // ... from `order[first[bin]]` to before `order[first[bin + 1]]`
    const uint32_t* loose;             // transactions of no bin, ascending, ...
    Portion* portions;                 // ... in portions that have none of a bin between them
    uint32_t portion_count;
};

struct BinTasks {
    void* self;
    // Runs a transaction in a bin. False: it has not been run, or may not be in the block.
    bool (*run)(void* self, uint32_t bin, uint32_t place);
    // These are run next in a bin, if nothing comes between. `places` null: all of the block from `count` on.
    void (*ask)(void* self, uint32_t bin, const uint32_t* places, uint32_t count);
    // How many more the first thread will have run when all is dealt out, having run so many.
    uint32_t (*foresee)(void* self, uint32_t begun);
    // Deals out all, those before `begun` to the first bin. False: that would not pay.
    bool (*deal)(void* self, uint32_t begun, Deal* deal);
    // All bins have ended. In how many pieces accounts, and then slots, are to be looked up.
    void (*prepare)(void* self, uint32_t* accounts, uint32_t* slots);
    void (*look_up)(void* self, uint32_t piece, bool slots);
    // The first thread's, in this order. From which transaction on nothing counts, `limit` at most; takes all of that back.
    uint32_t (*judge)(void* self, uint32_t limit);
    void (*bring_results)(void* self);
    // Another thread's meanwhile, or the first one's after it.
    void (*bring_state)(void* self);
};

class BinRun {
public:
    // For so many transactions in so many bins. `seed`: for tests, portions are taken at random; 0: by whoever has least to do.
    // False: no memory.
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

    // The first thread's part. So many transactions count then.
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

    // What any other thread does, as soon as it has come.
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
        Shared<uint64_t> left{0};      // worth of those that are still to be run
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

    // False: this transaction and all that come later do not count.
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

    // Whoever deals out decides how far this goes at most: either it sees how far this has come, or this sees its word.
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

    // Waits for whoever deals out; nobody begins with that any more.
    bool is_dealt_in_the_end() {
        if (came_.fetch_add(1) == 0) stage_.store(kRefused, std::memory_order_release);
        return stage() == kDealt;
    }

    // Whether a bin runs what belongs to nobody: where the others have more to do on the mean, or have all passed it.
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

    // Bins but for the first, until none is left; then waits for those that others took.
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
    Shared<uint32_t> begun_{0};        // the first thread has come so far alone ...
    Shared<uint32_t> alone_until_{0};  // ... and goes no further than to here
    Shared<uint32_t> came_{0};         // those who would deal out
    Shared<uint32_t> next_bin_{1}, ended_{0}, bringing_{0};
    Shared<uint32_t> next_piece_[2] = {Shared<uint32_t>{0}, Shared<uint32_t>{0}};
    Shared<uint32_t> pieces_ended_[2] = {Shared<uint32_t>{0}, Shared<uint32_t>{0}};
    Shared<bool> prepared_{false}, judged_{false}, brought_{false};
    alignas(64) Shared<uint32_t> limit_{0};      // transactions from this one on do not count
};

}  // namespace evmcore::stm
