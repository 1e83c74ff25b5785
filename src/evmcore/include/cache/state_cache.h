// Accounts and storage slots of one chain in this process, with their recent history: exact at every change in a window.
//
// The state changes in numbered steps (`seq`). Changes in (oldest, latest] are known here, each with old and new values.
// An entry holds a base value and, newest first, the values it got inside the window; a reader pinned at P takes the
// first of those that is not younger than P, or else the base. A key without an entry did not change in the window: what
// Redis says of it at any step of the window holds for the whole window. From this everything follows:
//
// - `apply` gives every changed key an entry, with the old value as base where there was none;
// - `add_account` and `add_slot` put in a value read at step R only if oldest <= R <= latest and there is no entry;
// - entries with history are not evicted; history is dropped when the window has moved past it (`fold`).
//
// Readers take no locks. They stand inside a section of their view (`View`), whose step the window does not pass as
// long as the view is open, and which keeps memory from being freed. All changes are made by one thread at a time,
// under `editing`. Functions answer with NO_MEMORY when there is none; after that from `apply` the cache is to be given up.
#ifndef EVMCORE_CACHE_STATE_CACHE_H
#define EVMCORE_CACHE_STATE_CACHE_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "../keyed_hash.h"
#include "../u256.h"
#include "epochs.h"
#include "index.h"
#include "slab.h"

namespace evmcore::cache {

enum Presence : uint8_t { EXISTS, IS_ABSENT, NO_KEY };      // NO_KEY: absent in a complete state, else unknown

struct AccountRecord {
    u256 balance;
    uint64_t nonce;
    uint64_t slot_count;
    uint8_t code_hash[32];
    uint32_t generation;
    Presence presence;
    bool storage_complete;      // slots that are not stored are zero; also true of accounts that do not exist
};

struct SlotValue {
    u256 value;
    bool known;                 // false: the account is known in part, and this slot of it is not
};

struct AccountVersion {
    uint64_t seq;
    std::atomic<AccountVersion*> next;
    AccountRecord record;
};

struct SlotVersion {
    uint64_t seq;               // and UNKNOWN
    std::atomic<SlotVersion*> next;
    u256 value;

    static constexpr uint64_t UNKNOWN = uint64_t(1) << 63;
};

struct alignas(16) Account {
    static constexpr uint32_t IN_USE = 1, KNOWN = 2, RECENT = 4, LEAVING = 8;   // without KNOWN it only owns slots

    std::atomic<AccountVersion*> head;
    std::atomic<uint32_t> state;
    uint32_t slots;                     // entries that name it
    uint8_t address[20];
    AccountRecord base;
};

struct alignas(16) Slot {
    static constexpr uintptr_t RECENT = 1, BASE_UNKNOWN = 2, LEAVING = 4, FLAGS = 15;

    std::atomic<SlotVersion*> head;
    std::atomic<uintptr_t> owner;       // Account*, and flags; zero: not in use
    u256 key;
    u256 base;

    Account* account() const noexcept {
        return reinterpret_cast<Account*>(owner.load(std::memory_order_relaxed) & ~FLAGS);
    }
};
static_assert(sizeof(Slot) == 80, "the room a slot takes is promised");

// What one step changes.
struct AccountChange {
    uint8_t address[20];
    AccountRecord before, after;
    bool record_changes;
    bool wiped;                         // its storage was destroyed in between
    size_t first_slot, slot_count;      // into the slots of the step
};

struct SlotChange {
    u256 key;
    SlotValue before, after;
};

enum class Added { ADDED, THERE, OUTSIDE, NO_MEMORY };

class StateCache;

// A reader's place in history. Opened at a step of the window; sections on it may be nested, and opened by any thread.
struct View {
    StateCache* cache = nullptr;
    uint64_t seq = 0;
    bool usable = false;                // inside a section: whether the step is still held
    std::mutex mutex;                   // guards what follows
    bool open = false;
    bool expired = false;               // the window has passed it; nobody was reading
    uint32_t sections = 0;
    uint32_t parity = 0;
    View* before = nullptr;             // the cache's list
    View* after = nullptr;
};

class StateCache {
public:
    static constexpr uint64_t LATEST = ~uint64_t(0);

