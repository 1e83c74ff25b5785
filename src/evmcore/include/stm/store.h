// The multi-version store: the writes of all transactions of a block. A transaction reads from it the latest write
// before its own number.
//
// A location is an account or a storage slot, found by its full key through a table that only grows. An account has
// four cells (balance, nonce, code, life), so that transactions which touch different parts of it do not conflict; a
// slot has one cell. A cell is a list of versions, highest transaction first. Versions are linked once and never
// unlinked during a block, so readers need no lock. The content of a version is one atomic word: it points to an
// immutable value, or says that the transaction's latest run wrote nothing there. The lowest bit of the word marks an
// estimate: the incarnation that wrote the value was wrong, and the next one will likely write there again. Nothing is
// freed before the block ends.
//
// Transactions are numbered from 1. Number 0 stands for the changes that the block made before its transactions.
#pragma once
#include <cstddef>
#include <cstring>

#include "../empty_code.h"
#include "../keyed_hash.h"
#include "../prefetch.h"
#include "../u256.h"
#include "arena.h"
#include "delays.h"
#include "shared.h"

namespace evmcore::stm {

using TxIndex = uint32_t;

enum Part { kBalance = 0, kNonce = 1, kCode = 2, kLife = 3, kParts = 4 };  // a slot's only cell is number 0

struct Value {
    u256 word;          // balance or slot value; w[0]: nonce; 32 bytes of code hash; life: w[0] exists, w[1] != 0 wiped storage
    void* code;         // of a code cell
    bool delta;         // a balance or slot value: to be added to what was there, modulo 2**256
};

struct Version {
    TxIndex tx;
    Shared<uintptr_t> value;           // Value*, with bit 0 set for an estimate; 0: nothing
    Shared<Version*> next;
    Value first;                       // its first value, stored inside the version so that a reader waits for memory once
};

struct Cell {
    Shared<Version*> head{nullptr};
};

struct Seen {
    const Value* value;                // nullptr: no earlier transaction wrote; the base counts
    TxIndex writer;
    bool estimate;
};

struct Base {                          // before the block
    u256 balance;                      // of a slot: its value
    uint64_t nonce;
    uint8_t code_hash[32];
    bool exists;
    bool has_storage;
};

// Three cache lines of 64 bytes: the key, which does not change; most of the base, which is written once; and what the
// workers write.
//
// A location apart is no part of the store. A run that ignores the writes of other transactions makes it for itself, to
// hold what it found before the block. Its memory ends where the cells would begin: nothing is ever written there.
struct Location {
    uint64_t hash;                     // of a location apart: its `main_number`
    uint8_t address[20];
    bool is_slot;
    bool apart;
    u256 slot;

    Base base;
    Shared<uint32_t> base_state;       // 0: unknown, 1: being written, 2: known
    Shared<bool> written;              // a version was linked here at some time
    Shared<void*> base_code;           // of the base's code hash, once a worker has looked it up; lives as long as the block
    Cell cells[kParts];

    void* code() const { return base_code.load(std::memory_order_acquire); }

    // False: another worker has stored one already.
    bool keep_code(void* code) {
        void* none = nullptr;
        return base_code.replace(none, code, std::memory_order_acq_rel);
    }

    bool base_known() const { return base_state.load(std::memory_order_acquire) == 2; }

