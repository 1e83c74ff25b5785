// One round trip to Redis: everything that is missing in one MULTI ... EXEC, with the head, so that it is known of which
// step the values are. Then what they mean, and into the cache.
#ifndef EVMCORE_CACHE_ROUND_H
#define EVMCORE_CACHE_ROUND_H

#include <algorithm>
#include <string>

#include "info.h"
#include "reader.h"

namespace evmcore::cache {

enum class Fault : uint8_t {
    NONE,
    RECORD,             // the account's record is damaged (`problem`)
    COUNT,              // its storage has another number of slots than the record says
    LOST,               // it has storage, and no record
    VALUE,              // values of some slots are none: those that are `damaged`
    TYPE,               // Redis answered something else than asked for (`problem`: its error)
};

// An account that is asked for, with some of its slots.
struct Ask {
    std::array<uint8_t, 20> address;
    uint32_t generation;        // of the storage hash that is read: as far as is known, else 0
    size_t first, count;        // slots
    // the answer
    bool answered;              // false: its storage is another generation's, ask again
    bool settled;               // was dealt with after an earlier request
    Fault fault;
    AccountRecord record;       // with NO_KEY where there is none
    uint64_t stored;            // HLEN
    std::string problem;
};

struct SlotAsk {
    u256 key;
    u256 value;
    uint64_t hash;              // see StateCache::send_for
    bool stored;
    bool damaged;               // what is stored is no value
};

struct CodeAsk {
    Hash hash;
    const char* data;           // in the reply; NULL: not there
    size_t size;
};

struct HeadSeen {
    bool there;
    uint64_t seq;
    uint64_t stored;            // the step after which the accounts and slots are that were read with it: seq or one less
    uint8_t feed[16], hash[32];
};

enum class RoundOutcome {
    DONE,
    REFUSED,            // Redis answered with an error: `error`
    NO_HEAD,            // there is no state
    BAD_HEAD,           // `error` says what is wrong with it
    MALFORMED,          // not the replies to what was asked
    NO_MEMORY,
};

// The keys of one chain, up to where addresses and hashes begin. `prefix`: {evm:<chain id>}.
struct KeyNames {
    std::string begin;          // MULTI and the reading of the head, as commands
    std::string account, storage, code;

    KeyNames() = default;
    explicit KeyNames(const std::string& prefix)
        : account(prefix + ":a:"), storage(prefix + ":s:"), code(prefix + ":c:") {
        Bytes out;
        write_command(out, 1);
        write_part(out, "MULTI");
        write_head(out, prefix);
        if (out.failed())
            throw std::bad_alloc();
        begin.assign(out.data(), out.size());
    }

    static void write_head(Bytes& out, const std::string& prefix) {
        const std::string head = prefix + ":head";
        write_command(out, 6);
        write_part(out, "HMGET");
        write_part(out, head.data(), head.size());
        write_part(out, "seq");
        write_part(out, "stored");
        write_part(out, "feed");
        write_part(out, "hash");
    }
};

class Round {
public:
    std::vector<Ask> asks;
    std::vector<SlotAsk> slots;
    std::vector<CodeAsk> codes;
    HeadSeen head = {};
    std::string error;
    bool count_evictions = false;       // ask with it how many keys the server has evicted
    int64_t evicted = -1;               // the answer; -1: none

    // From what readers miss (any order, any number of times). The caller has a section open. False: no memory.
    bool gather(std::vector<StateKey>& keys, std::vector<Hash>& hashes, const StateCache& cache) noexcept {
        try {
            collect(keys, hashes, cache);
        } catch (...) {
            return false;
        }
        return true;
    }

    // While the reply is on its way: what it will be put into comes nearer. The caller has a section open.
    void make_ready(const StateCache& cache) noexcept {
        for (const Ask& ask : asks) {
            if (ask.answered)
                continue;
            const uint64_t address_hash = cache.send_for(ask.address.data());
            for (size_t i = ask.first; i < ask.first + ask.count; ++i)
                slots[i].hash = cache.send_for(address_hash, &slots[i].key);
        }
    }