    // The state after step `seq` is the first that is known. `ring`: steps before the latest that can be pinned;
    // `slack`: how many more a view that is open holds the window back before it is closed. `limit`: bytes.
    StateCache(const HashKey& key, uint64_t seq, uint64_t ring, uint64_t slack, size_t limit)
        : key_(key), ring_(ring), slack_(slack), limit_(limit), latest_(seq), oldest_(seq) {}
    StateCache(const StateCache&) = delete;
    StateCache& operator=(const StateCache&) = delete;
    ~StateCache() { epochs_.finish(this); }

    // ---- where it stands

    uint64_t latest() const noexcept { return latest_.load(std::memory_order_acquire); }
    uint64_t oldest() const noexcept { return oldest_.load(std::memory_order_acquire); }

    // Waits until step `seq` is known; false when it is not in time or the cache was given up. `deadline`: monotonic ns.
    bool wait_for(uint64_t seq, int64_t deadline) noexcept {
        if (latest() >= seq)
            return true;
        std::unique_lock<std::mutex> guard(news_mutex_);
        waiting_.fetch_add(1);
        const std::chrono::steady_clock::time_point until{std::chrono::nanoseconds(deadline)};
        news_.wait_until(guard, until, [&] { return latest() >= seq || given_up_.load(); });
        waiting_.fetch_sub(1);
        return latest() >= seq;
    }

    // It will follow the chain no more: nothing is added, and nobody need wait.
    void give_up() noexcept {
        std::lock_guard<std::mutex> guard(news_mutex_);
        given_up_.store(true);
        news_.notify_all();
    }
    bool given_up() const noexcept { return given_up_.load(std::memory_order_relaxed); }

    // ---- views

    // False: the step is outside of the window.
    bool open(View* view, uint64_t seq) noexcept {
        std::lock_guard<std::mutex> guard(views_mutex_);
        const uint64_t newest = latest();
        if (seq == LATEST)
            seq = newest;
        if (seq < oldest_.load(std::memory_order_relaxed) || seq > newest)
            return false;
        view->cache = this;
        view->seq = seq;
        view->open = true;
        view->expired = false;
        view->before = nullptr;
        view->after = views_;
        if (views_)
            views_->before = view;
        views_ = view;
        ++view_count_;
        return true;
    }

    // No section of it is open.
    void close(View* view) noexcept {
        std::lock_guard<std::mutex> guard(views_mutex_);
        if (!view->open)
            return;
        view->open = false;
        (view->before ? view->before->after : views_) = view->after;
        if (view->after)
            view->after->before = view->before;
        --view_count_;
    }

    void begin(View* view) noexcept {
        std::lock_guard<std::mutex> guard(view->mutex);
        if (view->sections++ == 0) {
            view->usable = !view->expired;
            view->parity = epochs_.enter();
        }
    }

    void end(View* view) noexcept {
        std::lock_guard<std::mutex> guard(view->mutex);
        if (--view->sections == 0)
            epochs_.leave(view->parity);
    }

    // ---- reading, inside a section. False: not here.

    bool account(uint64_t seq, const uint8_t* address, AccountRecord* out) const noexcept {
        const Account* account = find_account(address);
        if (!account)
            return false;
        const uint32_t state = account->state.load(std::memory_order_acquire);
        if (!(state & Account::KNOWN))
            return false;
        if (!(state & Account::RECENT))
            const_cast<Account*>(account)->state.fetch_or(Account::RECENT, std::memory_order_relaxed);
        *out = record_at(account, seq);
        return true;
    }

