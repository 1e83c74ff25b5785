// The form of what a call reads: an account or a slot, told by where the words in it come from.
//
// An entry of a mapping lies at keccak(key . slot), and the key is an argument of the call, its sender, or the contract
// itself. A form that was found in one call, with `explain` and `find_address`, is filled in for another one.
#ifndef EVMCORE_CACHE_FORMS_H
#define EVMCORE_CACHE_FORMS_H

#include "reader.h"

namespace evmcore::cache {

constexpr size_t MOST_CALL_DATA = 16 * 1024;    // bytes of calldata that are looked at

// A call, as the transaction gives it.
struct CallSeen {
    const uint8_t* target;      // 20 bytes
    const uint8_t* sender;
    const uint8_t* coinbase;    // NULL: not known
    const uint8_t* data;
    size_t size;

    // Whether a 32-byte word that is looked at begins at `at`.
    bool has_word(size_t at) const noexcept { return at + 32 <= size && at < MOST_CALL_DATA; }
};

// What a machine has lately hashed: slots back to the 64 bytes they came from.
class Preimages {
public:
    void add(const uint8_t* data, const u256* digest) {
        if (entries_.size() == MOST)
            return;
        entries_.push_back(Entry{data, *digest});
        size_t at = place(*digest);
        while (cells_[at])
            at = (at + 1) % CELLS;
        cells_[at] = static_cast<uint16_t>(entries_.size());
    }

    // The bytes that were hashed to `slot`, or to up to 255 less: a field of a struct in a mapping. NULL: not known.
    const uint8_t* find(const u256& slot, uint8_t* offset) const noexcept {
        for (size_t at = place(slot); cells_[at]; at = (at + 1) % CELLS) {
            const Entry& entry = entries_[cells_[at] - 1];
            if (entry.digest.w[3] == slot.w[3] && entry.digest.w[2] == slot.w[2] && entry.digest.w[1] == slot.w[1] &&
                slot.w[0] - entry.digest.w[0] < 256) {
                *offset = static_cast<uint8_t>(slot.w[0] - entry.digest.w[0]);
                return entry.data;
            }
        }
        return nullptr;
    }

private:
    static constexpr size_t CELLS = 4096, MOST = 2048;
    struct Entry {
        const uint8_t* data;
        u256 digest;
    };
    static size_t place(const u256& digest) noexcept { return digest.w[3] % CELLS; }     // uniform already

    std::vector<Entry> entries_;
    uint16_t cells_[CELLS] = {};
};

// Where a 32-byte word of a form comes from.
struct Word {
    enum Source : uint8_t { CONSTANT, DATA, SENDER, TARGET, COINBASE };
    Source source;
    uint32_t offset;            // DATA: of its first byte
    u256 value;                 // CONSTANT

    // A word that the call itself gives, or a constant. Zero is always a constant: it would be found everywhere.
    static Word of(const u256& value, const CallSeen& call) noexcept {
        Word result = {CONSTANT, 0, value};
        if (u_is_zero(&value))
            return result;
        uint8_t bytes[32];
        u_to_be(bytes, &value);
        for (size_t at = 4; call.has_word(at); at += 4) {
            if (memcmp(call.data + at, bytes, 32) == 0) {
                result.source = DATA;
                result.offset = static_cast<uint32_t>(at);
                return result;
            }
        }
        if (is_address(value, call.sender))
            result.source = SENDER;
        else if (is_address(value, call.target))
            result.source = TARGET;
        return result;
    }

    // Its value in a call; false where the call does not give it.
    bool value_in(const CallSeen& call, u256* out) const noexcept {
        switch (source) {
        case DATA:
            if (offset + 32 > call.size)
                return false;
            u_from_be(out, call.data + offset);
            return true;
        case SENDER:
            u_from_address(out, call.sender);
            return true;
        case TARGET:
            u_from_address(out, call.target);
            return true;
        case COINBASE:
            if (!call.coinbase)
                return false;
            u_from_address(out, call.coinbase);
            return true;
        default:
            *out = value;
            return true;
        }
    }

    bool operator==(const Word& other) const noexcept {
        return source == other.source && (source != DATA || offset == other.offset) &&
               (source != CONSTANT || u_eq(&value, &other.value));
    }

private:
    static bool is_address(const u256& word, const uint8_t* address) noexcept {
        u256 padded;
        u_from_address(&padded, address);
        return u_eq(&padded, &word);
    }
};

// An account (no slot), or a slot: keccak over up to two pairs of words, plus something small.
struct Form {
    static constexpr int MOST_LEVELS = 2;
    Word address;
    bool is_slot;
    uint8_t levels;
    uint8_t offset;
    bool key_last[MOST_LEVELS]; // keccak(slot . key), as Vyper has it, not keccak(key . slot)
    Word slot;                  // innermost
    Word keys[MOST_LEVELS];     // innermost first
    // not compared:
    Hash code_hash;             // of an account
    bool has_code;
    float weight;

    bool same(const Form& other) const noexcept {
        if (!(address == other.address) || is_slot != other.is_slot)
            return false;
        if (!is_slot)
            return true;
        if (levels != other.levels || offset != other.offset || !(slot == other.slot))
            return false;
        for (int i = 0; i < levels; ++i)
            if (key_last[i] != other.key_last[i] || !(keys[i] == other.keys[i]))
                return false;
        return true;
    }

