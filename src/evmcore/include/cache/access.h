// What calls read, learnt from what calls like them have read: by the code that is called and the function's selector.
//
// Most of what a function reads is the same every time, or follows from the call. `learn` finds such forms (`forms.h`) in
// what a run has read and hashed; `predict` fills them in for another call. A form that does not come true loses weight,
// and in the end its place. Safe for use from any thread. Predictions are guesses: nothing follows from a wrong one.
#ifndef EVMCORE_CACHE_ACCESS_H
#define EVMCORE_CACHE_ACCESS_H

#include <algorithm>
#include <unordered_map>

#include "forms.h"

namespace evmcore::cache {

// An account that a run has read.
struct AccountSeen {
    const uint8_t* address;
    const uint8_t* code_hash;   // NULL: no code
};

struct SlotSeen {
    const uint8_t* address;
    u256 key;
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
            if (form.weight < WORTH_FETCHING || !form.fill_in(call, pair, &key))
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
            form.find_address(account.address, call);
            form.has_code = account.code_hash != nullptr;
            if (form.has_code)
                memcpy(form.code_hash.data(), account.code_hash, 32);
            add(function, form);
        }
        std::vector<Form> forms(slots.size());
        for (size_t i = 0; i < slots.size(); ++i)
            forms[i].explain(slots[i].key, call, preimages);
        for (size_t i = 0; i < slots.size(); ++i) {
            if (forms[i].levels == 0 && slots[i].key.w[3])
                forms[i].search(slots[i].key, call, forms, Pairs{hasher_});
            forms[i].find_address(slots[i].address, call);
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
    struct Pairs {                      // hashes 64 bytes, as `fill_in` wants it
        Hasher hasher;
        void operator()(const uint8_t* data, u256* result) const noexcept {
            uint8_t digest[32];
            hasher(data, 64, digest);
            u_from_be(result, digest);
        }
    };
    using Address = std::array<uint8_t, 20>;
    struct AddressOrder {
        bool operator()(const Address& a, const Address& b) const noexcept { return a < b; }
    };

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

    // Which predictions would have been right.
    void judge(Function& function, const CallSeen& call, const std::vector<StateKey>& seen) {
        uint64_t made = 0, right = 0;
        std::vector<bool> foreseen(seen.size());
        for (Form& form : function.forms) {
            StateKey key;
            const bool filled = form.fill_in(call, Pairs{hasher_}, &key);
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