    // True also for a slot that is not known to anybody (`out->known`).
    bool slot(uint64_t seq, const uint8_t* address, const u256* key, SlotValue* out) const noexcept {
        const Slot* slot = find_slot(hash_of(address, key), address, key);
        if (!slot)
            return false;
        const uintptr_t owner = slot->owner.load(std::memory_order_relaxed);
        if (!(owner & Slot::RECENT))
            const_cast<Slot*>(slot)->owner.fetch_or(Slot::RECENT, std::memory_order_relaxed);
        const SlotVersion* version = slot->head.load(std::memory_order_acquire);
        while (version && (version->seq & ~SlotVersion::UNKNOWN) > seq)
            version = version->next.load(std::memory_order_acquire);
        if (version) {
            out->value = version->value;
            out->known = !(version->seq & SlotVersion::UNKNOWN);
        } else {
            out->value = slot->base;
            out->known = !(slot->owner.load(std::memory_order_relaxed) & Slot::BASE_UNKNOWN);
        }
        return true;
    }

    // ---- changing. All below needs `editing` held.

    std::mutex editing;

    // The next step; readers see it when this returns. `settle` is due then.
    Added apply(uint64_t seq, const std::vector<AccountChange>& accounts, const std::vector<SlotChange>& slots) noexcept {
        try {
            history_.emplace_back();
            Step& step = history_.back();
            step.seq = seq;
            step.accounts.reserve(accounts.size());
            step.slots.reserve(slots.size());
            hashes_.resize(slots.size());
        } catch (...) {
            if (!history_.empty() && history_.back().seq == seq)
                history_.pop_back();
            return Added::NO_MEMORY;
        }
        Step& step = history_.back();
        for (const AccountChange& change : accounts) {
            const uint64_t address_hash = hash_of(change.address);
            for (size_t i = change.first_slot; i < change.first_slot + change.slot_count; ++i)
                hashes_[i] = hash_of(address_hash, &slots[i].key);
        }
        // Most of these slots have not been touched for long, so they are far away: each is sent for ahead of its turn.
        for (size_t i = 0; i < slots.size() && i < 2 * AHEAD; ++i)
            slots_index_.prefetch(hashes_[i]);
        for (size_t i = 0; i < slots.size() && i < AHEAD; ++i)
            slots_index_.prefetch_entry(hashes_[i]);
        for (const AccountChange& change : accounts) {
            Account* account = account_for(change.address);
            if (!account || !change_account(account, seq, change, step))
                return Added::NO_MEMORY;
            for (size_t i = change.first_slot; i < change.first_slot + change.slot_count; ++i) {
                if (i + 2 * AHEAD < slots.size())
                    slots_index_.prefetch(hashes_[i + 2 * AHEAD]);
                if (i + AHEAD < slots.size())
                    slots_index_.prefetch_entry(hashes_[i + AHEAD]);
                if (!change_slot(account, hashes_[i], seq, slots[i], step))
                    return Added::NO_MEMORY;
            }
        }
        {
            std::lock_guard<std::mutex> guard(news_mutex_);
            latest_.store(seq, std::memory_order_release);
            if (waiting_.load())
                news_.notify_all();
        }
        return Added::ADDED;
    }

    // After `apply` of so many accounts and slots: the window moves on, and what nobody can see any more goes.
    void settle(size_t changes) noexcept {
        move_window();
        epochs_.advance(this);
        make_room(changes);
    }

    // A value read at step `seq`, which holds for the whole window if there is no entry yet.
    Added add_account(uint64_t seq, const uint8_t* address, const AccountRecord& record) noexcept {
        if (!inside(seq))
            return Added::OUTSIDE;
        Account* account = account_for(address);
        if (!account)
            return Added::NO_MEMORY;
        if (account->state.load(std::memory_order_relaxed) & Account::KNOWN)
            return Added::THERE;
        account->base = record;
        account->state.fetch_or(Account::KNOWN | Account::RECENT, std::memory_order_release);
        make_room(1);
        return Added::ADDED;
    }

