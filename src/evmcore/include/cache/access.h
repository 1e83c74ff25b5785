// What calls read, learnt from what calls like them have read: by the code that is called and the function's selector.
//
// Most of what a function reads is the same every time, or follows from the call: an entry of a mapping lies at
// keccak(key . slot), and the key is an argument, the sender, or the contract itself. `learn` finds such forms in what a
// run has read and hashed; `predict` fills them in for another call. A form that does not come true loses weight, and
// in the end its place. Safe for use from any thread. Predictions are guesses: nothing follows from a wrong one.
#ifndef EVMCORE_CACHE_ACCESS_H
#define EVMCORE_CACHE_ACCESS_H

#include <algorithm>
#include <unordered_map>

#include "reader.h"

namespace evmcore::cache {

// A call, as the transaction gives it.
struct CallSeen {
    const uint8_t* target;      // 20 bytes
    const uint8_t* sender;
    const uint8_t* coinbase;    // NULL: not known
    const uint8_t* data;
    size_t size;
};

// An account that a run has read.
struct AccountSeen {
    const uint8_t* address;
    const uint8_t* code_hash;   // NULL: no code
};

struct SlotSeen {
    const uint8_t* address;
    u256 key;
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

    bool operator==(const Word& other) const noexcept {
        return source == other.source && (source != DATA || offset == other.offset) &&
               (source != CONSTANT || u_eq(&value, &other.value));
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
};

// What a prediction rests on: what the function itself has read, what one of the same selector has, or nothing.
enum class Basis { FUNCTION, NAMESAKE, NOTHING };

struct Prospect {
    Basis basis;
    bool whole;                 // when such calls were last looked at, all they read had been predicted
};

class AccessBook {
public:
    using Hasher = void (*)(const uint8_t* data, size_t size, uint8_t* digest);

    static constexpr size_t MOST_FORMS = 64;            // of one function
    static constexpr size_t MOST_FUNCTIONS = 4096;
    static constexpr size_t MOST_DATA = 16 * 1024;      // bytes of calldata that are looked at
    static constexpr float FIRST_WEIGHT = 0.5f, FORGOTTEN = 0.05f, WORTH_FETCHING = 0.15f, RATE = 0.125f;

    std::atomic<uint64_t> predicted{0}, came_true{0}, read{0};     // over all calls that were learnt from

    explicit AccessBook(Hasher hasher) : hasher_(hasher) {}

    // What the call is expected to read goes to `take(key)`; codes of its accounts to `take_code(hash)`. `code_hash`: of
    // the target, NULL where that is not known here. Where nothing is known of such calls, what is predicted is what a
    // function of the same selector has read elsewhere. `pair`: hashes 64 bytes.
    template <class Pair, class Take, class TakeCode>
    Prospect predict(const CallSeen& call, const uint8_t* code_hash, const Pair& pair, const Take& take,
                     const TakeCode& take_code) {
        std::lock_guard<std::mutex> guard(mutex_);
        const Function* function = find(call, code_hash);
        const bool known = function != nullptr;
        if (!known) {
            const auto namesake = namesakes_.find(selector_of(call));
            const auto found = namesake == namesakes_.end() ? functions_.end() : functions_.find(namesake->second);
            if (found == functions_.end())
                return {Basis::NOTHING, false};
            function = &found->second;
        }
        for (const Form& form : function->forms) {
            StateKey key;
            if (form.weight < WORTH_FETCHING || !fill_in(form, call, pair, &key))
                continue;
            take(key);
            if (form.has_code)
                take_code(form.code_hash);
        }
        return {known ? Basis::FUNCTION : Basis::NAMESAKE, function->whole};
    }

