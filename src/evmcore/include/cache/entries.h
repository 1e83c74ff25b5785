// What the cache holds: accounts and slots, each with the versions it has had inside the window; and what a step changes.
#ifndef EVMCORE_CACHE_ENTRIES_H
#define EVMCORE_CACHE_ENTRIES_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../u256.h"

namespace evmcore::cache {

// Of 20 bytes, which compilers leave to a call otherwise.
inline bool same_address(const uint8_t* a, const uint8_t* b) noexcept {
    uint64_t left[2], right[2];
    uint32_t left_end, right_end;
    memcpy(left, a, 16);
    memcpy(right, b, 16);
    memcpy(&left_end, a + 16, 4);
    memcpy(&right_end, b + 16, 4);
    return ((left[0] ^ right[0]) | (left[1] ^ right[1]) | (left_end ^ right_end)) == 0;
}

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

}  // namespace evmcore::cache

#endif
