// Following the feed: entries in order into the cache, each checked against the one before; what the head after each step
// was; and whether what Redis holds is still the same history.
#ifndef EVMCORE_CACHE_FOLLOW_H
#define EVMCORE_CACHE_FOLLOW_H

#include "round.h"

namespace evmcore::cache {

// The head after a step.
struct Label {
    uint64_t seq;
    char kind;                  // 'b' block, 'r' revert, 'l' load; 's': where the reader started
    uint8_t hash[32];
    std::string header;         // RLP
    int64_t published_us = 0;   // by the writer's clock; 0: not known
    int64_t seen_us = 0;        // when readers here could see it
};

enum class Followed {
    GOING_ON,
    STOPPED,
    IO,                 // `io` of the wire says what
    REFUSED,            // Redis answered with an error: `problem`
    MALFORMED,          // not the replies to what was asked
    NO_HEAD,            // there is no state (any more)
    REBUILT,            // the state is another one: a new feed
    DIVERGED,           // steps that are known here have happened otherwise there
    GAP,                // entries were trimmed before they were read
    DAMAGED,            // a head or an entry is not what it should be: `problem`
    NO_MEMORY,
    EVICTED,            // the server has evicted keys since the state was whole
    MAY_EVICT,          // the server is set up to evict keys when its memory is full
};

class Follower {
public:
    using Hasher = void (*)(const uint8_t* data, size_t size, uint8_t* digest);
    using TakeCode = int (*)(const uint8_t* hash, const uint8_t* data, size_t size);     // 0: the hash is not its own

    StateCache& cache;
    const std::string prefix;
    Io io = Io::DONE;
    std::string problem;

    std::atomic<int64_t> confirmed{0};      // when Redis last said that nothing newer exists (monotonic ns)
    std::atomic<uint64_t> seen_seq{0};      // the newest step that is known to exist
    std::atomic<bool> caught_up{false};     // every entry that existed at the start is here
    std::atomic<bool> behind{false};        // Redis has lost steps that are known here, and may get them back
    std::atomic<uint64_t> entries{0}, entry_bytes{0}, corrections{0};
    std::atomic<int64_t> evicted{-1};       // keys, as the server last counted them
    int64_t whole = -1;                     // how that counter stands as long as nothing was lost; -1: it does not matter

    Follower(StateCache& cache, std::string prefix, const uint8_t* feed, Hasher hasher, TakeCode take_code)
        : cache(cache), prefix(std::move(prefix)), hasher_(hasher), take_code_(take_code) {
        memcpy(feed_, feed, 16);
    }

    void start(Label label) {
        std::lock_guard<std::mutex> guard(labels_mutex_);
        labels_.push_back(std::move(label));
    }

    const uint8_t* feed() const noexcept { return feed_; }

    // The label of a step; false: it is not held.
    bool copy_label(uint64_t seq, Label* out) const {
        std::lock_guard<std::mutex> guard(labels_mutex_);
        const Label* found = find(seq);
        if (found)
            *out = *found;
        return found != nullptr;
    }

    // Whether a head is one of the history known here, as far as that can be told. Any thread.
    Followed check(const HeadSeen& head) const noexcept {
        if (memcmp(head.feed, feed_, 16) != 0)
            return Followed::REBUILT;
        std::lock_guard<std::mutex> guard(labels_mutex_);
        const Label* known = find(head.seq);
        if (!known)
            return Followed::GOING_ON;
        // Which state came before, only a block says by its hash, so only blocks are ahead of what is stored.
        const bool may_be_ahead = known->kind == 'b' || known->kind == 's';
        const bool same = memcmp(known->hash, head.hash, 32) == 0 && (head.stored == head.seq || may_be_ahead);
        return same ? Followed::GOING_ON : Followed::DIVERGED;
    }

    // Reads and applies until something ends it. `stop` and the socket belong to the caller.
    Followed run(Wire& wire, int fd, const uint32_t* stop, int64_t block_ms, int64_t timeout_ns) {
        for (;;) {
            if (__atomic_load_n(stop, __ATOMIC_RELAXED))
                return Followed::STOPPED;
            write(wire, block_ms);
            io = wire.exchange(fd, replies(), monotonic_now() + block_ms * 1'000'000 + timeout_ns, stop);
            if (io != Io::DONE)
                return io == Io::STOPPED ? Followed::STOPPED : Followed::IO;
            const Followed outcome = take(wire);
            if (outcome != Followed::GOING_ON)
                return outcome;
        }
    }

    // To what was written last.
    size_t replies() const noexcept { return asked_memory_ ? 4 : 3; }

