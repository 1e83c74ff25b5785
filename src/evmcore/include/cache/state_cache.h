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

#include "entry_store.h"
#include "views.h"

namespace evmcore::cache {

enum class Added { ADDED, THERE, OUTSIDE, NO_MEMORY };

class StateCache {
public:
    static constexpr uint64_t LATEST = ~uint64_t(0);

    // The state after step `seq` is the first that is known. `ring`: steps before the latest that can be pinned;
    // `slack`: how many more a view that is open holds the window back before it is closed. `limit`: bytes.
    StateCache(const HashKey& key, uint64_t seq, uint64_t ring, uint64_t slack, size_t limit)
        : ring_(ring), slack_(slack), limit_(limit), entries_(key), latest_(seq), oldest_(seq) {}
    StateCache(const StateCache&) = delete;
    StateCache& operator=(const StateCache&) = delete;

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
        std::lock_guard<std::mutex> guard(views_.mutex);
        const uint64_t newest = latest();
        if (seq == LATEST)
            seq = newest;
        if (seq < oldest_.load(std::memory_order_relaxed) || seq > newest)
            return false;
        view->cache = this;
        view->seq = seq;
        views_.add(view);
        return true;
    }

    // No section of it is open.
    void close(View* view) noexcept {
        std::lock_guard<std::mutex> guard(views_.mutex);
        views_.remove(view);
    }

    void begin(View* view) noexcept {
        std::lock_guard<std::mutex> guard(view->mutex);
        if (view->sections++ == 0) {
            view->usable = !view->expired;
            view->parity = entries_.enter();
        }
    }

    void end(View* view) noexcept {
        std::lock_guard<std::mutex> guard(view->mutex);
        if (--view->sections == 0)
            entries_.leave(view->parity);
    }

    // ---- reading, inside a section. False: not here.