    // Writes the request; the number of replies it will have.
    size_t write(Wire& wire, const KeyNames& names) const noexcept {
        const std::string &account = names.account, &storage = names.storage, &code = names.code;
        Bytes& out = wire.out;
        size_t commands = 1;
        out.clear();
        out.add(names.begin.data(), names.begin.size());
        for (const Ask& ask : asks) {
            if (ask.answered)
                continue;
            write_command(out, 2);
            write_part(out, "GET");
            write_part(out, account.data(), account.size(), ask.address.data(), 20);
            char suffix[32];
            memcpy(suffix, ask.address.data(), 20);
            const size_t size =
                20 + (ask.generation ? static_cast<size_t>(snprintf(suffix + 20, 12, "%u", ask.generation)) : 0);
            write_command(out, 2);
            write_part(out, "HLEN");
            write_part(out, storage.data(), storage.size(), suffix, size);
            commands += 2;
            if (!ask.count)
                continue;
            write_command(out, 2 + ask.count);
            write_part(out, "HMGET");
            write_part(out, storage.data(), storage.size(), suffix, size);
            for (size_t i = ask.first; i < ask.first + ask.count; ++i)
                write_word(out, slots[i].key);
            ++commands;
        }
        if (!codes.empty()) {
            write_command(out, 1 + codes.size());
            write_part(out, "MGET");
            for (const CodeAsk& ask : codes)
                write_part(out, code.data(), code.size(), ask.hash.data(), 32);
            ++commands;
        }
        if (count_evictions)
            write_evictions(out), ++commands;
        write_command(out, 1);
        write_part(out, "EXEC");
        return commands + 2;
    }

    static void write_evictions(Bytes& out) {
        write_command(out, 2);
        write_part(out, "INFO");
        write_part(out, "stats");
    }

    // Understands the replies to `write`. In a complete state every account that has storage has a record.
    RoundOutcome read(const Wire& wire, size_t replies, bool complete_state) noexcept {
        try {
            return understand(wire, replies, complete_state);
        } catch (...) {
            return RoundOutcome::NO_MEMORY;
        }
    }

    // The reply to `write_head`, whose first node is at `at`.
    static RoundOutcome read_head(const std::vector<Node>& nodes, const char* bytes, size_t* at, HeadSeen* head,
                                  std::string* error) {
        if (*at < nodes.size() && refused(nodes[*at], bytes, error))
            return RoundOutcome::REFUSED;
        if (*at + 5 > nodes.size() || !nodes[*at].is('*') || nodes[*at].number != 4)
            return RoundOutcome::MALFORMED;
        const Node *seq = &nodes[*at + 1], *stored = &nodes[*at + 2], *feed = &nodes[*at + 3], *hash = &nodes[*at + 4];
        *at += 5;
        head->there = false;
        if (seq->is('_') && stored->is('_') && feed->is('_') && hash->is('_'))
            return RoundOutcome::NO_HEAD;
        if (!seq->is('$') || !read_decimal(bytes + seq->at, static_cast<size_t>(seq->number), &head->seq) || !head->seq)
            *error = "the field seq is missing or not a number from 1";
        else if (!stored->is('$') || !read_decimal(bytes + stored->at, static_cast<size_t>(stored->number), &head->stored) ||
                 (head->stored != head->seq && head->stored + 1 != head->seq))
            *error = "the field stored is missing or neither seq nor one less";
        else if (!feed->is('$') || feed->number != 16)
            *error = "the field feed is missing or not of 16 bytes";
        else if (!hash->is('$') || hash->number != 32)
            *error = "the field hash is missing or not of 32 bytes";
        else {
            memcpy(head->feed, bytes + feed->at, 16);
            memcpy(head->hash, bytes + hash->at, 32);
            head->there = true;
            return RoundOutcome::DONE;
        }
        return RoundOutcome::BAD_HEAD;
    }

    static bool read_decimal(const char* text, size_t size, uint64_t* out) noexcept {
        if (size == 0 || size > 20 || (size > 1 && text[0] == '0'))
            return false;
        unsigned __int128 value = 0;
        for (size_t i = 0; i < size; ++i) {
            if (text[i] < '0' || text[i] > '9')
                return false;
            value = value * 10 + static_cast<unsigned>(text[i] - '0');
        }
        *out = static_cast<uint64_t>(value);
        return value >> 64 == 0;
    }