    // The first requests do not wait for news: there is a past to catch up with.
    void write(Wire& wire, int64_t block_ms) {
        if (!caught_up.load(std::memory_order_relaxed))
            block_ms = 1;
        Bytes& out = wire.out;
        out.clear();
        KeyNames::write_head(out, prefix);
        Round::write_evictions(out);
        const int64_t now = monotonic_now();
        asked_memory_ = now >= next_look_;
        if (asked_memory_) {
            next_look_ = now + LOOK_AGAIN;
            write_command(out, 2);
            write_part(out, "INFO");
            write_part(out, "memory");
        }
        const std::string feed = prefix + ":feed", block = std::to_string(block_ms),
                          id = std::to_string(cache.latest()) + "-0";
        write_command(out, 8);
        write_part(out, "XREAD");
        write_part(out, "COUNT");
        write_part(out, "16");
        write_part(out, "BLOCK");
        write_part(out, block.data(), block.size());
        write_part(out, "STREAMS");
        write_part(out, feed.data(), feed.size());
        write_part(out, id.data(), id.size());
    }

    // What the replies to `write` say.
    Followed take(const Wire& wire) {
        try {
            return taken(wire);
        } catch (const std::bad_alloc&) {
            return Followed::NO_MEMORY;
        }
    }

private:
    static constexpr int64_t LOOK_AGAIN = 2'000'000'000;    // ns between two looks at how the server is set up

    struct Piece {
        const uint8_t* data = nullptr;
        size_t size = 0;
    };

    struct Entry {
        uint64_t seq;
        Piece kind, header, hash, parent, changes, time;
    };

    Followed taken(const Wire& wire) {
        const std::vector<Node>& nodes = wire.parser.nodes;
        const char* bytes = wire.in.data();
        size_t at = 0;
        HeadSeen head;
        switch (Round::read_head(nodes, bytes, &at, &head, &problem)) {
        case RoundOutcome::DONE:
            break;
        case RoundOutcome::NO_HEAD:
            return Followed::NO_HEAD;
        case RoundOutcome::REFUSED:
            return Followed::REFUSED;
        case RoundOutcome::BAD_HEAD:
            return Followed::DAMAGED;
        default:
            return Followed::MALFORMED;
        }
        const Followed same = check(head);
        if (same != Followed::GOING_ON)
            return same;
        const Followed kept = check_evictions(nodes, bytes, &at);
        if (kept != Followed::GOING_ON)
            return kept;
        const uint64_t before = cache.latest();
        behind.store(head.seq < before, std::memory_order_relaxed);
        if (head.seq > seen_seq.load(std::memory_order_relaxed))
            seen_seq.store(head.seq, std::memory_order_relaxed);
        if (at >= nodes.size())
            return Followed::MALFORMED;
        if (nodes[at].is('-')) {
            problem.assign(bytes + nodes[at].at, static_cast<size_t>(nodes[at].number));
            return Followed::REFUSED;
        }
        if (nodes[at].is('*')) {
            // one stream: its name, and the entries
            if (nodes[at].number != 1 || at + 4 > nodes.size() || !nodes[at + 1].is('*') || nodes[at + 1].number != 2 ||
                !nodes[at + 2].is('$') || !nodes[at + 3].is('*'))
                return Followed::MALFORMED;
            const int64_t count = nodes[at + 3].number;
            at += 4;
            for (int64_t i = 0; i < count; ++i) {
                Entry entry;
                if (!read_entry(nodes, bytes, &at, &entry))
                    return Followed::MALFORMED;
                const Followed outcome = apply(entry);
                if (outcome != Followed::GOING_ON)
                    return outcome;
            }
        } else if (!nodes[at].is('_')) {
            return Followed::MALFORMED;
        } else if (head.seq > before) {
            return Followed::GAP;       // the head is ahead, and there is no feed
        } else {
            std::lock_guard<std::mutex> guard(cache.editing);
            cache.tidy();
        }
        if (cache.latest() >= head.seq && !behind.load(std::memory_order_relaxed)) {
            caught_up.store(true, std::memory_order_release);
            confirmed.store(monotonic_now(), std::memory_order_release);
        }
        return Followed::GOING_ON;
    }

    Followed check_evictions(const std::vector<Node>& nodes, const char* bytes, size_t* at) {
        for (int look = asked_memory_ ? 2 : 1; look; --look, ++*at) {
            if (*at >= nodes.size())
                return Followed::MALFORMED;
            const Node& node = nodes[*at];
            if (node.is('-')) {
                problem.assign(bytes + node.at, static_cast<size_t>(node.number));
                return Followed::REFUSED;
            }
            if (!node.is('$'))
                return Followed::MALFORMED;
            const char* text = bytes + node.at;
            const size_t size = static_cast<size_t>(node.number);
            if (asked_memory_ && look == 1) {
                if (may_evict(text, size))
                    return Followed::MAY_EVICT;
                continue;
            }
            const int64_t count = evicted_keys(text, size);
            evicted.store(count, std::memory_order_relaxed);
            if (whole >= 0 && count != whole)
                return Followed::EVICTED;
        }
        return Followed::GOING_ON;
    }

