// The cache's entries: found without locks, made and removed by one thread at a time, freed when nobody can see them.
#ifndef EVMCORE_CACHE_ENTRY_STORE_H
#define EVMCORE_CACHE_ENTRY_STORE_H

#include <cstring>

#include "../keyed_hash.h"
#include "entries.h"
#include "epochs.h"
#include "index.h"
#include "slab.h"

namespace evmcore::cache {

class Entries {
    auto slot_hash() const noexcept {
        return [this](const Slot& entry) { return hash_of(entry.account()->address, &entry.key); };
    }
    auto retire_cells() noexcept {
        return [this](void* cells) { epochs_.retire(cells, dispose_cells); };
    }

public:
    explicit Entries(const HashKey& key) : key_(key) {}
    Entries(const Entries&) = delete;
    Entries& operator=(const Entries&) = delete;
    ~Entries() { epochs_.finish(this); }

    // ---- finding, between `enter` and `leave`, or by who changes them

    uint32_t enter() noexcept { return epochs_.enter(); }
    void leave(uint32_t parity) noexcept { epochs_.leave(parity); }

    uint64_t hash_of(const uint8_t* address) const noexcept { return hash_address(key_, address); }

    uint64_t hash_of(const uint8_t* address, const u256* key) const noexcept { return hash_of(hash_of(address), key); }

    uint64_t hash_of(uint64_t address_hash, const u256* key) const noexcept {
        return fold_keyed(key_, nh_pair(key_, 0, key->w[0], key->w[1]) + nh_pair(key_, 2, key->w[2], key->w[3]) +
                                    nh_pair(key_, 6, address_hash, 0));
    }

    Account* find_account(const uint8_t* address) const noexcept {
        return accounts_index_.find(hash_of(address),
                                    [&](const Account& entry) { return same_address(entry.address, address); });
    }

    Slot* find_slot(uint64_t hash, const uint8_t* address, const u256* key) const noexcept {
        return slots_index_.find(hash, [&](const Slot& entry) {
            return u_eq(&entry.key, key) && same_address(entry.account()->address, address);
        });
    }

    // What `find_slot` will look at, on its way from memory: first the cell; and once that is there, the entry.
    void prefetch(uint64_t hash) const noexcept { slots_index_.prefetch(hash); }
    void prefetch_account(uint64_t address_hash) const noexcept { accounts_index_.prefetch(address_hash); }
    void prefetch_slot(uint64_t hash) const noexcept { slots_index_.prefetch_entry(hash); }

    // ---- making. NULL: no memory.

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
            hash_of(address), account, [this](const Account& entry) { return hash_of(entry.address); }, retire_cells());
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
        const bool placed = slots_index_.insert(hash, slot, slot_hash(), retire_cells());
        if (!placed) {
            slot->owner.store(0, std::memory_order_relaxed);
            slots_.give(slot);
            return nullptr;
        }
        ++account->slots;
        live_bytes_ += sizeof(Slot);
        return slot;
    }

    // What it is of is set by the caller, before anybody can find it.
    SlotVersion* new_slot_version() noexcept { return counted(slot_versions_.take()); }
    AccountVersion* new_account_version() noexcept { return counted(account_versions_.take()); }

    // Makes room ahead: for so many new slots with a version each.
    void prepare(size_t more) noexcept {
        slots_.prepare(more);
        slot_versions_.prepare(more);
        slots_index_.prepare(more, slot_hash(), retire_cells());
    }

    // A version that nobody has seen.
    void give_back(SlotVersion* version) noexcept {
        live_bytes_ -= sizeof(SlotVersion);
        slot_versions_.give(version);
    }

    // ---- removing

    void remove(Slot* slot) noexcept {
        Account* account = slot->account();
        slots_index_.remove(hash_of(account->address, &slot->key), slot);
        slot->owner.fetch_or(Slot::LEAVING, std::memory_order_relaxed);
        epochs_.retire(slot, dispose_slot);
        --account->slots;
        live_bytes_ -= sizeof(Slot);
    }

    void remove(Account* account) noexcept {
        accounts_index_.remove(hash_of(account->address), account);
        account->state.fetch_or(Account::LEAVING, std::memory_order_relaxed);
        epochs_.retire(account, dispose_account);
        live_bytes_ -= sizeof(Account);
    }

    // Versions that new readers cannot find any more.
    void retire(SlotVersion* version) noexcept {
        epochs_.retire(version, dispose_slot_version);
        live_bytes_ -= sizeof(SlotVersion);
    }
    void retire(AccountVersion* version) noexcept {
        epochs_.retire(version, dispose_account_version);
        live_bytes_ -= sizeof(AccountVersion);
    }

    // Frees what nobody can see any more.
    void advance() noexcept { epochs_.advance(this); }

    // ---- figures, and all places one by one

    const Slab<Slot>& slots() const noexcept { return slots_; }
    const Slab<Account>& accounts() const noexcept { return accounts_; }
    size_t version_count() const noexcept { return slot_versions_.in_use() + account_versions_.in_use(); }
    size_t live_bytes() const noexcept { return live_bytes_; }      // of what can be found, without the indexes
    size_t index_bytes() const noexcept { return slots_index_.bytes() + accounts_index_.bytes(); }
    size_t bytes_taken() const noexcept {
        return slots_.bytes() + accounts_.bytes() + slot_versions_.bytes() + account_versions_.bytes() + index_bytes();
    }

private:
    // What `Epochs` calls when nobody can see the thing any more.
    static void dispose_cells(void*, void* cells) noexcept { free(cells); }
    static void dispose_slot(void* entries, void* item) noexcept {
        static_cast<Slot*>(item)->owner.store(0, std::memory_order_relaxed);
        static_cast<Entries*>(entries)->slots_.give(static_cast<Slot*>(item));
    }
    static void dispose_account(void* entries, void* item) noexcept {
        static_cast<Account*>(item)->state.store(0, std::memory_order_relaxed);
        static_cast<Entries*>(entries)->accounts_.give(static_cast<Account*>(item));
    }
    static void dispose_slot_version(void* entries, void* item) noexcept {
        static_cast<Entries*>(entries)->slot_versions_.give(static_cast<SlotVersion*>(item));
    }
    static void dispose_account_version(void* entries, void* item) noexcept {
        static_cast<Entries*>(entries)->account_versions_.give(static_cast<AccountVersion*>(item));
    }

    template <class Version>
    Version* counted(Version* version) noexcept {
        live_bytes_ += version ? sizeof(Version) : 0;
        return version;
    }

    const HashKey key_;
    Index<Slot> slots_index_;
    Index<Account> accounts_index_;
    Slab<Slot> slots_;
    Slab<Account> accounts_;
    Slab<SlotVersion> slot_versions_;
    Slab<AccountVersion> account_versions_;
    Epochs epochs_;
    size_t live_bytes_ = 0;
};

}  // namespace evmcore::cache

#endif
