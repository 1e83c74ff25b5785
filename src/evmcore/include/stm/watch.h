// What a worker does during a block, and for how long. If a timeline is recorded: also when, and with which
// transaction.
//
// The clock is read when a worker changes its activity, not per transaction or opcode. Without a timeline, each event
// costs one branch.
#pragma once
#include "store.h"
#include <chrono>
#include <cstdint>
#include <cstdlib>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace evmcore::stm {

// The cheapest clock. Its unit is found by comparison with another clock over the block. The driver that looks for
// equal states stops this clock.
inline uint64_t ticks() {
#if defined(STM_TICKS)
    return STM_TICKS;
#elif defined(__x86_64__)
    return __rdtsc();
#else
    return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

enum Doing : uint32_t { kWaiting, kRunning, kCommitting, kDoings };

// The events of a timeline, in this order: an execution ahead of time; one that met an estimate; a re-execution by the
// committer after a failed validation; an execution by the committer of a transaction that had not run; making final; a
// failed validation; waiting; an execution in a bin (see _bins).
enum Deed : uint32_t { kRanAhead, kRanInVain, kRanAgain, kRanAtFrontier, kMadeFinal, kRefused, kWaited, kRanInBin };

struct Event {
    uint64_t begin, end;               // ticks
    TxIndex tx;                        // 0: none
    uint32_t deed;                     // of Deed
    uint32_t detail;                   // kRanInVain: the transaction that left the estimate; kRefused: the Cause
    uint32_t unused;
};

// The events of one worker, up to the capacity; later ones are only counted.
class Events {
public:
    explicit Events(size_t capacity)
        : events_(static_cast<Event*>(std::malloc(capacity * sizeof(Event)))), capacity_(events_ ? capacity : 0) {}
    Events(const Events&) = delete;
    Events& operator=(const Events&) = delete;
    ~Events() { std::free(events_); }

    void add(const Event& event) {
        if (count_ < capacity_) events_[count_++] = event;
        else ++lost_;
    }
    size_t count() const { return count_; }
    size_t lost() const { return lost_; }
    const Event& at(size_t index) const { return events_[index]; }

private:
    Event* events_;
    size_t capacity_, count_ = 0, lost_ = 0;
};

// All zero: not started.
struct Watch {
    uint64_t spent[kDoings];           // ticks, by Doing
    uint64_t since;                    // when the worker began its current activity; 0: the worker never came
    uint64_t came;
    Doing doing;
    uint64_t began;                    // when the current event began
    Events* events;                    // null: no timeline is recorded

    void start() {
        came = since = ticks();
        doing = kWaiting;
    }

    void turn_to(Doing next) {
        if (doing == next) return;
        const uint64_t now = ticks();
        spent[doing] += now - since;
        if (__builtin_expect(events != nullptr, 0) && doing == kWaiting) events->add({since, now, 0, kWaited, 0, 0});
        since = now;
        doing = next;
    }

    void finish() {
        turn_to(kDoings);
        doing = kWaiting;              // for the other workers, from now on
    }

    void begin() {
        if (__builtin_expect(events != nullptr, 0)) began = ticks();
    }

    void end(Deed deed, TxIndex tx, uint32_t detail = 0) {
        if (__builtin_expect(events != nullptr, 0)) {
            const uint64_t now = ticks();
            events->add({began, now, tx, deed, detail, 0});
            began = now;
        }
    }
};

}  // namespace evmcore::stm
