// How long executing transactions takes, measured by this process: estimates that many threads read and few write.
//
// Every estimate is one relaxed word: a lost update or a slightly stale value changes a forecast, never a result.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace evmcore {

// A number that tolerates lost updates.
template <typename T>
class Loose {
public:
    explicit Loose(T start = 0) : value_(start) {}
    T value() const { return value_.load(std::memory_order_relaxed); }
    void set(T value) { value_.store(value, std::memory_order_relaxed); }

private:
    std::atomic<T> value_;
};

// A running mean. Later samples weigh more; a single sample never moves it far.
class Estimate : public Loose<uint32_t> {
public:
    using Loose::Loose;

    // Moves by `1 / weight` of the distance to the sample, which is capped at four times the mean.
    void learn(uint64_t sample, uint32_t weight) {
        const uint64_t now = value();
        if (now != 0) sample = std::min(sample, 4 * now);
        sample = std::min<uint64_t>(sample, UINT32_MAX / 2);
        const int64_t step = (static_cast<int64_t>(sample) - static_cast<int64_t>(now)) / static_cast<int64_t>(now == 0 ? 1 : weight);
        set(static_cast<uint32_t>(static_cast<int64_t>(now) + step));
    }

    // The same, with the sample clamped to between 3/4 and 4/3 of the mean. So the estimate stays near the median,
    // however far off some samples were.
    void step(uint64_t sample, uint32_t weight) {
        const uint64_t now = value();
        learn(now == 0 ? sample : std::clamp(sample, now * 3 / 4, now * 4 / 3), weight);
    }
};

// How long calls of one kind take: an entry of a hash table, found by name; a call of another kind may take it over.
class Kind {
public:
    static constexpr uint32_t USUAL = 1024;

    bool is(uint32_t tag) const { return tag_.value() == tag; }
    bool is_timed() const { return samples_.value() != 0; }
    bool has_time() const { return time_.value() != 0; }
    // Timed in another block than its first, where it also paid for memory and code that were not cached yet.
    bool is_sure() const { return is_timed() && warm_.value(); }
    bool was_in(uint32_t block) const { return latest_.value() == block; }
    uint32_t samples() const { return samples_.value(); }
    uint32_t nanoseconds() const { return time_.value(); }
    // What threads add to its time, in 1,024ths of what they add to the time of other calls of its length.
    uint32_t burden() const { return burden_.value(); }

    // Notes that it was executed in this block. False: that was noted already.
    bool saw(uint32_t tag, uint32_t block) {
        if (!is(tag)) {
            forget();
            tag_.set(tag);
            first_.set(block);
        } else if (was_in(block)) {
            return false;
        }
        latest_.set(block);
        return true;
    }

    void learn(uint32_t tag, uint64_t sample, uint32_t block) {
        saw(tag, block);
        const uint32_t now = time_.value(), count = samples_.value();
        sample = std::min<uint64_t>(sample, UINT32_MAX / 2);
        if (count == 0 || (!warm_.value() && first_.value() != block)) {
            time_.set(static_cast<uint32_t>(sample));
            warm_.set(first_.value() != block);
        } else {
            // Disturbances are larger than differences in what is measured: a sample counts for twice the mean at most.
            time_.learn(std::min<uint64_t>(sample, 2 * static_cast<uint64_t>(now)), count < 4 ? 2 : 4);
        }
        samples_.set(count + 1);
    }

    // Its time on threads, estimated from its gas, while it was never timed by itself.
    void suppose(uint64_t sample) {
        if (!is_timed()) time_.learn(std::max<uint64_t>(sample, 1), 2);
    }

    // Notes that threads added `ratio` 1,024ths of what was expected. The first ratios count most; later ones are
    // clamped, so that a machine that was disturbed does not spoil the estimate.
    void learn_burden(uint32_t ratio) {
        const uint32_t times = tried_.value(), weight = times == 0 ? 1 : times == 1 ? 2 : 4;
        if (times > 1) ratio = std::clamp<uint32_t>(ratio, USUAL * 3 / 4, USUAL * 4 / 3);
        const uint64_t now = burden_.value(), then = now * ratio / USUAL;
        const uint64_t moved = (now * (weight - 1) + then) / weight;
        burden_.set(static_cast<uint32_t>(std::clamp<uint64_t>(moved, USUAL / 16, USUAL * 16)));
        tried_.set(std::min<uint32_t>(times + 1, 2));
    }

    void forget() {
        tag_.set(0);
        samples_.set(0);
        first_.set(0);
        latest_.set(0);
        tried_.set(0);
        warm_.set(false);
        burden_.set(USUAL);
        time_.set(0);
    }

private:
    Loose<uint32_t> tag_, samples_, first_, latest_, tried_, burden_{USUAL};
    Loose<bool> warm_;
    Estimate time_;
};

// When to try threads again although they are not expected to pay.
class Patience {
public:
    void begin() { passed_.set(0); }
    // One more block was not given to the threads. True: it is time to try.
    bool passed_over() {
        passed_.set(passed_.value() + 1);
        return passed_.value() >= patience_.value();
    }
    void judge(bool paid) {
        const uint32_t now = patience_.value();
        patience_.set(paid ? std::max(now / 2, LEAST) : std::min(2 * now, MOST));
    }
    void forget() {
        passed_.set(0);
        patience_.set(LEAST);
    }

private:
    static constexpr uint32_t LEAST = 2, MOST = 4096;     // blocks

    Loose<uint32_t> passed_, patience_{LEAST};
};

}  // namespace evmcore
