// Stress test of the state cache on real threads: a feed that applies random steps, readers pinned at steps of the
// window, cold readers that bring in values of older steps, evictions, growth. Every value that is found is compared
// with a model that knows the whole history.
//
//   g++ -std=c++17 -O2 -Wall -Wextra -pthread -I src/evmcore/include tests/native/cache_driver.cpp -o cache_driver
//   (for the sanitizers add -g -fsanitize=thread, or -g -fsanitize=address,undefined)
//   ./cache_driver [--seed N] [--steps N] [--readers N] [--limit BYTES]
#include "cache/state_cache.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>

using namespace evmcore::cache;

struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = (state += 0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    uint64_t below(uint64_t n) { return next() % n; }
};

static constexpr uint64_t ACCOUNTS = 64, SLOTS = 64, FIRST = 1000, RING = 16, SLACK = 40;

// The value of each key at each step; the feed writes it before the step is published.
struct History {
    std::mutex mutex;
    std::vector<std::pair<uint64_t, uint64_t>> values{{0, 0}};      // (step, value)

    uint64_t at(uint64_t seq) {
        std::lock_guard<std::mutex> guard(mutex);
        size_t i = values.size();
        while (values[--i].first > seq) {
        }
        return values[i].second;
    }
    void set(uint64_t seq, uint64_t value) {
        std::lock_guard<std::mutex> guard(mutex);
        values.emplace_back(seq, value);
    }
};

static History slots[ACCOUNTS][SLOTS], nonces[ACCOUNTS];
static std::atomic<bool> done{false};
static std::atomic<uint64_t> hits{0}, misses{0}, added{0}, opened{0}, expired{0};
static uint64_t seed = 1;

static void fail(const char* what, uint64_t a, uint64_t b) {
    fprintf(stderr, "FAILED: %s: %llu, %llu (--seed %llu)\n", what, static_cast<unsigned long long>(a),
            static_cast<unsigned long long>(b), static_cast<unsigned long long>(seed));
    abort();
}

static void address_of(uint64_t number, uint8_t* out) {
    memset(out, 0x11, 20);
    memcpy(out + 3, &number, 8);
}

static u256 key_of(uint64_t number) { return u256{{number * 7, 0, 5, number}}; }

static AccountRecord record_of(uint64_t nonce) {
    AccountRecord record = {};
    record.balance.w[1] = nonce;
    record.nonce = nonce;
    record.presence = EXISTS;
    record.storage_complete = true;
    return record;
}

static void feed(StateCache* cache, uint64_t steps) {
    Random random{seed};
    for (uint64_t seq = FIRST + 1; seq <= FIRST + steps; ++seq) {
        std::vector<AccountChange> accounts;
        std::vector<SlotChange> changed;
        for (uint64_t account = random.below(4); account < ACCOUNTS; account += 1 + random.below(16)) {
            AccountChange change = {};
            address_of(account, change.address);
            const uint64_t before = nonces[account].at(seq), after = random.next();
            change.before = record_of(before);
            change.after = record_of(after);
            change.record_changes = random.below(2);
            if (change.record_changes)
                nonces[account].set(seq, after);
            change.first_slot = changed.size();
            for (uint64_t slot = random.below(40); slot < SLOTS; slot += 1 + random.below(24)) {
                const uint64_t old = slots[account][slot].at(seq), value = random.next();
                changed.push_back(SlotChange{key_of(slot), {{{old, 0, 0, 0}}, old % 5 != 1}, {{{value, 0, 0, 0}}, value % 5 != 1}});
                slots[account][slot].set(seq, value);
            }
            change.slot_count = changed.size() - change.first_slot;
            accounts.push_back(change);
        }
        {
            std::lock_guard<std::mutex> guard(cache->editing);
            if (cache->apply(seq, accounts, changed) != Added::ADDED)
                fail("apply", seq, 0);
            cache->settle(accounts.size() + changed.size());
        }
        if (random.below(8) == 0)
            std::this_thread::yield();
    }
    done = true;
}

