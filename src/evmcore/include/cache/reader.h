// One reader of the cache: a view of it, what it found missing, and what was fetched for it alone.
#ifndef EVMCORE_CACHE_READER_H
#define EVMCORE_CACHE_READER_H

#include <array>
#include <map>
#include <pthread.h>
#include <set>

#include "layout.h"
#include "wire.h"

namespace evmcore::cache {

using Hash = std::array<uint8_t, 32>;

// An account, or one of its slots.
struct StateKey {
    std::array<uint8_t, 20> address;
    bool is_slot;
    u256 slot;

    static StateKey of_account(const uint8_t* address) noexcept {
        StateKey key = {};
        memcpy(key.address.data(), address, 20);
        return key;
    }
    static StateKey of_slot(const uint8_t* address, const u256* slot) noexcept {
        StateKey key = of_account(address);
        key.is_slot = true;
        key.slot = *slot;
        return key;
    }
    bool operator<(const StateKey& other) const noexcept {
        uint64_t mine, others;
        memcpy(&mine, address.data(), 8);
        memcpy(&others, other.address.data(), 8);
        if (mine != others)
            return __builtin_bswap64(mine) < __builtin_bswap64(others);
        if (!same_address(address.data(), other.address.data()))
            return memcmp(address.data(), other.address.data(), 20) < 0;
        if (!is_slot || !other.is_slot)
            return is_slot < other.is_slot;
        return u_lt(&slot, &other.slot);
    }
    bool operator==(const StateKey& other) const noexcept {
        return same_address(address.data(), other.address.data()) && is_slot == other.is_slot &&
               (!is_slot || u_eq(&slot, &other.slot));
    }
};

enum class Answer {
    KNOWN,
    MISSING,        // to be fetched
    UNKNOWN,        // no use in asking Redis: the state holds only some accounts or slots, and not this one
    EXPIRED,        // the window has passed the view
};

class Reader {
public:
    View view;
    bool complete_state = true;         // an account without a key does not exist
    bool has_upstream = false;          // somebody can be asked for what is UNKNOWN, so runs go on after it
    bool speculating = false;           // what is missing is noted and answered as empty
    int64_t stop_at = 0;                // when the run is to end because it is a guess only (monotonic ns; 0: it is none)
    int64_t guess_ns = 1'000'000;       // how long runs go on after something was missing
    size_t most_missing = 512;          // and up to how many things
    std::atomic<uint64_t> reads{0};     // of finished runs
    int rounds = 0;                     // of fetching, for the run that is under way
    std::atomic<bool> surprised{false}; // it missed something though something was known of such calls, or nothing was

    std::atomic<bool> by_name{false};   // what was predicted rests on another function of the same selector
    std::atomic<bool> strange{false};   // nothing was known of such calls
    // The thread whose call has begun on guesses, and what it misses first may be fetched at once. 0: none.
    std::atomic<uintptr_t> caller{0};
    bool at_once = false;               // if so

    std::vector<u256> words;            // of strange calls, that look like addresses; guarded by `mutex`
    std::vector<StateKey> chased;       // accounts that were fetched because their addresses lay in slots
    std::vector<StateKey> followed;     // was fetched last, and what it leads to was not looked at yet

    // What the run could not know, in the order in which it asked. Guarded by `mutex`: batches run on many threads.
    std::mutex mutex;
    std::vector<StateKey> missing, guesses, unknown;
    std::vector<Hash> missing_codes;
    std::atomic<bool> incomplete{false};    // any of them
    bool unknown_first = false;             // what came first, and so is certainly needed, is in `unknown`

    void* owner = nullptr;                  // of whoever made the reader

    // ---- reading, inside a section

    Answer account(const uint8_t* address, AccountRecord* out) noexcept {
        if (!view.usable)
            return Answer::EXPIRED;
        const bool here = view.cache->account(view.seq, address, out);
        if (here && (out->presence != NO_KEY || complete_state))
            return Answer::KNOWN;
        if (find_own(own_accounts_, StateKey::of_account(address), out))
            return Answer::KNOWN;
        return here || lacks(StateKey::of_account(address)) ? Answer::UNKNOWN : Answer::MISSING;
    }

    Answer slot(const uint8_t* address, const u256* key, u256* out) noexcept {
        SlotValue found;
        if (!view.usable)
            return Answer::EXPIRED;
        const bool here = view.cache->slot(view.seq, address, key, &found);
        const Answer told = here && found.known ? changes_told(address) : Answer::UNKNOWN;
        if (told == Answer::KNOWN) {
            *out = found.value;
            return Answer::KNOWN;
        }
        if (find_own(own_slots_, StateKey::of_slot(address, key), out))
            return Answer::KNOWN;
        AccountRecord record;
        if (account(address, &record) == Answer::KNOWN &&
            (record.presence != EXISTS || (record.storage_complete && record.slot_count == 0))) {
            u_zero(out);
            return Answer::KNOWN;
        }
        if (told == Answer::MISSING)
            return Answer::MISSING;
        return here || lacks(StateKey::of_slot(address, key)) ? Answer::UNKNOWN : Answer::MISSING;
    }

    // Whether everything of an address is missing.
    bool knows_nothing_of(const uint8_t* address) const noexcept {
        return view.usable && !owns_.load(std::memory_order_acquire) && view.cache->knows_nothing_of(address);
    }

    // ---- what was fetched, but is not to be had from the cache: true at this view's step only, or evicted at once

