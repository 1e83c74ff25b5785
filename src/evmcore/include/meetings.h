// What calls of one kind met in earlier blocks: places that other transactions had written meanwhile. Relaxed words, as
// in pace.h: a lost or torn update makes a worse hint, never another result.
#pragma once
#include <algorithm>
#include <cstdint>

#include "pace.h"

namespace evmcore {

// An entry of a hash table, found by name; a call of another kind may take it over.
class Meetings {
public:
    static constexpr uint32_t ONE = 16;       // what one meeting adds to the trust
    static constexpr uint32_t MOST = 255;
    static constexpr int PLACES = 2;
    static constexpr uint64_t ROLES = 3;      // bits of a place: whether the call reads or writes it

    bool is(uint64_t name) const { return name_.value() == name; }
    uint32_t trust() const { return trust_.value(); }
    uint64_t place(int i) const { return places_[i].value(); }        // 0: none

    // A call met another one at `place`, whose ROLES bits say how the call used it.
    void met(uint64_t name, uint64_t place) {
        if (!is(name)) {
            name_.set(name);
            trust_.set(0);
            places_[0].set(0);
            places_[1].set(0);
        }
        for (auto& known : places_) {
            if ((known.value() & ~ROLES) == (place & ~ROLES) && known.value() != 0) {
                known.set(known.value() | place);
                trust_.set(std::min(trust_.value() + ONE, MOST));
                return;
            }
        }
        // The latest place is the likeliest to be met again; how often another place was met says nothing about it.
        places_[1].set(places_[0].value());
        places_[0].set(place);
        trust_.set(ONE);
    }

    // Moves the trust in the line: `by` > 0 if a run showed that the line is needed, `by` < 0 if a run showed that it
    // is not.
    void judge(int by) {
        const int now = static_cast<int>(trust_.value()) + by;
        trust_.set(static_cast<uint32_t>(std::clamp(now, 0, static_cast<int>(MOST))));
    }

    void forget() { name_.set(0); }

private:
    Loose<uint64_t> name_, places_[PLACES];
    Loose<uint32_t> trust_;
};

}  // namespace evmcore
