// The values that lie in Redis, read natively: account records, slot values, and the changes of a feed entry. What they
// are is said in state/layout.py; here they are checked as strictly. A reader says what is wrong in `problem` (English,
// for messages) and at which byte.
#ifndef EVMCORE_CACHE_LAYOUT_H
#define EVMCORE_CACHE_LAYOUT_H

#include <vector>

#include "crc32.h"
#include "state_cache.h"

namespace evmcore::cache {

inline uint64_t big_endian(const uint8_t* data, size_t size) noexcept {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i)
        value = value << 8 | data[i];
    return value;
}

// Keccak-256 of no bytes.
inline const uint8_t* no_code_hash() noexcept {
    static const uint8_t hash[32] = {0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c, 0x92, 0x7e, 0x7d,
                                     0xb2, 0xdc, 0xc7, 0x03, 0xc0, 0xe5, 0x00, 0xb6, 0x53, 0xca, 0x82,
                                     0x27, 0x3b, 0x7b, 0xfa, 0xd8, 0x04, 0x5d, 0x85, 0xa4, 0x70};
    return hash;
}

inline AccountRecord record_without_account(Presence presence) noexcept {
    AccountRecord record = {};
    memcpy(record.code_hash, no_code_hash(), 32);
    record.presence = presence;
    record.storage_complete = true;
    return record;
}

// A slot's value as a storage hash holds it.
inline bool read_value(const uint8_t* data, size_t size, u256* out) noexcept {
    if (size > 32 || (size && data[0] == 0))
        return false;
    u_from_be_n(out, data, size);
    return true;
}

struct NewCode {
    const uint8_t* hash;
    const uint8_t* data;
    size_t size;
};

// Reads one value from front to end.
class LayoutReader {
public:
    const char* problem = nullptr;      // why the last function returned false
    size_t at = 0;

    LayoutReader(const void* data, size_t size) noexcept : data_(static_cast<const uint8_t*>(data)), end_(size) {}

    // The value of an account's key.
    bool record(AccountRecord* out) noexcept {
        if (!checksum(59))
            return false;
        if (data_[0] != 1)
            return wrong("unknown version of an account record");
        at = 1;
        if (!body(out))
            return false;
        return at == end_ || wrong("bytes behind an account record");
    }

    // The changes of step, in the order of addresses and keys.
    bool changes(std::vector<AccountChange>& accounts, std::vector<SlotChange>& slots, std::vector<NewCode>& codes) {
        accounts.clear();
        slots.clear();
        codes.clear();
        if (!checksum(13))
            return false;
        if (data_[0] != 1)
            return wrong("unknown version of changes");
        at = 1;
        size_t count;
        if (!counted(25, &count))
            return false;
        accounts.reserve(count);
        for (; count; --count) {
            accounts.emplace_back();
            if (!account(accounts.back(), slots))
                return false;
            const size_t n = accounts.size();
            if (n > 1 && memcmp(accounts[n - 2].address, accounts[n - 1].address, 20) >= 0)
                return wrong("accounts out of order");
        }
        if (!counted(36, &count))
            return false;
        for (; count; --count) {
            NewCode code;
            if (!take(32, &code.hash) || !counted(1, &code.size) || !take(code.size, &code.data))
                return false;
            if (!codes.empty() && memcmp(codes.back().hash, code.hash, 32) >= 0)
                return wrong("codes out of order");
            codes.push_back(code);
        }
        return at == end_ || wrong("bytes behind the changes");
    }

private:
    bool wrong(const char* what) noexcept {
        problem = what;
        return false;
    }

    bool checksum(size_t smallest) noexcept {
        if (end_ < smallest)
            return wrong("too short");
        end_ -= 4;
        return crc32(data_, end_) == big_endian(data_ + end_, 4) || wrong("cut or damaged: the checksum is wrong");
    }

    bool take(size_t size, const uint8_t** out) noexcept {
        if (end_ - at < size)
            return wrong("cut");
        *out = data_ + at;
        at += size;
        return true;
    }

    // The number of things that follow, each of `smallest` bytes or more.
    bool counted(size_t smallest, size_t* out) noexcept {
        const uint8_t* bytes;
        if (!take(4, &bytes))
            return false;
        *out = big_endian(bytes, 4);
        return *out <= (end_ - at) / smallest || wrong("a number of things that cannot be in the bytes left");
    }

    bool number(u256* out) noexcept {
        const uint8_t *size, *bytes;
        if (!take(1, &size))
            return false;
        if (*size > 32 || !take(*size, &bytes))
            return wrong("a number that is cut or longer than 32 bytes");
        return read_value(bytes, *size, out) || wrong("a number with leading zeros");
    }

    // Flags, generation, slot count, nonce, code hash, balance.
    bool body(AccountRecord* out) noexcept {
        const uint8_t* fixed;
        if (!take(53, &fixed))
            return false;
        const uint8_t flags = fixed[0];
        if (flags != 0 && flags != 1 && flags != 3)
            return wrong("an account record has flags without a meaning");
        out->presence = flags & 2 ? IS_ABSENT : EXISTS;
        out->storage_complete = flags & 1;
        out->generation = static_cast<uint32_t>(big_endian(fixed + 1, 4));
        out->slot_count = big_endian(fixed + 5, 8);
        out->nonce = big_endian(fixed + 13, 8);
        memcpy(out->code_hash, fixed + 21, 32);
        if (!number(&out->balance))
            return false;
        if (out->presence == IS_ABSENT && (out->slot_count || out->nonce || !u_is_zero(&out->balance) ||
                                           memcmp(out->code_hash, no_code_hash(), 32) != 0))
            return wrong("the record of an absent account has something in it");
        return true;
    }

    bool value(const AccountRecord& record, SlotValue* out) noexcept {
        if (at < end_ && data_[at] == 255) {
            if (record.presence == NO_KEY || record.storage_complete)
                return wrong("a slot of a complete storage is not known");
            ++at;
            *out = SlotValue{};
            return true;
        }
        out->known = true;
        return number(&out->value);
    }

    bool account(AccountChange& change, std::vector<SlotChange>& slots) {
        const uint8_t *address, *flags;
        if (!take(20, &address) || !take(1, &flags))
            return false;
        memcpy(change.address, address, 20);
        if (*flags > 7 || !(*flags & 3))
            return wrong("a changed account has flags without a meaning");
        change.before = change.after = record_without_account(NO_KEY);
        change.wiped = *flags & 4;
        const size_t before = at;
        if ((*flags & 1) && !body(&change.before))
            return false;
        const size_t after = at;
        if ((*flags & 2) && !body(&change.after))
            return false;
        // One encoding: the records are the same if their bytes are.
        change.record_changes =
            (*flags & 3) != 3 || at - after != after - before || memcmp(data_ + before, data_ + after, at - after) != 0;
        change.first_slot = slots.size();
        if (!counted(3, &change.slot_count))
            return false;
        for (size_t i = 0; i < change.slot_count; ++i) {
            SlotChange slot;
            if (!number(&slot.key) || !value(change.before, &slot.before) || !value(change.after, &slot.after))
                return false;
            if (i && !u_lt(&slots.back().key, &slot.key))
                return wrong("slots out of order");
            slots.push_back(slot);
        }
        return true;
    }

    const uint8_t* data_;
    size_t end_;
};

// The value of an account's key. False: `problem` says what is wrong with it.
inline bool parse_record(const char* data, size_t size, AccountRecord* out, const char** problem) noexcept {
    LayoutReader reader(data, size);
    const bool right = reader.record(out);
    *problem = reader.problem;
    return right;
}

}  // namespace evmcore::cache

#endif