    bool account(uint64_t seq, const uint8_t* address, AccountRecord* out) const noexcept {
        const Account* account = entries_.find_account(address);
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
        const Slot* slot = entries_.find_slot(entries_.hash_of(address, key), address, key);
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

    // Sends for the places where `add_account` and `add_slots` will look, so that they are near by then; gives the hash that
    // `send_for` of the account's slots, and theirs that `add_slots` takes.
    uint64_t send_for(const uint8_t* address) const noexcept {
        const uint64_t hash = entries_.hash_of(address);
        entries_.prefetch_account(hash);
        return hash;
    }
    uint64_t send_for(uint64_t address_hash, const u256* key) const noexcept {
        const uint64_t hash = entries_.hash_of(address_hash, key);
        entries_.prefetch(hash);
        return hash;
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
            const uint64_t address_hash = entries_.hash_of(change.address);
            for (size_t i = change.first_slot; i < change.first_slot + change.slot_count; ++i)
                hashes_[i] = entries_.hash_of(address_hash, &slots[i].key);
        }
        // Most of these slots have not been touched for long, so they are far away: each is sent for ahead of its turn.
        for (size_t i = 0; i < slots.size() && i < 2 * AHEAD; ++i)
            entries_.prefetch(hashes_[i]);
        for (size_t i = 0; i < slots.size() && i < AHEAD; ++i)
            entries_.prefetch_slot(hashes_[i]);
        for (const AccountChange& change : accounts) {
            Account* account = entries_.account_for(change.address);
            if (!account || !change_account(account, seq, change, step))
                return Added::NO_MEMORY;
            for (size_t i = change.first_slot; i < change.first_slot + change.slot_count; ++i) {
                if (i + 2 * AHEAD < slots.size())
                    entries_.prefetch(hashes_[i + 2 * AHEAD]);
                if (i + AHEAD < slots.size())
                    entries_.prefetch_slot(hashes_[i + AHEAD]);
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

    // After `apply` of so many accounts and slots: the window moves on, what nobody can see any more goes, and room is made
    // for another step like it, for which readers will then not have to wait.
    void settle(size_t changes) noexcept {
        move_window();
        entries_.advance();
        make_room(changes);
        entries_.prepare(changes);
    }

    // A value read at step `seq`, which holds for the whole window if there is no entry yet.
    Added add_account(uint64_t seq, const uint8_t* address, const AccountRecord& record) noexcept {
        if (!inside(seq))
            return Added::OUTSIDE;
        Account* account = entries_.account_for(address);
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
        const SlotSeen seen = {key, value, entries_.hash_of(address, key)};
        return add_slots(seq, address, &seen, 1);
    }

    // The same of many slots of one account, none of them twice: what is there already stays as it is.
    struct SlotSeen {
        const u256* key;
        const u256* value;
        uint64_t hash;      // that `send_for` gave
    };
    Added add_slots(uint64_t seq, const uint8_t* address, const SlotSeen* seen, size_t count) noexcept {
        if (!inside(seq))
            return Added::OUTSIDE;
        Account* account = entries_.account_for(address);
        if (!account)
            return Added::NO_MEMORY;
        const bool empty = account->slots == 0;
        size_t added = 0;
        for (size_t i = 0; i < count; ++i) {
            if (!empty && entries_.find_slot(seen[i].hash, address, seen[i].key))
                continue;
            if (!entries_.new_slot(account, seen[i].hash, seen[i].key, SlotValue{*seen[i].value, true}, Slot::RECENT))
                return Added::NO_MEMORY;
            ++added;
        }
        make_room(added);
        return added ? Added::ADDED : Added::THERE;
    }

    // Whether nothing is known of an address, not even a slot. Inside a section.
    bool knows_nothing_of(const uint8_t* address) const noexcept { return !entries_.find_account(address); }

    // Whether slots that are not stored have been zero throughout the window: the account's storage was always complete.
    bool storage_always_complete(const uint8_t* address, bool complete_state) const noexcept {
        const Account* account = entries_.find_account(address);
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
    void tidy() noexcept { entries_.advance(); }

    // ---- figures

    size_t slot_count() const noexcept { return entries_.slots().in_use(); }
    size_t account_count() const noexcept { return entries_.accounts().in_use(); }
    size_t version_count() const noexcept { return entries_.version_count(); }
    size_t view_count() const noexcept { return views_.count(); }
    uint64_t evictions() const noexcept { return evictions_; }
    // Bytes of what can be found (what the limit is about), and bytes taken from the system.
    size_t bytes_in_use() const noexcept { return entries_.live_bytes() + index_bytes_; }
    size_t bytes_taken() const noexcept { return sizeof(*this) + entries_.bytes_taken(); }

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

    static const AccountRecord& record_at(const Account* account, uint64_t seq) noexcept {
        const AccountVersion* version = account->head.load(std::memory_order_acquire);
        while (version && version->seq > seq)
            version = version->next.load(std::memory_order_acquire);
        return version ? version->record : account->base;
    }

    // ---- changing

    bool change_account(Account* account, uint64_t seq, const AccountChange& change, Step& step) noexcept {
        if (!(account->state.load(std::memory_order_relaxed) & Account::KNOWN)) {
            account->base = change.before;
            account->state.fetch_or(Account::KNOWN, std::memory_order_release);
        }
        if (!change.record_changes)
            return true;
        AccountVersion* version = entries_.new_account_version();
        if (!version)
            return false;
        version->seq = seq;
        version->record = change.after;
        version->next.store(account->head.load(std::memory_order_relaxed), std::memory_order_relaxed);
        account->head.store(version, std::memory_order_release);
        step.accounts.push_back(account);
        return true;
    }

    bool change_slot(Account* account, uint64_t hash, uint64_t seq, const SlotChange& change, Step& step) noexcept {
        Slot* slot = entries_.find_slot(hash, account->address, &change.key);
        SlotVersion* version = entries_.new_slot_version();
        if (!version)
            return false;
        if (!slot && !(slot = entries_.new_slot(account, hash, &change.key, change.before, 0))) {
            entries_.give_back(version);
            return false;
        }
        version->seq = seq | (change.after.known ? 0 : SlotVersion::UNKNOWN);
        version->value = change.after.value;
        version->next.store(slot->head.load(std::memory_order_relaxed), std::memory_order_relaxed);
        slot->head.store(version, std::memory_order_release);
        step.slots.push_back(slot);
        return true;
    }

    // ---- forgetting

    // The window's start: `ring_` steps back, or where the oldest view is.
    void move_window() noexcept {
        const uint64_t newest = latest_.load(std::memory_order_relaxed);
        const uint64_t wanted = newest > ring_ ? newest - ring_ : 0;
        uint64_t start;
        {
            std::lock_guard<std::mutex> guard(views_.mutex);
            start = views_.held(wanted, wanted > slack_ ? wanted - slack_ : 0);
            if (start <= oldest_.load(std::memory_order_relaxed))
                return;
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
            entries_.retire(version);
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
            entries_.retire(version);
            version = next;
        }
    }

    // Second chance: the hand passes over all places; what was not read since it came by last goes, if it has no history.
    void make_room(size_t added) noexcept {
        if (++room_checks_ % 64 == 1 || added > 64)
            index_bytes_ = entries_.index_bytes();
        if (bytes_in_use() <= limit_)
            return;
        size_t steps = 8 * added + 64;
        while (steps-- && bytes_in_use() > limit_) {
            const size_t slots = entries_.slots().places(), places = slots + entries_.accounts().places();
            if (hand_ >= places)
                hand_ = 0;
            if (hand_ < slots)
                pass(entries_.slots().at(hand_));
            else
                pass(entries_.accounts().at(hand_ - slots));
            ++hand_;
        }
        entries_.advance();
    }

    void pass(Slot* slot) noexcept {
        const uintptr_t owner = slot->owner.load(std::memory_order_relaxed);
        if (owner == 0 || (owner & Slot::LEAVING) || slot->head.load(std::memory_order_relaxed))
            return;
        if (owner & Slot::RECENT) {
            slot->owner.fetch_and(~Slot::RECENT, std::memory_order_relaxed);
            return;
        }
        entries_.remove(slot);
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
        entries_.remove(account);
        ++evictions_;
    }

    static constexpr size_t AHEAD = 12;    // slots: about what the memory can fetch at once

    const uint64_t ring_, slack_;
    const size_t limit_;

    Entries entries_;
    std::deque<Step> history_;
    std::vector<uint64_t> hashes_;      // of the slots of the step that is applied
    size_t index_bytes_ = 0, room_checks_ = 0, hand_ = 0;
    uint64_t evictions_ = 0;

    Views views_;
    std::atomic<uint64_t> latest_, oldest_;
    std::mutex news_mutex_;
    std::condition_variable news_;
    std::atomic<int> waiting_{0};
    std::atomic<bool> given_up_{false};
};

}  // namespace evmcore::cache

#endif