    // What it says of a call; false where the call does not give a word of it. `pair`: hashes 64 bytes.
    template <class Pair>
    bool fill_in(const CallSeen& call, const Pair& pair, StateKey* key) const noexcept {
        u256 account, place, value;
        if (!address.value_in(call, &account) || account.w[3] || account.w[2] >> 32)
            return false;
        *key = StateKey{};
        u_to_address(key->address.data(), &account);
        key->is_slot = is_slot;
        if (!is_slot)
            return true;
        if (!slot.value_in(call, &place))
            return false;
        for (int i = 0; i < levels; ++i) {
            uint8_t data[64];
            if (!keys[i].value_in(call, &value))
                return false;
            u_to_be(data + (key_last[i] ? 32 : 0), &value);
            u_to_be(data + (key_last[i] ? 0 : 32), &place);
            pair(data, &place);
        }
        u_add64(&place, &place, offset);
        key->slot = place;
        return true;
    }

    // Tells a slot by what was hashed. Which of the two words is the slot of the mapping: a small number, or itself a hash.
    void explain(const u256& key, const CallSeen& call, const Preimages& preimages) noexcept {
        u256 place = key;
        u256 found[MOST_LEVELS];
        bool last[MOST_LEVELS];
        int depth = 0;
        while (depth < MOST_LEVELS) {
            uint8_t beyond = 0, inner = 0;
            const uint8_t* data = preimages.find(place, &beyond);
            if (!data || (depth && beyond))
                break;
            u256 first, second;
            u_from_be(&first, data);
            u_from_be(&second, data + 32);
            const bool second_is_slot = is_small(second) || preimages.find(second, &inner);
            const bool first_is_slot = !second_is_slot && (is_small(first) || preimages.find(first, &inner));
            if (!second_is_slot && !first_is_slot)
                break;
            if (depth == 0)
                offset = beyond;
            last[depth] = first_is_slot;
            found[depth++] = first_is_slot ? second : first;
            place = first_is_slot ? first : second;
        }
        is_slot = true;
        levels = static_cast<uint8_t>(depth);
        slot = depth ? Word{Word::CONSTANT, 0, place} : Word::of(place, call);
        for (int i = 0; i < depth; ++i) {           // found from the outside in
            keys[i] = Word::of(found[depth - 1 - i], call);
            key_last[i] = last[depth - 1 - i];
        }
    }

    // The machine has forgotten what was hashed to this slot: perhaps it is an entry of a mapping of which another entry
    // was read as well, with another word of the call as key.
    template <class Pair>
    void search(const u256& key, const CallSeen& call, const std::vector<Form>& others, const Pair& pair) noexcept {
        int mappings = 0;
        const Form* last = nullptr;
        for (const Form& other : others) {
            if (other.levels != 1 || other.keys[0].source != Word::DATA ||
                (last && other.slot == last->slot && other.key_last[0] == last->key_last[0]))
                continue;
            if (++mappings > 4)
                return;
            last = &other;
            Form tried = other;
            for (size_t at = other.keys[0].offset % 32; call.has_word(at); at += 32) {
                tried.keys[0].offset = static_cast<uint32_t>(at);
                tried.address = Word{Word::TARGET, 0, {}};
                StateKey found;
                if (tried.fill_in(call, pair, &found) && u_eq(&found.slot, &key)) {
                    *this = tried;
                    return;
                }
            }
        }
    }

    // Tells the address. In calls that carry calls the address of the callee stands before its arguments: where address or
    // key stand several times, those that are nearest to each other are meant.
    void find_address(const uint8_t* bytes, const CallSeen& call) noexcept {
        u256 value;
        u_from_address(&value, bytes);
        if (levels && keys[0].source == Word::DATA) {
            uint8_t sought[32], key[32];
            size_t last = 0, best_address = 0, best_key = 0;
            u_to_be(sought, &value);
            memcpy(key, call.data + keys[0].offset, 32);
            for (size_t at = 4; call.has_word(at); at += 4) {
                if (memcmp(call.data + at, sought, 32) == 0)
                    last = at;
                else if (last && memcmp(call.data + at, key, 32) == 0 &&
                         (!best_key || at - last < best_key - best_address))
                    best_address = last, best_key = at;
            }
            if (best_key) {
                keys[0].offset = static_cast<uint32_t>(best_key);
                address = Word{Word::DATA, static_cast<uint32_t>(best_address), {}};
                return;
            }
        }
        if (memcmp(bytes, call.target, 20) == 0)
            address = Word{Word::TARGET, 0, {}};
        else if (memcmp(bytes, call.sender, 20) == 0)
            address = Word{Word::SENDER, 0, {}};
        else if (call.coinbase && memcmp(bytes, call.coinbase, 20) == 0)
            address = Word{Word::COINBASE, 0, {}};
        else
            address = Word::of(value, call);
    }

private:
    static bool is_small(const u256& value) noexcept { return u_fits64(&value) && value.w[0] < (1u << 20); }
};

}  // namespace evmcore::cache

#endif