    void set_base(const Base& value) {
        uint32_t unknown = 0;
        if (base_state.replace(unknown, 1, std::memory_order_acquire)) {
            base = value;
            base_state.store(2, std::memory_order_release);
            return;
        }
        for (unsigned turn = 0; !base_known();) turn = pause(turn);    // another worker is copying the same few words
    }
};

constexpr size_t kLine = 64;
static_assert(sizeof(Location) == 3 * kLine);

inline Seen latest(const Cell& cell, TxIndex before) {
    for (Version* at = cell.head.load(std::memory_order_acquire); at != nullptr; at = at->next.load(std::memory_order_acquire)) {
        if (at->tx >= before) continue;
        const uintptr_t word = at->value.load(std::memory_order_acquire);
        if (word != 0) return {reinterpret_cast<const Value*>(word & ~uintptr_t{1}), at->tx, (word & 1) != 0};
    }
    return {nullptr, 0, false};
}

// The last transaction before `before` that wiped the account's storage, 0: none. Only what was written after it
// counts. A life cell speaks of its own transaction alone: a transaction that changes `exists` may not know of an
// earlier wipe.
inline TxIndex wiped_before(const Location& account, TxIndex before) {
    for (Version* at = account.cells[kLife].head.load(std::memory_order_acquire); at != nullptr;
         at = at->next.load(std::memory_order_acquire)) {
        if (at->tx >= before) continue;
        const uintptr_t word = at->value.load(std::memory_order_acquire);
        if (word != 0 && reinterpret_cast<const Value*>(word & ~uintptr_t{1})->word.w[1] != 0) return at->tx;
    }
    return 0;
}

// The numeric value of a cell before a transaction: deltas are summed up to the latest absolute value, or to `base` if
// no transaction wrote one. Writes of transactions before `from` do not count.
inline void sum_before(const Cell& cell, TxIndex before, TxIndex from, const u256& base, u256* sum) {
    u_zero(sum);
    for (Version* at = cell.head.load(std::memory_order_acquire); at != nullptr && at->tx >= from;
         at = at->next.load(std::memory_order_acquire)) {
        if (at->tx >= before) continue;
        const uintptr_t word = at->value.load(std::memory_order_acquire);
        if (word == 0) continue;
        const Value* value = reinterpret_cast<const Value*>(word & ~uintptr_t{1});
        u_add(sum, sum, &value->word);
        if (!value->delta) return;
    }
    u_add(sum, sum, &base);
}

inline bool is_written(const Location* location) { return location->written.load(std::memory_order_acquire); }

// An account as a transaction finds it, but its balance may be left as it was before the block. False: the balance is
// exact too. The base must be known.
inline bool account_roughly_before(const Location& account, TxIndex before, Base* found) {
    *found = account.base;
    if (!is_written(&account)) return false;
    const Value* nonce = latest(account.cells[kNonce], before).value;
    const Value* code = latest(account.cells[kCode], before).value;
    const Value* life = latest(account.cells[kLife], before).value;
    if (nonce != nullptr) found->nonce = nonce->word.w[0];
    if (code != nullptr) std::memcpy(found->code_hash, &code->word, 32);
    if (life != nullptr) {
        found->exists = life->word.w[0] != 0;
        if (wiped_before(account, before) != 0) found->has_storage = false;
    }
    if (found->exists) return account.cells[kBalance].head.load(std::memory_order_acquire) != nullptr;
    sum_before(account.cells[kBalance], before, 0, account.base.balance, &found->balance);
    // Its existence may come from credits by transactions that saw it exist and so did not write the life cell.
    found->exists =
        found->nonce != 0 || !u_is_zero(&found->balance) || std::memcmp(found->code_hash, EMPTY_CODE_HASH, 32) != 0;
    return false;
}

inline void balance_before(const Location& account, TxIndex before, u256* balance) {
    sum_before(account.cells[kBalance], before, 0, account.base.balance, balance);
}

// The value of a slot before a transaction. Both bases must be known, the slot's only if its account existed. A write
// counts unless the account's storage was wiped later; a transaction that wipes the storage notes only its writes after
// that.
inline void slot_before(const Location& slot, const Location& account, TxIndex before, u256* value) {
    const TxIndex wiped = wiped_before(account, before);
    const u256 zero{};
    sum_before(slot.cells[0], before, wiped, wiped != 0 ? zero : slot.base.balance, value);
}

// A new location apart, whose base the caller fills in. nullptr: no memory.
inline Location* new_apart(Arena& arena, const uint8_t* address, const u256* slot) {
    Location* fresh = static_cast<Location*>(arena.take(offsetof(Location, cells)));
    if (fresh == nullptr) return nullptr;
    fresh->hash = 0;
    std::memcpy(fresh->address, address, 20);
    fresh->is_slot = slot != nullptr;
    fresh->apart = true;
    if (slot != nullptr) fresh->slot = *slot;
    new (&fresh->base_state) Shared<uint32_t>(2);
    new (&fresh->written) Shared<bool>(false);
    return fresh;
}

// A new version, which the caller fills in (`first`) and publishes. nullptr: no memory.
inline Version* new_version(Arena& arena) {
    Version* fresh = static_cast<Version*>(arena.take(sizeof(Version)));
    if (fresh != nullptr) std::memset(static_cast<void*>(&fresh->first), 0, sizeof(Value));
    return fresh;
}

// Links a transaction's version in a cell. If the transaction has one there already, that version takes over the value
// of `fresh`. Returns the version that is linked.
inline Version* publish(Location& location, int part, TxIndex tx, Version* fresh) {
    const uintptr_t value = reinterpret_cast<uintptr_t>(&fresh->first);
    Shared<Version*>* link = &location.cells[part].head;
    Version* at = link->load(std::memory_order_acquire);
    fresh->tx = tx;
    new (&fresh->value) Shared<uintptr_t>(value);
    for (;;) {
        while (at != nullptr && at->tx > tx) {
            link = &at->next;
            at = link->load(std::memory_order_acquire);
        }
        if (at != nullptr && at->tx == tx) {
            at->value.store(value, std::memory_order_release);
            return at;
        }
        new (&fresh->next) Shared<Version*>(at);
        // Only one worker at a time runs a transaction, so no other links the same number; others may link neighbouring
        // ones.
        if (link->replace(at, fresh, std::memory_order_acq_rel)) {
            if (!location.written.load(std::memory_order_relaxed)) location.written.store(true, std::memory_order_release);
            return fresh;
        }
    }
}

inline void replace(Version* version, const Value* value) {
    version->value.store(reinterpret_cast<uintptr_t>(value), std::memory_order_release);
}

inline bool is_estimate(const Version* version) { return (version->value.load(std::memory_order_acquire) & 1) != 0; }

inline void withdraw(Version* version) { version->value.store(0, std::memory_order_release); }

// Only the worker that runs or validates the writing transaction changes the content of its versions.
inline void mark_estimate(Version* version) {
    const uintptr_t word = version->value.load(std::memory_order_relaxed);
    if (word != 0) version->value.store(word | 1, std::memory_order_release);
}

struct Write {
    Location* location;
    Location* account;                 // of a slot
    Version* version;                  // before `publish_writes` the run's own, after it the linked one; nullptr: other
                                       // transactions do not see the write before it is final
    const Value* value;                // of the version, or `own`
    int part;
    Value own;
};

// Puts the writes of a transaction's latest run into the store, and withdraws those of its run before that were not
// repeated. In between, the old writes are estimates, so that no reader falls through to an older value.
inline void publish_writes(TxIndex tx, const Write* before, uint32_t before_count, Write* fresh, uint32_t fresh_count,
                           Delays& delays) {
    for (uint32_t i = 0; i < before_count; ++i) {
        STM_KNOWS(3, 0, i);
        if (before[i].version == nullptr) continue;
        mark_estimate(before[i].version);
        delay_point(delays);
    }
    for (uint32_t i = 0; i < fresh_count; ++i) {
        STM_KNOWS(3, 1, i);
        if (fresh[i].version == nullptr) continue;
        delay_point(delays);
        fresh[i].version = publish(*fresh[i].location, fresh[i].part, tx, fresh[i].version);
    }
    for (uint32_t i = 0; i < before_count; ++i) {
        STM_KNOWS(3, 2, i);
        if (before[i].version != nullptr && is_estimate(before[i].version)) {
            delay_point(delays);
            withdraw(before[i].version);
        }
    }
}

// Locations by key, with a fixed capacity. When it is full, `find` says so and the block goes on without speculation.
class Store {
public:
    Store() = default;
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
    ~Store() {
        std::free(locations_);
        std::free(table_);
        std::free(main_numbers_);
    }