    Added add_slot(uint64_t seq, const uint8_t* address, const u256* key, const u256* value) noexcept {
        const SlotSeen seen = {key, value};
        return add_slots(seq, address, &seen, 1);
    }

    // The same of many slots of one account, none of them twice: what is there already stays as it is.
    struct SlotSeen {
        const u256* key;
        const u256* value;
    };
    Added add_slots(uint64_t seq, const uint8_t* address, const SlotSeen* seen, size_t count) noexcept {
        if (!inside(seq))
            return Added::OUTSIDE;
        Account* account = account_for(address);
        if (!account)
            return Added::NO_MEMORY;
        const uint64_t address_hash = hash_of(address);
        const bool empty = account->slots == 0;
        size_t added = 0;
        for (size_t i = 0; i < count; ++i) {
            const uint64_t hash = hash_of(address_hash, seen[i].key);
            if (!empty && find_slot(hash, address, seen[i].key))
                continue;
            if (!new_slot(account, hash, seen[i].key, SlotValue{*seen[i].value, true}, Slot::RECENT))
                return Added::NO_MEMORY;
            ++added;
        }
        make_room(added);
        return added ? Added::ADDED : Added::THERE;
    }

    // Whether nothing is known of an address, not even a slot. Inside a section.
    bool knows_nothing_of(const uint8_t* address) const noexcept { return !find_account(address); }

    // Whether slots that are not stored have been zero throughout the window: the account's storage was always complete.
    bool storage_always_complete(const uint8_t* address, bool complete_state) const noexcept {
        const Account* account = find_account(address);
        if (!account || !(account->state.load(std::memory_order_relaxed) & Account::KNOWN) ||
            !complete(account->base, complete_state))
            return false;
        for (const AccountVersion* version = account->head.load(std::memory_order_relaxed); version;
             version = version->next.load(std::memory_order_relaxed))
            if (!complete(version->record, complete_state))
                return false;
        return true;
    }

    // Frees what readers have left behind; for when nothing else happens.
    void tidy() noexcept { epochs_.advance(this); }

    // ---- figures

    size_t slot_count() const noexcept { return slots_.in_use(); }
    size_t account_count() const noexcept { return accounts_.in_use(); }
    size_t version_count() const noexcept { return slot_versions_.in_use() + account_versions_.in_use(); }
    size_t view_count() const noexcept { return view_count_; }
    uint64_t evictions() const noexcept { return evictions_; }
    // Bytes of what can be found (what the limit is about), and bytes taken from the system.
    size_t bytes_in_use() const noexcept { return live_bytes_ + index_bytes_; }
    size_t bytes_taken() const noexcept {
        return sizeof(*this) + slots_.bytes() + accounts_.bytes() + slot_versions_.bytes() + account_versions_.bytes() +
               slots_index_.bytes() + accounts_index_.bytes();
    }

private:
    struct Step {
        uint64_t seq;
        std::vector<Account*> accounts;     // that it gave a version
        std::vector<Slot*> slots;
    };

    static bool complete(const AccountRecord& record, bool complete_state) noexcept {
        return record.presence == EXISTS ? record.storage_complete : record.presence == IS_ABSENT || complete_state;
    }

    bool inside(uint64_t seq) const noexcept {
        return oldest_.load(std::memory_order_relaxed) <= seq && seq <= latest_.load(std::memory_order_relaxed) &&
               !given_up_.load(std::memory_order_relaxed);
    }

    // ---- finding

    uint64_t hash_of(const uint8_t* address) const noexcept { return hash_address(key_, address); }

    uint64_t hash_of(const uint8_t* address, const u256* key) const noexcept { return hash_of(hash_of(address), key); }

    uint64_t hash_of(uint64_t address_hash, const u256* key) const noexcept {
        return fold_keyed(key_, nh_pair(key_, 0, key->w[0], key->w[1]) + nh_pair(key_, 2, key->w[2], key->w[3]) +
                                    nh_pair(key_, 6, address_hash, 0));
    }

