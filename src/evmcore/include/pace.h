// What executing transactions takes, as this process has seen it: estimates that many threads read and few write.
//
// Every estimate is one relaxed word: a lost update or a slightly old value changes a forecast, never a result.
#pragma once
#include <atomic>
#include <cstdint>

namespace evmcore {

// A running mean of nanoseconds. What comes later counts for more; a single sample never moves it far.
class Estimate {
public:
    explicit Estimate(uint32_t start = 0) : value_(start) {}
    uint32_t value() const { return value_.load(std::memory_order_relaxed); }
    void set(uint32_t value) { value_.store(value, std::memory_order_relaxed); }

    // Moves a `1 / weight`th of the way to the sample, which counts as four times the mean at most.
    void learn(uint64_t sample, uint32_t weight) {
        const uint64_t now = value();
        if (now != 0 && sample > 4 * now) sample = 4 * now;
        if (sample > UINT32_MAX / 2) sample = UINT32_MAX / 2;
        const int64_t step = (static_cast<int64_t>(sample) - static_cast<int64_t>(now)) / static_cast<int64_t>(now == 0 ? 1 : weight);
        set(static_cast<uint32_t>(static_cast<int64_t>(now) + step));
    }

private:
    std::atomic<uint32_t> value_;
};

// What calls of one kind take: a slot of a table by name, which another kind may take over.
class Kind {
public:
    bool is(uint32_t tag) const { return tag_.load(std::memory_order_relaxed) == tag; }
    uint32_t nanoseconds() const { return time_.value(); }
    uint32_t samples() const { return samples_.load(std::memory_order_relaxed); }
    // In how many blocks it was timed. In the first of them it paid for memory and code that were not there yet.
    uint32_t blocks() const { return blocks_.load(std::memory_order_relaxed); }

    bool was_in(uint32_t block) const { return samples() != 0 && latest_.load(std::memory_order_relaxed) == block; }

    void learn(uint32_t tag, uint64_t sample, uint32_t block) {
        if (!is(tag)) {
            forget();
            tag_.store(tag, std::memory_order_relaxed);
        }
        if (!was_in(block)) {
            latest_.store(block, std::memory_order_relaxed);
            blocks_.store(blocks() + 1, std::memory_order_relaxed);
        }
        samples_.store(samples() + 1, std::memory_order_relaxed);
        // At first what disturbs is larger than what is measured: the least counts.
        if (samples() <= FEW && samples() > 1) time_.set(sample < time_.value() ? static_cast<uint32_t>(sample) : time_.value());
        else time_.learn(sample, 4);
    }

    void forget() {
        samples_.store(0, std::memory_order_relaxed);
        blocks_.store(0, std::memory_order_relaxed);
        tag_.store(0, std::memory_order_relaxed);
        time_.set(0);
    }

private:
    static constexpr uint32_t FEW = 4;

    std::atomic<uint32_t> tag_{0}, samples_{0}, blocks_{0}, latest_{0};
    Estimate time_;
};

// How a number of threads has done with transactions of a length: what each of them costs beyond its share of the work, and
// when to try again where that was too much.
class Record {
public:
    Estimate residue;                       // of a transaction, ns
    Estimate outcome;                       // what blocks took, in 1,024ths of what was forecast for one thread

    bool was_tried() const { return tried_.load(std::memory_order_relaxed); }
    void begin() {
        tried_.store(true, std::memory_order_relaxed);
        passed_.store(0, std::memory_order_relaxed);
    }
    // A block more that was not given to the threads: whether the next one is, to see.
    bool passed_over() {
        return passed_.fetch_add(1, std::memory_order_relaxed) + 1 >= patience_.load(std::memory_order_relaxed);
    }
    void judge(bool paid) {
        const uint32_t now = patience_.load(std::memory_order_relaxed);
        patience_.store(paid ? LEAST_PATIENCE : now < MOST_PATIENCE ? 2 * now : now, std::memory_order_relaxed);
    }
    void forget() {
        residue.set(0);
        outcome.set(0);
        tried_.store(false, std::memory_order_relaxed);
        passed_.store(0, std::memory_order_relaxed);
        patience_.store(LEAST_PATIENCE, std::memory_order_relaxed);
    }

private:
    static constexpr uint32_t LEAST_PATIENCE = 16, MOST_PATIENCE = 4096;     // blocks

    std::atomic<bool> tried_{false};
    std::atomic<uint32_t> passed_{0}, patience_{LEAST_PATIENCE};
};

}  // namespace evmcore