    // Forgets everything and makes room for `locations` of them. False: no memory.
    bool prepare(size_t locations, const HashKey& key) {
        clear();
        key_ = key;
        size_t size = 64;
        while (size < 2 * locations) size *= 2;
        if (size > table_size_) {
            std::free(locations_);
            std::free(table_);
            std::free(main_numbers_);
            table_size_ = 0;
            locations_ = static_cast<Location*>(std::aligned_alloc(kLine, size / 2 * sizeof(Location)));
            table_ = static_cast<Shared<uint32_t>*>(std::calloc(size, sizeof(Shared<uint32_t>)));
            main_numbers_ = static_cast<uint32_t*>(std::calloc(size / 2, sizeof(uint32_t)));
            if (locations_ == nullptr || table_ == nullptr || main_numbers_ == nullptr) return false;
            table_size_ = size;
        }
        mask_ = size - 1;
        capacity_ = size / 2;
        used_.store(0, std::memory_order_relaxed);
        return true;
    }

    uint64_t hash(const uint8_t* address, const u256* slot) const {
        const uint64_t account = hash_address(key_, address);
        if (slot == nullptr) return account;
        const uint64_t inner = hash_words4(key_, slot->w) ^ 0x9e3779b97f4a7c15u;
        return account ^ (inner << 23 | inner >> 41);
    }