    Account* find_account(const uint8_t* address) const noexcept {
        return accounts_index_.find(hash_of(address),
                                    [&](const Account& entry) { return memcmp(entry.address, address, 20) == 0; });
    }

    Slot* find_slot(uint64_t hash, const uint8_t* address, const u256* key) const noexcept {
        return slots_index_.find(hash, [&](const Slot& entry) {
            return u_eq(&entry.key, key) && memcmp(entry.account()->address, address, 20) == 0;
        });
    }

    static const AccountRecord& record_at(const Account* account, uint64_t seq) noexcept {
        const AccountVersion* version = account->head.load(std::memory_order_acquire);
        while (version && version->seq > seq)
            version = version->next.load(std::memory_order_acquire);
        return version ? version->record : account->base;
    }

    // ---- adding

    // What `Epochs` calls when nobody can see the thing any more.
    static void dispose_cells(void*, void* cells) noexcept { free(cells); }
    static void dispose_slot(void* cache, void* item) noexcept {
        static_cast<Slot*>(item)->owner.store(0, std::memory_order_relaxed);
        static_cast<StateCache*>(cache)->slots_.give(static_cast<Slot*>(item));
    }
    static void dispose_account(void* cache, void* item) noexcept {
        static_cast<Account*>(item)->state.store(0, std::memory_order_relaxed);
        static_cast<StateCache*>(cache)->accounts_.give(static_cast<Account*>(item));
    }
    static void dispose_slot_version(void* cache, void* item) noexcept {
        static_cast<StateCache*>(cache)->slot_versions_.give(static_cast<SlotVersion*>(item));
    }
    static void dispose_account_version(void* cache, void* item) noexcept {
        static_cast<StateCache*>(cache)->account_versions_.give(static_cast<AccountVersion*>(item));
    }

    // The entry of an address, made when there is none; NULL: no memory.
    Account* account_for(const uint8_t* address) noexcept {
        if (Account* found = find_account(address))
            return found;
        Account* account = accounts_.take();
        if (!account)
            return nullptr;
        account->head.store(nullptr, std::memory_order_relaxed);
        account->state.store(Account::IN_USE, std::memory_order_relaxed);
        account->slots = 0;
        memcpy(account->address, address, 20);
        const bool placed = accounts_index_.insert(
            hash_of(address), account, [this](const Account& entry) { return hash_of(entry.address); },
            [this](void* cells) { epochs_.retire(cells, dispose_cells); });
        if (!placed) {
            account->state.store(0, std::memory_order_relaxed);
            accounts_.give(account);
            return nullptr;
        }
        live_bytes_ += sizeof(Account);
        return account;
    }

    Slot* new_slot(Account* account, uint64_t hash, const u256* key, const SlotValue& base, uintptr_t flags) noexcept {
        Slot* slot = slots_.take();
        if (!slot)
            return nullptr;
        slot->head.store(nullptr, std::memory_order_relaxed);
        slot->key = *key;
        slot->base = base.value;
        slot->owner.store(reinterpret_cast<uintptr_t>(account) | flags | (base.known ? 0 : Slot::BASE_UNKNOWN),
                          std::memory_order_relaxed);
        const bool placed = slots_index_.insert(
            hash, slot, [this](const Slot& entry) { return hash_of(entry.account()->address, &entry.key); },
            [this](void* cells) { epochs_.retire(cells, dispose_cells); });
        if (!placed) {
            slot->owner.store(0, std::memory_order_relaxed);
            slots_.give(slot);
            return nullptr;
        }
        ++account->slots;
        live_bytes_ += sizeof(Slot);
        return slot;
    }