    // A run that was complete, and all it has read.
    void learn(const CallSeen& call, const uint8_t* code_hash, const std::vector<AccountSeen>& accounts,
               const std::vector<SlotSeen>& slots, const Preimages& preimages) {
        std::lock_guard<std::mutex> guard(mutex_);
        if (functions_.size() >= MOST_FUNCTIONS)
            forget_some();
        targets_[address_of(call.target)] = hash_of(code_hash);
        const Key name = key_of(call, code_hash);
        Function& function = functions_[name];
        namesakes_[name.selector] = name;
        function.last_used = ++clock_;
        std::vector<StateKey> seen;
        for (const AccountSeen& account : accounts)
            seen.push_back(StateKey::of_account(account.address));
        for (const SlotSeen& slot : slots)
            seen.push_back(StateKey::of_slot(slot.address, &slot.key));
        std::sort(seen.begin(), seen.end());
        judge(function, call, seen);
        for (const AccountSeen& account : accounts) {
            Form form = {};
            form.address = address_word(account.address, call, nullptr);
            form.has_code = account.code_hash != nullptr;
            if (form.has_code)
                memcpy(form.code_hash.data(), account.code_hash, 32);
            add(function, form);
        }
        std::vector<Form> forms(slots.size());
        for (size_t i = 0; i < slots.size(); ++i) {
            forms[i].is_slot = true;
            explain(slots[i].key, call, preimages, &forms[i]);
        }
        for (size_t i = 0; i < slots.size(); ++i) {
            if (forms[i].levels == 0 && slots[i].key.w[3])
                search(slots[i].key, call, forms, &forms[i]);
            forms[i].address = address_word(slots[i].address, call, &forms[i]);
            add(function, forms[i]);
        }
        function.forms.erase(std::remove_if(function.forms.begin(), function.forms.end(),
                                            [](const Form& form) { return form.weight < FORGOTTEN; }),
                             function.forms.end());
    }

    // Whether something was learnt of a function.
    bool knows(const CallSeen& call, const uint8_t* code_hash) const {
        std::lock_guard<std::mutex> guard(mutex_);
        return functions_.count(key_of(call, code_hash)) != 0;
    }

    size_t functions() const {
        std::lock_guard<std::mutex> guard(mutex_);
        return functions_.size();
    }

private:
    struct Function {
        std::vector<Form> forms;
        bool whole = true;              // see Prospect
        uint64_t last_used = 0;
    };
    struct Key {
        Hash code_hash;
        uint32_t selector;
        bool operator==(const Key& other) const noexcept {
            return selector == other.selector && code_hash == other.code_hash;
        }
    };
    struct KeyHash {
        size_t operator()(const Key& key) const noexcept {
            uint64_t word;
            memcpy(&word, key.code_hash.data(), 8);     // a Keccak hash: uniform
            return word ^ key.selector * 0x9e3779b97f4a7c15ull;
        }
    };
    using Address = std::array<uint8_t, 20>;
    struct AddressOrder {
        bool operator()(const Address& a, const Address& b) const noexcept { return a < b; }
    };

    auto hashing() const noexcept {
        return [this](const uint8_t* data, u256* result) {
            uint8_t digest[32];
            hasher_(data, 64, digest);
            u_from_be(result, digest);
        };
    }

    static Address address_of(const uint8_t* bytes) noexcept {
        Address address;
        memcpy(address.data(), bytes, 20);
        return address;
    }
    static Hash hash_of(const uint8_t* bytes) noexcept {
        Hash hash;
        memcpy(hash.data(), bytes, 32);
        return hash;
    }

    static Key key_of(const CallSeen& call, const uint8_t* code_hash) noexcept {
        Key key;
        key.code_hash = hash_of(code_hash);
        key.selector = selector_of(call);
        return key;
    }

    static uint32_t selector_of(const CallSeen& call) noexcept {
        return call.size >= 4 ? static_cast<uint32_t>(big_endian(call.data, 4)) : 0;
    }

    const Function* find(const CallSeen& call, const uint8_t* code_hash) {
        if (!code_hash) {
            const auto known = targets_.find(address_of(call.target));
            if (known == targets_.end())
                return nullptr;
            code_hash = known->second.data();
        }
        const auto found = functions_.find(key_of(call, code_hash));
        if (found == functions_.end())
            return nullptr;
        found->second.last_used = ++clock_;
        return &found->second;
    }

    // The quarter that was not used for longest.
    void forget_some() {
        std::vector<uint64_t> ages;
        for (const auto& entry : functions_)
            ages.push_back(entry.second.last_used);
        std::nth_element(ages.begin(), ages.begin() + static_cast<long>(ages.size() / 4), ages.end());
        const uint64_t limit = ages[ages.size() / 4];
        for (auto entry = functions_.begin(); entry != functions_.end();)
            entry = entry->second.last_used <= limit ? functions_.erase(entry) : std::next(entry);
        if (targets_.size() > 8 * MOST_FUNCTIONS)
            targets_.clear();
        if (namesakes_.size() > 2 * MOST_FUNCTIONS)
            namesakes_.clear();
    }

    // ---- words

    static bool is_address(const u256& word, const uint8_t* address) noexcept {
        u256 padded;
        u_from_address(&padded, address);
        return u_eq(&padded, &word);
    }