    // Whether some account's storage turned out to be of another generation than was asked for; the next `write` asks
    // for these alone.
    bool to_be_continued() const noexcept {
        return std::any_of(asks.begin(), asks.end(), [](const Ask& ask) { return !ask.answered; });
    }

    // Whether something of what was answered is damaged.
    bool faulty() const noexcept {
        return std::any_of(asks.begin(), asks.end(),
                           [](const Ask& ask) { return ask.answered && ask.fault != Fault::NONE; });
    }

    // Whether it asks for an account without slots, which may well not exist: that it was not lost is then known with it.
    bool may_lack_accounts() const noexcept {
        return std::any_of(asks.begin(), asks.end(), [](const Ask& ask) { return !ask.answered && !ask.count; });
    }

    // Whether an account has no record though all accounts should be there: it does not exist, or was lost.
    bool lacks_accounts() const noexcept {
        return std::any_of(asks.begin(), asks.end(),
                           [](const Ask& ask) { return usable(ask) && ask.record.presence == NO_KEY; });
    }

    // Puts what was read at `head.stored`, a step of the cache's window, into the cache, and what the cache does not take
    // into the reader's own keeping. Takes the cache's lock; the caller has a section open.
    Added settle(StateCache& cache, Reader& reader, bool complete_state) noexcept {
        try {
            return put_into(cache, reader, complete_state);
        } catch (...) {
            return Added::NO_MEMORY;
        }
    }

    // Whether an account that the reader knows is not here: what was read is of a step before it was loaded.
    bool precedes_load(const Reader& reader, bool complete_state) const noexcept {
        AccountRecord record;
        return head.stored < reader.view.seq && std::any_of(asks.begin(), asks.end(), [&](const Ask& ask) {
            return usable(ask) && ask.count && lacks(ask, complete_state) &&
                   reader.view.cache->account(reader.view.seq, ask.address.data(), &record) && record.presence != NO_KEY;
        });
    }

private:
    void collect(std::vector<StateKey>& keys, std::vector<Hash>& hashes, const StateCache& cache) {
        asks.clear();
        slots.clear();
        codes.clear();
        std::sort(keys.begin(), keys.end());
        keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
        std::sort(hashes.begin(), hashes.end());
        hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
        slots.reserve(keys.size());
        for (const StateKey& key : keys) {
            if (asks.empty() || !same_address(asks.back().address.data(), key.address.data())) {
                asks.emplace_back();
                Ask& ask = asks.back();
                ask.address = key.address;
                ask.first = slots.size();
                ask.count = 0;
                AccountRecord known;
                ask.generation = cache.account(StateCache::LATEST - 1, key.address.data(), &known) ? known.generation : 0;
            }
            if (key.is_slot) {
                slots.push_back(SlotAsk{key.slot, {}, 0, false, false});
                ++asks.back().count;
            }
        }
        for (const Hash& hash : hashes)
            codes.push_back(CodeAsk{hash, nullptr, 0});
    }

    // Whether a reply is an error, which `error` then tells.
    static bool refused(const Node& node, const char* bytes, std::string* error) {
        if (!node.is('-'))
            return false;
        error->assign(bytes + node.at, static_cast<size_t>(node.number));
        return true;
    }

    RoundOutcome understand(const Wire& wire, size_t replies, bool complete_state) {
        const std::vector<Node>& nodes = wire.parser.nodes;
        const char* bytes = wire.in.data();
        for (size_t i = 0; i + 1 < replies; ++i) {
            if (i >= nodes.size())
                return RoundOutcome::MALFORMED;
            if (refused(nodes[i], bytes, &error))
                return RoundOutcome::REFUSED;
            if (!nodes[i].is('+'))
                return RoundOutcome::MALFORMED;
        }
        at_ = replies - 1;
        if (at_ < nodes.size() && refused(nodes[at_], bytes, &error))
            return RoundOutcome::REFUSED;
        if (at_ >= nodes.size() || !nodes[at_].is('*') || nodes[at_].number != static_cast<int64_t>(replies - 2))
            return RoundOutcome::MALFORMED;
        ++at_;
        const RoundOutcome outcome = read_head(nodes, bytes, &at_, &head, &error);
        if (outcome != RoundOutcome::DONE)
            return outcome;
        for (Ask& ask : asks)
            if (!ask.answered && !read_ask(ask, nodes, bytes, complete_state))
                return RoundOutcome::MALFORMED;
        if (!codes.empty() && !read_codes(nodes, bytes))
            return RoundOutcome::MALFORMED;
        if (count_evictions) {
            if (at_ >= nodes.size())
                return RoundOutcome::MALFORMED;
            if (refused(nodes[at_], bytes, &error))
                return RoundOutcome::REFUSED;
            if (!nodes[at_].is('$'))
                return RoundOutcome::MALFORMED;
            evicted = evicted_keys(bytes + nodes[at_].at, static_cast<size_t>(nodes[at_].number));
            ++at_;
        }
        return at_ == nodes.size() ? RoundOutcome::DONE : RoundOutcome::MALFORMED;
    }