    bool change_account(Account* account, uint64_t seq, const AccountChange& change, Step& step) noexcept {
        if (!(account->state.load(std::memory_order_relaxed) & Account::KNOWN)) {
            account->base = change.before;
            account->state.fetch_or(Account::KNOWN, std::memory_order_release);
        }
        if (!change.record_changes)
            return true;
        AccountVersion* version = account_versions_.take();
        if (!version)
            return false;
        version->seq = seq;
        version->record = change.after;
        version->next.store(account->head.load(std::memory_order_relaxed), std::memory_order_relaxed);
        account->head.store(version, std::memory_order_release);
        step.accounts.push_back(account);
        live_bytes_ += sizeof(AccountVersion);
        return true;
    }

    bool change_slot(Account* account, uint64_t hash, uint64_t seq, const SlotChange& change, Step& step) noexcept {
        Slot* slot = find_slot(hash, account->address, &change.key);
        SlotVersion* version = slot_versions_.take();
        if (!version)
            return false;
        if (!slot && !(slot = new_slot(account, hash, &change.key, change.before, 0))) {
            slot_versions_.give(version);
            return false;
        }
        version->seq = seq | (change.after.known ? 0 : SlotVersion::UNKNOWN);
        version->value = change.after.value;
        version->next.store(slot->head.load(std::memory_order_relaxed), std::memory_order_relaxed);
        slot->head.store(version, std::memory_order_release);
        step.slots.push_back(slot);
        live_bytes_ += sizeof(SlotVersion);
        return true;
    }

    // ---- forgetting

    // The window's start: `ring_` steps back, or where the oldest view is. Views that stayed behind are closed, unless
    // somebody reads in them just now.
    void move_window() noexcept {
        const uint64_t newest = latest_.load(std::memory_order_relaxed);
        uint64_t start = oldest_.load(std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> guard(views_mutex_);
            const uint64_t wanted = newest > ring_ ? newest - ring_ : 0;
            const uint64_t last = wanted > slack_ ? wanted - slack_ : 0;
            uint64_t held = wanted;
            for (View* view = views_; view; view = view->after) {
                if (view->seq >= held)
                    continue;
                if (view->seq < last) {
                    std::lock_guard<std::mutex> own(view->mutex);
                    view->expired = view->expired || view->sections == 0;
                    if (view->expired)
                        continue;
                }
                held = view->seq;
            }
            if (held <= start)
                return;
            start = held;
            oldest_.store(start, std::memory_order_release);
        }
        while (!history_.empty() && history_.front().seq <= start) {
            for (Account* account : history_.front().accounts)
                fold(account, start);
            const std::vector<Slot*>& slots = history_.front().slots;
            for (size_t i = 0; i < slots.size(); ++i) {
                if (i + 2 * AHEAD < slots.size())
                    __builtin_prefetch(slots[i + 2 * AHEAD]);
                if (i + AHEAD < slots.size())
                    __builtin_prefetch(slots[i + AHEAD]->head.load(std::memory_order_relaxed));
                fold(slots[i], start);
            }
            history_.pop_front();
        }
    }

    // No reader is pinned before `start`: the newest version up to there becomes the base, which nobody reads until that
    // version is unlinked.
    void fold(Account* account, uint64_t start) noexcept {
        std::atomic<AccountVersion*>* link = &account->head;
        AccountVersion* version = link->load(std::memory_order_relaxed);
        while (version && version->seq > start) {
            link = &version->next;
            version = link->load(std::memory_order_relaxed);
        }
        if (!version)
            return;
        account->base = version->record;
        link->store(nullptr, std::memory_order_release);
        while (version) {
            AccountVersion* next = version->next.load(std::memory_order_relaxed);
            epochs_.retire(version, dispose_account_version);
            live_bytes_ -= sizeof(AccountVersion);
            version = next;
        }
    }