    // A word that the call itself gives, or a constant. Zero is always a constant: it would be found everywhere.
    static Word word(const u256& value, const CallSeen& call) noexcept {
        Word result = {Word::CONSTANT, 0, value};
        if (u_is_zero(&value))
            return result;
        uint8_t bytes[32];
        u_to_be(bytes, &value);
        for (size_t at = 4; at + 32 <= call.size && at < MOST_DATA; at += 4) {
            if (memcmp(call.data + at, bytes, 32) == 0) {
                result.source = Word::DATA;
                result.offset = static_cast<uint32_t>(at);
                return result;
            }
        }
        if (is_address(value, call.sender))
            result.source = Word::SENDER;
        else if (is_address(value, call.target))
            result.source = Word::TARGET;
        return result;
    }

    // The address of an account, or of the slot of a form. In calls that carry calls the address of the callee stands
    // before its arguments: where address or key stand several times, those that are nearest to each other are meant.
    static Word address_word(const uint8_t* address, const CallSeen& call, Form* slot) noexcept {
        u256 value;
        u_from_address(&value, address);
        if (slot && slot->levels && slot->keys[0].source == Word::DATA) {
            uint8_t sought[32], key[32];
            size_t last = 0, best_address = 0, best_key = 0;
            u_to_be(sought, &value);
            memcpy(key, call.data + slot->keys[0].offset, 32);
            for (size_t at = 4; at + 32 <= call.size && at < MOST_DATA; at += 4) {
                if (memcmp(call.data + at, sought, 32) == 0)
                    last = at;
                else if (last && memcmp(call.data + at, key, 32) == 0 &&
                         (!best_key || at - last < best_key - best_address))
                    best_address = last, best_key = at;
            }
            if (best_key) {
                slot->keys[0].offset = static_cast<uint32_t>(best_key);
                return Word{Word::DATA, static_cast<uint32_t>(best_address), {}};
            }
        }
        if (memcmp(address, call.target, 20) == 0)
            return Word{Word::TARGET, 0, {}};
        if (memcmp(address, call.sender, 20) == 0)
            return Word{Word::SENDER, 0, {}};
        if (memcmp(address, call.coinbase, 20) == 0)
            return Word{Word::COINBASE, 0, {}};
        return word(value, call);
    }

    static bool value_of(const Word& word, const CallSeen& call, u256* out) noexcept {
        switch (word.source) {
        case Word::DATA:
            if (word.offset + 32 > call.size)
                return false;
            u_from_be(out, call.data + word.offset);
            return true;
        case Word::SENDER:
            u_from_address(out, call.sender);
            return true;
        case Word::TARGET:
            u_from_address(out, call.target);
            return true;
        case Word::COINBASE:
            if (!call.coinbase)
                return false;
            u_from_address(out, call.coinbase);
            return true;
        default:
            *out = word.value;
            return true;
        }
    }

    // ---- forms

    static bool small(const u256& value) noexcept { return u_fits64(&value) && value.w[0] < (1u << 20); }

    // Which of the two words that were hashed is the slot of the mapping: a small number, or itself a hash.
    void explain(const u256& key, const CallSeen& call, const Preimages& preimages, Form* form) const noexcept {
        u256 slot = key;
        u256 keys[Form::MOST_LEVELS];
        bool last[Form::MOST_LEVELS];
        int levels = 0;
        while (levels < Form::MOST_LEVELS) {
            uint8_t offset = 0, inner = 0;
            const uint8_t* data = preimages.find(slot, &offset);
            if (!data || (levels && offset))
                break;
            u256 first, second;
            u_from_be(&first, data);
            u_from_be(&second, data + 32);
            const bool second_is_slot = small(second) || preimages.find(second, &inner);
            const bool first_is_slot = !second_is_slot && (small(first) || preimages.find(first, &inner));
            if (!second_is_slot && !first_is_slot)
                break;
            if (levels == 0)
                form->offset = offset;
            last[levels] = first_is_slot;
            keys[levels++] = first_is_slot ? second : first;
            slot = first_is_slot ? first : second;
        }
        form->levels = static_cast<uint8_t>(levels);
        form->slot = levels ? Word{Word::CONSTANT, 0, slot} : word(slot, call);
        for (int i = 0; i < levels; ++i) {          // found from the outside in
            form->keys[i] = word(keys[levels - 1 - i], call);
            form->key_last[i] = last[levels - 1 - i];
        }
    }