static void check_slot(StateCache* cache, const View& view, uint64_t account, uint64_t slot) {
    uint8_t address[20];
    address_of(account, address);
    const u256 key = key_of(slot);
    SlotValue found;
    if (!cache->slot(view.seq, address, &key, &found)) {
        misses.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    const uint64_t right = slots[account][slot].at(view.seq);
    if (found.value.w[0] != right || found.known != (right % 5 != 1))
        fail("slot", found.value.w[0], right);
    hits.fetch_add(1, std::memory_order_relaxed);
}

static void check_account(StateCache* cache, const View& view, uint64_t account) {
    uint8_t address[20];
    address_of(account, address);
    AccountRecord found;
    if (!cache->account(view.seq, address, &found))
        return;
    const uint64_t right = nonces[account].at(view.seq);
    if (found.nonce != right || found.balance.w[1] != right)
        fail("account", found.nonce, right);
}

static void read(StateCache* cache, uint64_t number) {
    Random random{seed * 1000 + number};
    while (!done) {
        View view;
        const uint64_t newest = cache->latest(), back = random.below(RING + 4);
        if (!cache->open(&view, random.below(3) ? StateCache::LATEST : newest > back ? newest - back : 0))
            continue;
        opened.fetch_add(1, std::memory_order_relaxed);
        for (uint64_t sections = random.below(4); sections-- && !done;) {
            cache->begin(&view);
            if (!view.usable) {
                expired.fetch_add(1, std::memory_order_relaxed);
                cache->end(&view);
                break;
            }
            for (uint64_t reads = random.below(200); reads--;) {
                uint8_t address[20];
                address_of(random.below(ACCOUNTS), address);
                const u256 key = key_of(random.below(SLOTS));
                cache->send_for(cache->send_for(address), &key);
                check_slot(cache, view, random.below(ACCOUNTS), random.below(SLOTS));
                check_account(cache, view, random.below(ACCOUNTS));
            }
            cache->end(&view);
            if (random.below(16) == 0)
                cache->wait_for(view.seq + random.below(2 * (RING + SLACK)),
                                std::chrono::duration_cast<std::chrono::nanoseconds>(
                                    std::chrono::steady_clock::now().time_since_epoch()).count() + 2'000'000);
        }
        cache->close(&view);
    }
}

// Values as Redis would give them: those after some step near the latest, added to the cache a little later.
static void fetch(StateCache* cache, uint64_t number) {
    Random random{seed * 2000 + number};
    while (!done) {
        const uint64_t newest = cache->latest(), back = random.below(RING + 2), seq = newest - (back > newest ? 0 : back);
        struct Read {
            uint64_t account, slot, value;
        };
        std::vector<Read> reads;
        for (uint64_t i = random.below(12); i--;) {
            Read read{random.below(ACCOUNTS), random.below(SLOTS), 0};
            read.value = slots[read.account][read.slot].at(seq);
            reads.push_back(read);
        }
        const uint64_t account = random.below(ACCOUNTS), nonce = nonces[account].at(seq);
        if (random.below(4) == 0)
            std::this_thread::yield();
        std::lock_guard<std::mutex> guard(cache->editing);
        uint8_t address[20];
        for (const Read& read : reads) {
            if (read.value % 5 == 1)
                continue;                   // not known: there is nothing to add
            address_of(read.account, address);
            const u256 key = key_of(read.slot), value{{read.value, 0, 0, 0}};
            if (cache->add_slot(seq, address, &key, &value) == Added::ADDED)
                added.fetch_add(1, std::memory_order_relaxed);
        }
        address_of(account, address);
        const AccountRecord record = record_of(nonce);
        cache->add_account(seq, address, record);
    }
}

int main(int argc, char** argv) {
    uint64_t steps = 2000, readers = 3, limit = 300'000;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const uint64_t value = strtoull(argv[i + 1], nullptr, 10);
        if (name == "--seed")
            seed = value;
        else if (name == "--steps")
            steps = value;
        else if (name == "--readers")
            readers = value;
        else if (name == "--limit")
            limit = value;
        else
            fail("unknown argument", i, 0);
    }
    Random random{seed};
    HashKey key;
    for (uint64_t& word : key.k)
        word = random.next();
    for (uint64_t account = 0; account < ACCOUNTS; ++account) {
        nonces[account].set(1, random.next());
        for (uint64_t slot = 0; slot < SLOTS; ++slot)
            slots[account][slot].set(1, random.next());
    }
    auto cache = std::make_unique<StateCache>(key, FIRST, RING, SLACK, limit);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < readers; ++i)
        threads.emplace_back(read, cache.get(), i);
    for (uint64_t i = 0; i < 2; ++i)
        threads.emplace_back(fetch, cache.get(), i);
    feed(cache.get(), steps);
    for (std::thread& thread : threads)
        thread.join();
    if (cache->latest() != FIRST + steps || cache->view_count() != 0)
        fail("end", cache->latest(), cache->view_count());
    printf("%llu steps: %llu hits, %llu misses, %llu added, %llu evicted, %llu views, %llu expired; %zu bytes in use\n",
           static_cast<unsigned long long>(steps), static_cast<unsigned long long>(hits.load()),
           static_cast<unsigned long long>(misses.load()), static_cast<unsigned long long>(added.load()),
           static_cast<unsigned long long>(cache->evictions()), static_cast<unsigned long long>(opened.load()),
           static_cast<unsigned long long>(expired.load()), cache->bytes_in_use());
}