    static bool read_entry(const std::vector<Node>& nodes, const char* bytes, size_t* at, Entry* entry) {
        if (*at + 3 > nodes.size() || !nodes[*at].is('*') || nodes[*at].number != 2 || !nodes[*at + 1].is('$') ||
            !nodes[*at + 2].is('*') || nodes[*at + 2].number % 2)
            return false;
        const char* id = bytes + nodes[*at + 1].at;
        const size_t size = static_cast<size_t>(nodes[*at + 1].number);
        entry->seq = 0;     // no step: what does not look like one is a gap
        if (size > 2 && id[size - 2] == '-' && id[size - 1] == '0')
            Round::read_decimal(id, size - 2, &entry->seq);
        const size_t fields = static_cast<size_t>(nodes[*at + 2].number);
        *at += 3;
        if (*at + fields > nodes.size())
            return false;
        for (size_t i = 0; i < fields; i += 2, *at += 2) {
            const Node &name = nodes[*at], &value = nodes[*at + 1];
            if (!name.is('$') || !value.is('$'))
                return false;
            const Piece piece{reinterpret_cast<const uint8_t*>(bytes) + value.at, static_cast<size_t>(value.number)};
            if (name.number != 1)
                continue;
            switch (bytes[name.at]) {
            case 'k':
                entry->kind = piece;
                break;
            case 'h':
                entry->header = piece;
                break;
            case 'x':
                entry->hash = piece;
                break;
            case 'p':
                entry->parent = piece;
                break;
            case 'd':
                entry->changes = piece;
                break;
            case 't':
                entry->time = piece;
                break;
            }
        }
        return true;
    }

    Followed damaged(uint64_t seq, const char* what) {
        problem = "entry " + std::to_string(seq) + ": " + what;
        return Followed::DAMAGED;
    }

    Followed apply(const Entry& entry) {
        const uint64_t before = cache.latest();
        if (entry.seq != before + 1)
            return Followed::GAP;
        Label label;
        uint8_t digest[32];
        if (!entry.header.data || !entry.parent.data || !entry.changes.data || entry.hash.size != 32)
            return damaged(entry.seq, "one of the fields h, x, p, d is missing");
        const auto kind_is = [&](const char* text) {
            return entry.kind.size == strlen(text) && memcmp(entry.kind.data, text, entry.kind.size) == 0;
        };
        if (!kind_is("block") && !kind_is("revert") && !kind_is("load"))
            return damaged(entry.seq, "its kind is none of block, revert, load");
        hasher_(entry.header.data, entry.header.size, label.hash);
        if (memcmp(label.hash, entry.hash.data, 32) != 0)
            return damaged(entry.seq, "its header has another hash than it says");
        hasher_(entry.parent.data, entry.parent.size, digest);
        {
            std::lock_guard<std::mutex> guard(labels_mutex_);
            const Label* last = find(before);
            if (last && memcmp(last->hash, digest, 32) != 0)
                return Followed::DIVERGED;
        }
        LayoutReader reader(entry.changes.data, entry.changes.size);
        if (!reader.changes(accounts_, slots_, codes_)) {
            problem = "entry " + std::to_string(entry.seq) + ": changes: " + reader.problem + " (byte " +
                      std::to_string(reader.at) + ")";
            return Followed::DAMAGED;
        }
        for (const NewCode& code : codes_)
            if (!take_code_(code.hash, code.data, code.size))
                return damaged(entry.seq, "a code has another hash than it is listed under");
        label.seq = entry.seq;
        label.kind = static_cast<char>(entry.kind.data[0]);
        label.header.assign(reinterpret_cast<const char*>(entry.header.data), entry.header.size);
        uint64_t published = 0;
        Round::read_decimal(reinterpret_cast<const char*>(entry.time.data), entry.time.size, &published);
        label.published_us = static_cast<int64_t>(published);
        {
            // The label first: whoever sees the step finds its label.
            std::lock_guard<std::mutex> guard(labels_mutex_);
            labels_.push_back(std::move(label));
            while (labels_.front().seq + 1 < cache.oldest())
                labels_.pop_front();
        }
        int64_t now;
        {
            std::lock_guard<std::mutex> guard(cache.editing);
            if (cache.apply(entry.seq, accounts_, slots_) != Added::ADDED)
                return Followed::NO_MEMORY;
            now = std::chrono::duration_cast<std::chrono::microseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
            cache.settle(accounts_.size() + slots_.size());
        }
        {
            std::lock_guard<std::mutex> guard(labels_mutex_);
            labels_.back().seen_us = now;
        }
        entries.fetch_add(1, std::memory_order_relaxed);
        entry_bytes.fetch_add(entry.changes.size, std::memory_order_relaxed);
        return Followed::GOING_ON;
    }

    // Under the lock.
    const Label* find(uint64_t seq) const noexcept {
        if (labels_.empty() || seq < labels_.front().seq || seq > labels_.back().seq)
            return nullptr;
        return &labels_[seq - labels_.front().seq];
    }

    uint8_t feed_[16];
    bool asked_memory_ = false;
    int64_t next_look_ = 0;     // monotonic ns
    const Hasher hasher_;
    const TakeCode take_code_;
    mutable std::mutex labels_mutex_;
    std::deque<Label> labels_;          // of consecutive steps
    std::vector<AccountChange> accounts_;
    std::vector<SlotChange> slots_;
    std::vector<NewCode> codes_;
};

}  // namespace evmcore::cache

#endif