    void own_account(const uint8_t* address, const AccountRecord& record) {
        std::lock_guard<std::mutex> guard(own_mutex_);
        own_accounts_[StateKey::of_account(address)] = record;
        owns_.store(true, std::memory_order_release);
    }
    void own_slot(const uint8_t* address, const u256* key, const u256& value) {
        std::lock_guard<std::mutex> guard(own_mutex_);
        own_slots_[StateKey::of_slot(address, key)] = value;
        owns_.store(true, std::memory_order_release);
    }
    // Redis has been asked: the state is incomplete and lacks it.
    void note_lack(const StateKey& key) {
        std::lock_guard<std::mutex> guard(own_mutex_);
        nowhere_.insert(key);
        owns_.store(true, std::memory_order_release);
    }

    // ---- noting what is missing. False: the guess has gone on for long enough.

    bool note(const StateKey& key, bool known_to_nobody) noexcept {
        std::lock_guard<std::mutex> guard(mutex);
        if (known_to_nobody && missing.empty() && missing_codes.empty())
            unknown_first = true;
        try {
            (known_to_nobody ? unknown : missing).push_back(key);
        } catch (...) {
            return false;
        }
        return noted() && missing.size() + unknown.size() < most_missing && (has_upstream || !known_to_nobody);
    }

    bool note_code(const uint8_t* hash) noexcept {
        std::lock_guard<std::mutex> guard(mutex);
        try {
            missing_codes.emplace_back();
        } catch (...) {
            return false;
        }
        memcpy(missing_codes.back().data(), hash, 32);
        return noted() && missing_codes.size() < most_missing;
    }

    // What is to be fetched with the rest, though nobody has asked for it. Without memory it is not.
    void guess(const StateKey& key) noexcept {
        std::lock_guard<std::mutex> guard(mutex);
        try {
            guesses.push_back(key);
        } catch (...) {
        }
    }
    void guess_code(const Hash& hash) noexcept {
        std::lock_guard<std::mutex> guard(mutex);
        try {
            missing_codes.push_back(hash);
        } catch (...) {
        }
    }

    // What is missing is fetched with what is guessed. False: no memory.
    bool join_guesses() noexcept {
        try {
            guesses.insert(guesses.end(), missing.begin(), missing.end());
        } catch (...) {
            return false;
        }
        missing.clear();
        return true;
    }

    // A call begins, and ends, on this thread. Only one is attended to at a time.
    bool begin_call() noexcept {
        uintptr_t nobody = 0;
        return speculating && at_once && caller.compare_exchange_strong(nobody, this_thread(), std::memory_order_relaxed);
    }
    void end_call() noexcept {
        if (in_call())
            caller.store(0, std::memory_order_relaxed);
    }
    bool in_call() const noexcept { return caller.load(std::memory_order_relaxed) == this_thread(); }

    // Of one piece of work. `learn`: also from what goes as predicted.
    void begin_work(bool learn) noexcept {
        surprised.store(learn, std::memory_order_relaxed);
        by_name.store(false, std::memory_order_relaxed);
        strange.store(false, std::memory_order_relaxed);
        rounds = 0;
        caller.store(0, std::memory_order_relaxed);
        words.clear();
        chased.clear();
        followed.clear();
    }

    void forget_missing() noexcept {
        missing.clear();
        guesses.clear();
        unknown.clear();
        missing_codes.clear();
        unknown_first = false;
        incomplete.store(false, std::memory_order_relaxed);
        stop_at = 0;
    }

private:
    // Whether the feed has told of all changes of an account's slots, as it does of accounts that are in the state: of
    // an incomplete one, a cached slot says nothing about steps at which its account was not there.
    Answer changes_told(const uint8_t* address) const noexcept {
        if (complete_state)
            return Answer::KNOWN;
        AccountRecord record;
        if (view.cache->account(view.seq, address, &record))
            return record.presence != NO_KEY ? Answer::KNOWN : Answer::UNKNOWN;
        const StateKey key = StateKey::of_account(address);
        if (lacks(key))
            return Answer::UNKNOWN;
        return find_own(own_accounts_, key, &record) ? Answer::KNOWN : Answer::MISSING;
    }

    static uintptr_t this_thread() noexcept { return (uintptr_t)pthread_self(); }

    bool lacks(const StateKey& key) const noexcept {
        if (!owns_.load(std::memory_order_acquire))
            return false;
        std::lock_guard<std::mutex> guard(own_mutex_);
        return nowhere_.count(key);
    }

    template <class Own, class Value>
    bool find_own(const Own& own, const StateKey& key, Value* out) const noexcept {
        if (!owns_.load(std::memory_order_acquire))
            return false;
        std::lock_guard<std::mutex> guard(own_mutex_);
        const auto found = own.find(key);
        if (found == own.end())
            return false;
        *out = found->second;
        return true;
    }

    bool noted() noexcept {
        const int64_t now = monotonic_now();
        if (!incomplete.exchange(true, std::memory_order_relaxed)) {
            __atomic_store_n(&stop_at, now + guess_ns, __ATOMIC_RELAXED);
            return true;
        }
        return now < stop_at;
    }

    // Whoever misses something brings it in, while others look: guarded by `own_mutex_`.
    mutable std::mutex own_mutex_;
    std::map<StateKey, AccountRecord> own_accounts_;
    std::map<StateKey, u256> own_slots_;
    std::set<StateKey> nowhere_;
    std::atomic<bool> owns_{false};         // any of them
};

}  // namespace evmcore::cache

#endif