    // The machine has forgotten what was hashed to this slot: perhaps it is an entry of a mapping of which another entry
    // was read as well, with another word of the call as key.
    void search(const u256& key, const CallSeen& call, const std::vector<Form>& others, Form* form) const noexcept {
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
            for (size_t at = other.keys[0].offset % 32; at + 32 <= call.size && at < MOST_DATA; at += 32) {
                tried.keys[0].offset = static_cast<uint32_t>(at);
                tried.address = Word{Word::TARGET, 0, {}};
                StateKey found;
                if (fill_in(tried, call, hashing(), &found) && u_eq(&found.slot, &key)) {
                    *form = tried;
                    return;
                }
            }
        }
    }

    template <class Pair>
    static bool fill_in(const Form& form, const CallSeen& call, const Pair& pair, StateKey* key) noexcept {
        u256 address, slot, value;
        if (!value_of(form.address, call, &address) || address.w[3] || address.w[2] >> 32)
            return false;
        *key = StateKey{};
        u_to_address(key->address.data(), &address);
        key->is_slot = form.is_slot;
        if (!form.is_slot)
            return true;
        if (!value_of(form.slot, call, &slot))
            return false;
        for (int i = 0; i < form.levels; ++i) {
            uint8_t data[64];
            if (!value_of(form.keys[i], call, &value))
                return false;
            u_to_be(data + (form.key_last[i] ? 32 : 0), &value);
            u_to_be(data + (form.key_last[i] ? 0 : 32), &slot);
            pair(data, &slot);
        }
        u_add64(&slot, &slot, form.offset);
        key->slot = slot;
        return true;
    }

    // Which predictions would have been right.
    void judge(Function& function, const CallSeen& call, const std::vector<StateKey>& seen) {
        uint64_t made = 0, right = 0;
        std::vector<bool> foreseen(seen.size());
        for (Form& form : function.forms) {
            StateKey key;
            const bool filled = fill_in(form, call, hashing(), &key);
            const auto place = filled ? std::lower_bound(seen.begin(), seen.end(), key) : seen.end();
            const bool there = place != seen.end() && *place == key;
            if (form.weight >= WORTH_FETCHING) {
                ++made;
                right += there;
                if (there)
                    foreseen[static_cast<size_t>(place - seen.begin())] = true;
            }
            form.weight += RATE * ((there ? 1.0f : 0.0f) - form.weight);
        }
        if (!function.forms.empty())
            function.whole = std::find(foreseen.begin(), foreseen.end(), false) == foreseen.end();
        predicted.fetch_add(made, std::memory_order_relaxed);
        came_true.fetch_add(right, std::memory_order_relaxed);
        read.fetch_add(seen.size(), std::memory_order_relaxed);
    }

    static void add(Function& function, Form& form) {
        for (Form& known : function.forms) {
            if (known.same(form)) {
                known.has_code = form.has_code;
                known.code_hash = form.code_hash;
                return;
            }
        }
        form.weight = FIRST_WEIGHT;
        if (function.forms.size() < MOST_FORMS) {
            function.forms.push_back(form);
            return;
        }
        auto least = std::min_element(function.forms.begin(), function.forms.end(),
                                      [](const Form& a, const Form& b) { return a.weight < b.weight; });
        if (least->weight < FIRST_WEIGHT)
            *least = form;
    }

    const Hasher hasher_;
    mutable std::mutex mutex_;
    std::unordered_map<Key, Function, KeyHash> functions_;
    std::map<Address, Hash, AddressOrder> targets_;         // code of addresses that were called
    std::unordered_map<uint32_t, Key> namesakes_;           // by selector: the function that was learnt last
    uint64_t clock_ = 0;
};

// ---- for callers without exceptions: where memory is short nothing is predicted or learnt

// A run that was complete, told piece by piece.
class Lesson {
public:
    void account(const uint8_t* address, const uint8_t* code_hash) noexcept {
        guarded([&] { accounts_.push_back(AccountSeen{address, code_hash}); });
    }
    void slot(const uint8_t* address, const u256* key) noexcept {
        guarded([&] { slots_.push_back(SlotSeen{address, *key}); });
    }
    void hashed(const uint8_t* data, const u256* digest) noexcept {
        guarded([&] { preimages_.add(data, digest); });
    }
    size_t slots() const noexcept { return slots_.size(); }

    void learn(AccessBook& book, const CallSeen& call, const uint8_t* code_hash) noexcept {
        if (whole_)
            guarded([&] { book.learn(call, code_hash, accounts_, slots_, preimages_); });
    }

private:
    template <class Step>
    void guarded(const Step& step) noexcept {
        try {
            step();
        } catch (...) {
            whole_ = false;
        }
    }

    std::vector<AccountSeen> accounts_;
    std::vector<SlotSeen> slots_;
    Preimages preimages_;
    bool whole_ = true;
};

}  // namespace evmcore::cache

#endif
