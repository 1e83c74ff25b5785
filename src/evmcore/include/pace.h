// What executing transactions takes, as this process has seen it: estimates that many threads read and few write.
//
// Every estimate is one relaxed word: a lost update or a slightly old value changes a forecast, never a result.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace evmcore {

// A number that lost updates do no harm to.
template <typename T>
class Loose {
public:
    explicit Loose(T start = 0) : value_(start) {}
    T value() const { return value_.load(std::memory_order_relaxed); }
    void set(T value) { value_.store(value, std::memory_order_relaxed); }

private:
    std::atomic<T> value_;
};

// A running mean. What comes later counts for more; a single sample never moves it far.
class Estimate : public Loose<uint32_t> {
public:
    using Loose::Loose;

    // Moves a `1 / weight`th of the way to the sample, which counts as four times the mean at most.
    void learn(uint64_t sample, uint32_t weight) {
        const uint64_t now = value();
        if (now != 0) sample = std::min(sample, 4 * now);
        sample = std::min<uint64_t>(sample, UINT32_MAX / 2);
        const int64_t step = (static_cast<int64_t>(sample) - static_cast<int64_t>(now)) / static_cast<int64_t>(now == 0 ? 1 : weight);
        set(static_cast<uint32_t>(static_cast<int64_t>(now) + step));
    }

    // The same, but no sample counts for more than a third away: near the median of what came, however far off some were.
    void step(uint64_t sample, uint32_t weight) {
        const uint64_t now = value();
        learn(now == 0 ? sample : std::clamp(sample, now * 3 / 4, now * 4 / 3), weight);
    }
};

// What calls of one kind take: a slot of a table by name, which another kind may take over.
class Kind {
public:
    static constexpr uint32_t USUAL = 1024;

    bool is(uint32_t tag) const { return tag_.value() == tag; }
    bool is_timed() const { return samples_.value() != 0; }
    bool has_time() const { return time_.value() != 0; }
    // Timed in another block than the first, where it paid for memory and code that were not there yet.
    bool is_sure() const { return is_timed() && warm_.value(); }
    bool was_in(uint32_t block) const { return latest_.value() == block; }
    uint32_t samples() const { return samples_.value(); }
    uint32_t nanoseconds() const { return time_.value(); }
    // What threads add to it, in 1,024ths of what they add to others of its length.
    uint32_t burden() const { return burden_.value(); }

    // It was executed in a block. False: that is known already.
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
            // What disturbs is larger than what is measured: nothing counts for more than twice the mean.
            time_.learn(std::min<uint64_t>(sample, 2 * static_cast<uint64_t>(now)), count < 4 ? 2 : 4);
        }
        samples_.set(count + 1);
    }

    // What it took on threads by its gas, where it was never timed by itself.
    void suppose(uint64_t sample) {
        if (!is_timed()) time_.learn(std::max<uint64_t>(sample, 1), 2);
    }

    // That threads added `ratio` 1,024ths of what was expected. The first times say most; later ones count as a step in
    // their direction, so that a machine that was disturbed is not believed.
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

// When to try threads again that are expected not to pay.
class Patience {
public:
    void begin() { passed_.set(0); }
    // A block more that was not given to the threads. True: it is time to try.
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
