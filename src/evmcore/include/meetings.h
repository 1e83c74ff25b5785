// What calls of one kind met in blocks before: places that others had written meanwhile. Relaxed words, as in pace.h: a lost
// or torn update makes a worse hint, never another result.
#pragma once
#include <algorithm>
#include <cstdint>

#include "pace.h"

namespace evmcore {

// A slot of a table by name, which another kind may take over.
class Meetings {
public:
    static constexpr uint32_t ONE = 16;       // what meeting somebody adds to the trust ...
    static constexpr uint32_t MOST = 255;
    static constexpr int PLACES = 2;

    bool is(uint64_t name) const { return name_.value() == name; }
    uint32_t trust() const { return trust_.value(); }
    uint64_t place(int i) const { return places_[i].value(); }        // 0: none

    void met(uint64_t name, uint64_t place) {
        if (!is(name)) {
            name_.set(name);
            trust_.set(0);
            places_[0].set(0);
            places_[1].set(0);
        }
        if (place == places_[0].value() || place == places_[1].value()) {
            trust_.set(std::min(trust_.value() + ONE, MOST));
        } else {
            // What was met last is most likely met again; how often others were met says nothing of it.
            places_[1].set(places_[0].value());
            places_[0].set(place);
            trust_.set(ONE);
        }
    }

    // It ran behind the one it might have met, and that was needed or not.
    void judge(bool needed) {
        const uint32_t now = trust_.value();
        if (needed) trust_.set(std::min(now + 1, MOST));              // ... and what running in a line adds or takes away
        else if (now != 0) trust_.set(now - 1);
    }

    void forget() { name_.set(0); }

private:
    Loose<uint64_t> name_, places_[PLACES];
    Loose<uint32_t> trust_;
};

}  // namespace evmcore