    void fold(Slot* slot, uint64_t start) noexcept {
        std::atomic<SlotVersion*>* link = &slot->head;
        SlotVersion* version = link->load(std::memory_order_relaxed);
        while (version && (version->seq & ~SlotVersion::UNKNOWN) > start) {
            link = &version->next;
            version = link->load(std::memory_order_relaxed);
        }
        if (!version)
            return;
        slot->base = version->value;
        if (version->seq & SlotVersion::UNKNOWN)
            slot->owner.fetch_or(Slot::BASE_UNKNOWN, std::memory_order_relaxed);
        else
            slot->owner.fetch_and(~Slot::BASE_UNKNOWN, std::memory_order_relaxed);
        link->store(nullptr, std::memory_order_release);
        while (version) {
            SlotVersion* next = version->next.load(std::memory_order_relaxed);
            epochs_.retire(version, dispose_slot_version);
            live_bytes_ -= sizeof(SlotVersion);
            version = next;
        }
    }

    // Second chance: the hand passes over all places; what was not read since it came by last goes, if it has no history.
    void make_room(size_t added) noexcept {
        if (++room_checks_ % 64 == 1 || added > 64)
            index_bytes_ = slots_index_.bytes() + accounts_index_.bytes();
        if (bytes_in_use() <= limit_)
            return;
        size_t steps = 8 * added + 64;
        while (steps-- && bytes_in_use() > limit_) {
            const size_t places = slots_.places() + accounts_.places();
            if (hand_ >= places)
                hand_ = 0;
            if (hand_ < slots_.places())
                pass(slots_.at(hand_));
            else
                pass(accounts_.at(hand_ - slots_.places()));
            ++hand_;
        }
        epochs_.advance(this);
    }

    void pass(Slot* slot) noexcept {
        const uintptr_t owner = slot->owner.load(std::memory_order_relaxed);
        if (owner == 0 || (owner & Slot::LEAVING) || slot->head.load(std::memory_order_relaxed))
            return;
        if (owner & Slot::RECENT) {
            slot->owner.fetch_and(~Slot::RECENT, std::memory_order_relaxed);
            return;
        }
        Account* account = slot->account();
        slots_index_.remove(hash_of(account->address, &slot->key), slot);
        slot->owner.fetch_or(Slot::LEAVING, std::memory_order_relaxed);
        epochs_.retire(slot, dispose_slot);
        --account->slots;
        live_bytes_ -= sizeof(Slot);
        ++evictions_;
    }

    void pass(Account* account) noexcept {
        const uint32_t state = account->state.load(std::memory_order_relaxed);
        if ((state & (Account::IN_USE | Account::LEAVING)) != Account::IN_USE || account->slots || account->head.load(std::memory_order_relaxed))
            return;
        if (state & Account::RECENT) {
            account->state.fetch_and(~Account::RECENT, std::memory_order_relaxed);
            return;
        }
        accounts_index_.remove(hash_of(account->address), account);
        account->state.fetch_or(Account::LEAVING, std::memory_order_relaxed);
        epochs_.retire(account, dispose_account);
        live_bytes_ -= sizeof(Account);
        ++evictions_;
    }

    static constexpr size_t AHEAD = 12;    // slots: about what the memory can fetch at once

    const HashKey key_;
    const uint64_t ring_, slack_;
    const size_t limit_;

    Index<Slot> slots_index_;
    Index<Account> accounts_index_;
    Slab<Slot> slots_;
    Slab<Account> accounts_;
    Slab<SlotVersion> slot_versions_;
    Slab<AccountVersion> account_versions_;
    std::deque<Step> history_;
    std::vector<uint64_t> hashes_;      // of the slots of the step that is applied
    Epochs epochs_;
    size_t live_bytes_ = 0, index_bytes_ = 0, room_checks_ = 0, hand_ = 0;
    uint64_t evictions_ = 0;

    std::mutex views_mutex_;
    View* views_ = nullptr;
    size_t view_count_ = 0;

    std::atomic<uint64_t> latest_, oldest_;
    std::mutex news_mutex_;
    std::condition_variable news_;
    std::atomic<int> waiting_{0};
    std::atomic<bool> given_up_{false};
};

}  // namespace evmcore::cache

#endif
