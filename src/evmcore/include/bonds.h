// Where calls of one kind met others in earlier blocks: what is needed to group them together. Relaxed words, as in
// pace.h: a lost or torn update makes a worse guess, never another result.
#pragma once
#include <cstdint>

#include "pace.h"

namespace evmcore {

// An entry of a hash table, found by name; a call of another kind may take it over.
class Bonds {
public:
    static constexpr int PLACES = 7;

    bool is(uint64_t name) const { return name_.value() == name; }
    uint64_t place(int i) const { return places_[i].value(); }        // 0: no more

    // Adds a place; the place known for longest makes room.
    void add(uint64_t name, uint64_t place) {
        if (!is(name)) {
            forget();
            name_.set(name);
        }
        for (auto& known : places_)
            if (known.value() == place) return;
        for (int i = PLACES - 1; i > 0; i--) places_[i].set(places_[i - 1].value());
        places_[0].set(place);
    }

    void forget() {
        name_.set(0);
        for (auto& place : places_) place.set(0);
    }

private:
    Loose<uint64_t> name_, places_[PLACES];
};

}  // namespace evmcore