    // The location of an account (slot == nullptr) or of a storage slot; new ones are made. nullptr: the store is full.
    Location* find(const uint8_t* address, const u256* slot) {
        const uint64_t h = hash(address, slot);
        Location* fresh = nullptr;
        for (size_t at = h & mask_;; at = (at + 1) & mask_) {
            uint32_t number = table_[at].load(std::memory_order_acquire);
            if (number == 0) {
                if (fresh == nullptr) {
                    const uint32_t taken = used_.fetch_add(1, std::memory_order_relaxed);
                    if (taken >= capacity_) {
                        used_.store(static_cast<uint32_t>(capacity_), std::memory_order_relaxed);
                        return nullptr;
                    }
                    fresh = make(taken, h, address, slot);
                }
                const uint32_t mine = static_cast<uint32_t>(fresh - locations_) + 1;
                if (table_[at].replace(number, mine, std::memory_order_acq_rel)) {
                    return fresh;
                }
            }
            Location* other = &locations_[number - 1];
            if (other->hash == h && same(*other, address, slot)) return other;  // a lost `fresh` stays unused
        }
    }

    // The number of a location's entry in the block's working set, 0: not known. Only the committer uses it.
    uint32_t main_number(const Location* location) const {
        return location->apart ? static_cast<uint32_t>(location->hash) : main_numbers_[location - locations_];
    }
    void set_main_number(Location* location, uint32_t number) {
        if (location->apart) location->hash = number;
        else main_numbers_[location - locations_] = number;
    }

    // Prefetches the parts that the committer will need of a location made by another worker.
    void ask_for(const Location* location) const {
        prefetch(location, 2 * kLine);
        prefetch(&main_numbers_[location - locations_], sizeof(uint32_t));
    }

    size_t used() const { return used_.load(std::memory_order_relaxed); }
    size_t bytes_used() const { return (mask_ + 1) * sizeof(Shared<uint32_t>) + used() * (sizeof(Location) + sizeof(uint32_t)); }
    size_t held() const { return table_size_ * sizeof(Shared<uint32_t>) + table_size_ / 2 * (sizeof(Location) + sizeof(uint32_t)); }

private:
    friend struct Inspect;             // tests/native

    // Empties the table: only the used places, if they are few. Every used place lies in a run of used places that
    // begins at the home of some location that was made, and every home is visited.
    void clear() {
        const size_t count = used();
        if (table_size_ == 0) return;
        if (count > (mask_ + 1) / 16) {
            std::memset(static_cast<void*>(table_), 0, (mask_ + 1) * sizeof(Shared<uint32_t>));
        } else {
            for (size_t i = 0; i < count; ++i)
                for (size_t at = locations_[i].hash & mask_; table_[at].load(std::memory_order_relaxed) != 0; at = (at + 1) & mask_)
                    table_[at].store(0, std::memory_order_relaxed);
        }
        std::memset(main_numbers_, 0, count * sizeof(uint32_t));
        used_.store(0, std::memory_order_relaxed);
    }

    Location* make(uint32_t number, uint64_t h, const uint8_t* address, const u256* slot) {
        Location* fresh = new (&locations_[number]) Location;
        fresh->hash = h;
        std::memcpy(fresh->address, address, 20);
        fresh->is_slot = slot != nullptr;
        fresh->apart = false;
        if (slot != nullptr) fresh->slot = *slot;
        fresh->base_state.store(0, std::memory_order_relaxed);
        fresh->written.store(false, std::memory_order_relaxed);
        fresh->base_code.store(nullptr, std::memory_order_relaxed);
        return fresh;
    }

    static bool same(const Location& location, const uint8_t* address, const u256* slot) {
        return location.is_slot == (slot != nullptr) && std::memcmp(location.address, address, 20) == 0 &&
               (slot == nullptr || u_eq(&location.slot, slot));
    }

    HashKey key_{};
    Location* locations_ = nullptr;
    Shared<uint32_t>* table_ = nullptr;
    uint32_t* main_numbers_ = nullptr;
    size_t table_size_ = 0, mask_ = 0, capacity_ = 0;
    alignas(kLine) Shared<uint32_t> used_{0};      // written by every worker that finds a new key
};

}  // namespace evmcore::stm