    Added put_into(StateCache& cache, Reader& reader, bool complete_state) {
        std::lock_guard<std::mutex> guard(cache.editing);
        const uint64_t evictions = cache.evictions();
        bool all_there = complete_state;        // whoever reads the cache will find all of it
        std::vector<StateCache::SlotSeen> seen;
        seen.reserve(slots.size());
        for (const Ask& ask : asks) {
            if (!usable(ask))
                continue;
            if (ask.record.presence != NO_KEY || complete_state) {
                const Added added = cache.add_account(head.stored, ask.address.data(), ask.record);
                if (added == Added::NO_MEMORY || added == Added::OUTSIDE)
                    return added;
            }
            const bool exists = ask.record.presence == EXISTS;
            const bool zeros = exists ? ask.record.storage_complete : ask.record.presence == IS_ABSENT || complete_state;
            const bool zeros_hold = zeros && cache.storage_always_complete(ask.address.data(), complete_state);
            seen.clear();
            for (size_t i = ask.first; i < ask.first + ask.count; ++i)
                if (!slots[i].damaged && (slots[i].stored || zeros_hold))
                    seen.push_back({&slots[i].key, &slots[i].value, slots[i].hash});
            if (!seen.empty()) {
                const Added put = cache.add_slots(head.stored, ask.address.data(), seen.data(), seen.size());
                if (put == Added::NO_MEMORY || put == Added::OUTSIDE)
                    return put;
            }
            all_there = all_there && seen.size() == ask.count;
        }
        if (!(all_there && cache.evictions() == evictions))
            keep(reader, complete_state);
        for (Ask& ask : asks)
            ask.settled = ask.answered;
        return Added::ADDED;
    }

    static bool usable(const Ask& ask) noexcept {
        return ask.answered && !ask.settled && (ask.fault == Fault::NONE || ask.fault == Fault::VALUE);
    }

    static bool lacks(const Ask& ask, bool complete_state) noexcept {
        return ask.record.presence == NO_KEY && !complete_state;
    }

    // Whatever the reader would still not find: the value at its step is the one read, as the cache knows of no change.
    void keep(Reader& reader, bool complete_state) {
        AccountRecord record;
        u256 value;
        for (const Ask& ask : asks) {
            if (!usable(ask))
                continue;
            const uint8_t* address = ask.address.data();
            if (reader.account(address, &record) == Answer::MISSING) {
                if (ask.record.presence != NO_KEY || complete_state)
                    reader.own_account(address, ask.record);
                else
                    reader.note_lack(StateKey::of_account(address));
            }
            for (size_t i = ask.first; i < ask.first + ask.count; ++i) {
                const SlotAsk& slot = slots[i];
                if (slot.damaged ||
                    reader.slot(address, &slot.key, &value) != Answer::MISSING)
                    continue;
                // A slot that is not stored is zero for this reader if the storage is complete at its own step, and was
                // here at the step that was read.
                if (!slot.stored && (lacks(ask, complete_state) || reader.account(address, &record) != Answer::KNOWN ||
                                     record.presence != EXISTS || !record.storage_complete)) {
                    reader.note_lack(StateKey::of_slot(address, &slot.key));
                    continue;
                }
                reader.own_slot(address, &slot.key, slot.value);
            }
        }
    }

    static bool skip(const std::vector<Node>& nodes, size_t* at) noexcept {
        int64_t left = 1;
        for (; left; --left) {
            if (*at >= nodes.size())
                return false;
            if (nodes[*at].is('*'))
                left += nodes[*at].number;
            ++*at;
        }
        return true;
    }

