// What is fetched together with what a run has missed: what calls like it have read (access.h), or, for calls that nothing
// is known of, what contracts mostly read. Functions here are called inside a section of the reader's view.
//
// A guess costs about a microsecond of the server's time, a request to come costs a round trip. So calls that are new get
// generous guesses: the first slots of contracts, where they keep what they always need; entries of their first mappings
// under the words of the call; the implementation of a proxy; and accounts whose addresses were found in slots.
#ifndef EVMCORE_CACHE_GUESSES_H
#define EVMCORE_CACHE_GUESSES_H

#include "access.h"

namespace evmcore::cache {

using HaveCode = int (*)(const uint8_t* code_hash);
using HashPair = void (*)(void* machine, const uint8_t* data, u256* result);     // which may remember it

constexpr uint64_t FIRST_SLOTS = 12;
constexpr size_t MOST_WORDS = 64;           // of a call that are looked at
constexpr size_t MOST_STRANGERS = 16;       // accounts at once that are met on the way

// A word of twelve zero bytes and an address; a number that is as large is not likely. Addresses have no long runs of
// zeros; what lies across the border of two words often has.
inline bool like_address(const u256& word) noexcept {
    return word.w[3] == 0 && word.w[2] != 0 && word.w[2] >> 32 == 0 && word.w[1] != 0 && (word.w[0] & 0xffffffff) != 0;
}

// Where a proxy keeps its implementation (EIP-1967).
inline u256 implementation_slot() noexcept {
    return u256{{0x20a3ca505d382bbcull, 0xca3e2076cc3735a9ull, 0x0667c828492db98dull, 0x360894a13ba1a321ull}};
}

// What is expected of the call and not here.
inline Prospect predict_into(Reader& reader, AccessBook& book, const CallSeen& call, HashPair pair, void* machine,
                             HaveCode have_code) {
    AccountRecord record;
    u256 value;
    const uint8_t* code_hash = nullptr;
    if (reader.account(call.target, &record) == Answer::KNOWN) {
        if (record.presence != EXISTS)
            return {Basis::FUNCTION, false};
        code_hash = record.code_hash;
    }
    std::vector<StateKey> wanted;
    std::array<uint8_t, 20> address = {};
    bool strange = reader.knows_nothing_of(address.data());
    const Prospect prospect = book.predict(
        call, code_hash, [&](const uint8_t* data, u256* result) { pair(machine, data, result); },
        [&](const StateKey& key) {
            if (key.address != address) {
                address = key.address;
                strange = reader.knows_nothing_of(address.data());
            }
            if (strange || (key.is_slot ? reader.slot(address.data(), &key.slot, &value)
                                        : reader.account(address.data(), &record)) == Answer::MISSING)
                wanted.push_back(key);
        },
        [&](const Hash& hash) {
            if (!have_code(hash.data()))
                reader.guess_code(hash);
        });
    std::lock_guard<std::mutex> guard(reader.mutex);
    reader.guesses.insert(reader.guesses.end(), wanted.begin(), wanted.end());
    return prospect;
}

inline bool is_missing(Reader& reader, const uint8_t* address) noexcept {
    AccountRecord record;
    return reader.account(address, &record) == Answer::MISSING;
}

inline void guess_first_slots(Reader& reader, const uint8_t* address) {
    u256 slot = implementation_slot();
    reader.guess(StateKey::of_slot(address, &slot));
    for (uint64_t i = 0; i < FIRST_SLOTS; ++i) {
        slot = u256{{i, 0, 0, 0}};
        reader.guess(StateKey::of_slot(address, &slot));
    }
}

// Entries of a contract's first mappings: under each of `singles` keys, and under each key in the mapping under the one
// before it.
inline void guess_entries(Reader& reader, AccessBook::Hasher hasher, const uint8_t* address, const u256* keys, size_t count,
                          size_t singles, uint64_t mappings) {
    const auto entry = [&](const u256& key, const u256& slot) {
        uint8_t data[64], digest[32];
        u256 result;
        u_to_be(data, &key);
        u_to_be(data + 32, &slot);
        hasher(data, 64, digest);
        u_from_be(&result, digest);
        return result;
    };
    for (uint64_t i = 0; i < mappings; ++i) {
        for (size_t k = 0; k < count; ++k) {
            u256 outer = entry(keys[k], u256{{i, 0, 0, 0}});
            if (k < singles)
                reader.guess(StateKey::of_slot(address, &outer));
            if (k + 1 < count) {
                const u256 inner = entry(keys[k + 1], outer);
                reader.guess(StateKey::of_slot(address, &inner));
            }
        }
    }
}

// Of accounts that the run has met and did not know: they are likely to be called next.
inline void guess_for_strangers(Reader& reader, const CallSeen& call) {
    std::vector<StateKey> strangers;
    {
        std::lock_guard<std::mutex> guard(reader.mutex);
        for (const StateKey& key : reader.missing)
            if (!key.is_slot && strangers.size() < MOST_STRANGERS && memcmp(key.address.data(), call.target, 20) != 0 &&
                memcmp(key.address.data(), call.sender, 20) != 0 && memcmp(key.address.data(), call.coinbase, 20) != 0)
                strangers.push_back(key);
    }
    for (const StateKey& key : strangers)
        guess_first_slots(reader, key.address.data());
}

// Those that every call has.
inline void guess_accounts(Reader& reader, const CallSeen& call) {
    for (const uint8_t* address : {call.target, call.sender, call.coinbase})
        if (address && is_missing(reader, address))
            reader.guess(StateKey::of_account(address));
}

// Of a call that nothing is known of: its accounts, those whose addresses are in its data, and slots of the target and of
// the first account that is named to it.
inline void guess_into(Reader& reader, AccessBook::Hasher hasher, const CallSeen& call) {
    constexpr size_t MOST_KEYS = 3, MOST_OTHER_KEYS = 4;
    constexpr uint64_t MAPPINGS = 6;
    guess_accounts(reader, call);
    std::vector<u256> words;
    for (size_t at = 4; call.has_word(at) && words.size() < MOST_WORDS; at += 4) {
        u256 word;
        u_from_be(&word, call.data + at);
        if (!like_address(word))
            continue;
        uint8_t address[20];
        u_to_address(address, &word);
        if (is_missing(reader, address))
            reader.guess(StateKey::of_account(address));
        words.push_back(word);
        at += 28;
    }
    std::vector<u256> keys(words.begin(), words.begin() + static_cast<long>(std::min(words.size(), MOST_KEYS)));
    if (call.size >= 36 && keys.size() < MOST_KEYS) {       // a number, such as that of a token
        u256 first;
        u_from_be(&first, call.data + 4);
        if (!u_is_zero(&first) && !like_address(first))
            keys.insert(keys.begin(), first);
    }
    AccountRecord record;
    const Answer answer = reader.account(call.target, &record);
    if (answer == Answer::MISSING || (answer == Answer::KNOWN && record.slot_count)) {
        guess_first_slots(reader, call.target);
        guess_entries(reader, hasher, call.target, keys.data(), keys.size(), keys.size(), MAPPINGS);
    }
    if (words.size() > 2) {
        uint8_t address[20];
        u_to_address(address, &words[0]);
        guess_entries(reader, hasher, address, &words[1], std::min(words.size() - 1, MOST_OTHER_KEYS), 1, MAPPINGS);
    }
    std::lock_guard<std::mutex> guard(reader.mutex);
    if (reader.words.size() < MOST_WORDS)
        reader.words.insert(reader.words.end(), words.begin(), words.end());
}

// The one, or else the other.
inline Basis expect(Reader& reader, AccessBook& book, AccessBook::Hasher hasher, const CallSeen& call, HashPair pair,
                    void* machine, HaveCode have_code) noexcept {
    try {
        const Basis basis = predict_into(reader, book, call, pair, machine, have_code).basis;
        if (basis == Basis::FUNCTION || (basis == Basis::NAMESAKE && reader.rounds == 0)) {
            if (reader.rounds)
                guess_for_strangers(reader, call);
            else if (basis == Basis::NAMESAKE)
                guess_accounts(reader, call);
            return basis;
        }
        reader.strange.store(true, std::memory_order_relaxed);
        if (reader.rounds == 0)
            guess_into(reader, hasher, call);
        guess_for_strangers(reader, call);
    } catch (...) {
    }
    return Basis::NOTHING;
}

// A call that is running misses something for the first time. Whether such calls are known so well that it is better to
// fetch at once what they read, and run on with it, than to find out by running to the end on guesses: then all of it is
// in `guesses`, and otherwise nothing.
inline bool expect_all(Reader& reader, AccessBook& book, const CallSeen& call, HashPair pair, void* machine,
                       HaveCode have_code, const StateKey& missed) noexcept {
    try {
        const Prospect prospect = predict_into(reader, book, call, pair, machine, have_code);
        const bool target_missing = is_missing(reader, call.target);
        if (prospect.whole && (prospect.basis == Basis::FUNCTION || target_missing)) {
            if (prospect.basis == Basis::NAMESAKE) {
                guess_accounts(reader, call);
                reader.by_name.store(true, std::memory_order_relaxed);
            }
            std::lock_guard<std::mutex> guard(reader.mutex);
            if (std::find(reader.guesses.begin(), reader.guesses.end(), missed) != reader.guesses.end())
                return true;
        }
    } catch (...) {
    }
    std::lock_guard<std::mutex> guard(reader.mutex);
    reader.by_name.store(false, std::memory_order_relaxed);
    reader.guesses.clear();
    reader.missing_codes.clear();
    return false;
}

// What is known that a call will read, before it runs. Is added to `guesses`.
inline void foresee(Reader& reader, AccessBook& book, AccessBook::Hasher hasher, const CallSeen& call,
                    HaveCode have_code) noexcept {
    const HashPair pair = [](void* hash, const uint8_t* data, u256* result) {
        uint8_t digest[32];
        reinterpret_cast<AccessBook::Hasher>(hash)(data, 64, digest);
        u_from_be(result, digest);
    };
    try {
        const Prospect prospect = predict_into(reader, book, call, pair, reinterpret_cast<void*>(hasher), have_code);
        if (prospect.basis == Basis::NAMESAKE)
            guess_accounts(reader, call);
    } catch (...) {
    }
}

// For calls that nothing is known of, after `asked` was fetched: what is likely to be needed next, before the run that
// would say so. Accounts whose addresses lay in slots; and where the call carries calls, entries of the contracts that its
// words name, under the words behind them. Is added to `guesses`.
inline void follow_up(Reader& reader, AccessBook::Hasher hasher, const std::vector<StateKey>& asked) noexcept {
    constexpr size_t PLAIN_CALL = 5;            // words
    constexpr size_t MOST_KEYS = 4;
    constexpr uint64_t MAPPINGS = 4;
    try {
        for (const StateKey& key : asked) {
            u256 value;
            uint8_t address[20];
            if (!key.is_slot || reader.chased.size() == MOST_STRANGERS ||
                reader.slot(key.address.data(), &key.slot, &value) != Answer::KNOWN || !like_address(value))
                continue;
            u_to_address(address, &value);
            if (!is_missing(reader, address))
                continue;
            const StateKey account = StateKey::of_account(address);
            if (std::find(reader.chased.begin(), reader.chased.end(), account) != reader.chased.end())
                continue;
            reader.chased.push_back(account);
            reader.guess(account);
            guess_first_slots(reader, address);
        }
        const std::vector<u256> words = std::move(reader.words);
        reader.words.clear();
        if (words.size() <= PLAIN_CALL)
            return;
        for (size_t i = 0; i + 1 < words.size(); ++i) {
            uint8_t address[20];
            AccountRecord record;
            u_to_address(address, &words[i]);
            if (reader.account(address, &record) == Answer::KNOWN && record.presence == EXISTS && record.slot_count)
                guess_entries(reader, hasher, address, &words[i + 1], std::min(words.size() - i - 1, MOST_KEYS), 1, MAPPINGS);
        }
    } catch (...) {
    }
}

}  // namespace evmcore::cache

#endif