    // An element that is not of the type asked for: Redis's own error, or another type of value.
    bool odd(Ask& ask, const std::vector<Node>& nodes, const char* bytes) {
        if (at_ >= nodes.size())
            return false;
        ask.fault = Fault::TYPE;
        if (nodes[at_].is('-'))
            ask.problem.assign(bytes + nodes[at_].at, static_cast<size_t>(nodes[at_].number));
        return skip(nodes, &at_);
    }

    bool read_ask(Ask& ask, const std::vector<Node>& nodes, const char* bytes, bool complete_state) {
        ask.answered = true;
        ask.fault = Fault::NONE;
        if (at_ >= nodes.size())
            return false;
        if (nodes[at_].is('$')) {
            LayoutReader reader(bytes + nodes[at_].at, static_cast<size_t>(nodes[at_].number));
            if (!reader.record(&ask.record)) {
                ask.fault = Fault::RECORD;
                ask.problem = reader.problem;
            }
            ++at_;
        } else if (nodes[at_].is('_')) {
            ask.record = record_without_account(NO_KEY);
            ++at_;
        } else if (!odd(ask, nodes, bytes)) {
            return false;
        }
        if (at_ >= nodes.size())
            return false;
        ask.stored = 0;
        if (nodes[at_].is(':') && nodes[at_].number >= 0) {
            ask.stored = static_cast<uint64_t>(nodes[at_].number);
            ++at_;
        } else if (!ask.count && nodes[at_].is('-')) {
            ask.stored = 1;     // something else under the name of the storage, which only matters without a record
            ++at_;
        } else if (!odd(ask, nodes, bytes)) {
            return false;
        }
        if (complete_state && ask.fault == Fault::NONE && ask.record.presence == NO_KEY && ask.stored)
            ask.fault = Fault::LOST;
        if (!ask.count)
            return true;
        if (at_ < nodes.size() && nodes[at_].is('*') && nodes[at_].number == static_cast<int64_t>(ask.count)) {
            if (++at_ + ask.count > nodes.size())
                return false;
            for (size_t i = ask.first; i < ask.first + ask.count; ++i, ++at_) {
                SlotAsk& slot = slots[i];
                u_zero(&slot.value);
                slot.stored = nodes[at_].is('$');
                slot.damaged = false;
                if (nodes[at_].is('_'))
                    continue;
                const bool right = slot.stored && read_value(reinterpret_cast<const uint8_t*>(bytes + nodes[at_].at),
                                                             static_cast<size_t>(nodes[at_].number), &slot.value);
                const bool empty = right && nodes[at_].number == 0 && ask.record.storage_complete;
                slot.damaged = !right || empty;
                if (slot.damaged && ask.fault == Fault::NONE)
                    ask.fault = Fault::VALUE;
            }
        } else if (!odd(ask, nodes, bytes)) {
            return false;
        }
        if (ask.fault != Fault::NONE && ask.fault != Fault::VALUE)
            return true;
        if (ask.record.presence == EXISTS && ask.record.generation != ask.generation) {
            ask.generation = ask.record.generation;
            ask.answered = false;
        } else if (ask.record.presence == EXISTS && ask.record.slot_count != ask.stored) {
            ask.fault = Fault::COUNT;
        } else if (ask.record.presence != EXISTS) {
            ask.fault = Fault::NONE;
            for (size_t i = ask.first; i < ask.first + ask.count; ++i)     // whatever an old generation still holds
                slots[i].stored = slots[i].damaged = false, u_zero(&slots[i].value);
        }
        return true;
    }

    bool read_codes(const std::vector<Node>& nodes, const char* bytes) {
        if (at_ >= nodes.size() || !nodes[at_].is('*') || nodes[at_].number != static_cast<int64_t>(codes.size()) ||
            ++at_ + codes.size() > nodes.size())
            return false;
        for (CodeAsk& code : codes) {
            if (nodes[at_].is('*'))
                return false;
            code.data = nodes[at_].is('$') ? bytes + nodes[at_].at : nullptr;
            code.size = code.data ? static_cast<size_t>(nodes[at_].number) : 0;
            ++at_;
        }
        return true;
    }

    size_t at_ = 0;
};

}  // namespace evmcore::cache

#endif
