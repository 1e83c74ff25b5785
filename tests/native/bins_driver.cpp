// Blocks of synthetic transactions in bins (include/stm/bins.h) on real threads, dealt out at random. The final
// transactions must have the outcome of execution in order, and must include at least those before the first that met
// another bin.
//
//   g++ -std=c++17 -O2 -Wall -Wextra -pthread -I src/evmcore/include tests/native/bins_driver.cpp -o bins_driver
//   (for the sanitizers add -g -fsanitize=thread, or -g -fsanitize=address,undefined)
//   ./bins_driver [--blocks N] [--seed N]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

// At points where threads meet, some wait for a moment.
static void sometimes_wait();
#define STM_YIELD(address, write) sometimes_wait()
#include "random.h"
#include "stm/bins.h"

using namespace evmcore::stm;

static thread_local Random yields{0};

static void sometimes_wait() {
    if (yields.state != 0 && yields.below(24) == 0) std::this_thread::yield();
}

static uint64_t seed = 1;

[[noreturn]] static void fail(const char* what, uint64_t a, uint64_t b) {
    std::fprintf(stderr, "FAILED: %s: %llu, %llu (--seed %llu)\n", what, static_cast<unsigned long long>(a),
                 static_cast<unsigned long long>(b), static_cast<unsigned long long>(seed));
    std::exit(1);
}

constexpr uint32_t kCells = 12, kNever = ~uint32_t{0};

// Reads a cell and writes another one, or fails.
struct Transaction {
    uint32_t from, to, worth;
    bool writes, invalid;
};

// The cells as a bin sees them, and which transactions touched them in it.
struct Replica {
    uint64_t cells[kCells] = {};
    std::vector<uint32_t> touched[kCells], changed[kCells], ran;
    std::vector<uint64_t> before;                           // what each transaction that ran has overwritten
};

struct Block {
    std::vector<Transaction> txs;
    std::vector<Replica> bins;
    std::vector<uint32_t> order, first, worth, portion_of;
    std::vector<Portion> portions;
    Random random;
    uint32_t limit = 0, begun = 0;
    bool refuses = false;
    std::vector<uint8_t> met;                               // by cell: two bins have it in common
    uint64_t final_cells[kCells] = {};
    uint64_t ran = 0, results = 0;
    uint32_t stop = 0;
    BinRun run;

    static Block& of(void* self) { return *static_cast<Block*>(self); }

    static uint64_t after(const Transaction& tx, uint64_t seen) { return seen * 31 + tx.worth; }

    static bool run_one(void* self, uint32_t bin, uint32_t place) {
        Block& block = of(self);
        const Transaction& tx = block.txs[place];
        Replica& replica = block.bins[bin];
        if (tx.invalid) return false;
        if (!replica.ran.empty() && replica.ran.back() >= place) fail("a bin's order", replica.ran.back(), place);
        replica.ran.push_back(place);
        replica.touched[tx.from].push_back(place);
        const uint64_t value = after(tx, replica.cells[tx.from]);
        replica.before.push_back(replica.cells[tx.to]);
        if (tx.writes) {
            if (tx.to != tx.from) replica.touched[tx.to].push_back(place);
            replica.changed[tx.to].push_back(place);
            replica.cells[tx.to] = value;
        }
        return true;
    }

    static void ask(void*, uint32_t, const uint32_t*, uint32_t) {}

    static uint32_t foresee(void* self, uint32_t) { return of(self).random.below(4); }

    static bool deal(void* self, uint32_t begun, Deal* deal) {
        Block& block = of(self);
        const uint32_t count = static_cast<uint32_t>(block.txs.size()), bins = static_cast<uint32_t>(block.bins.size());
        block.begun = begun;
        if (block.refuses) return false;
        std::vector<std::vector<uint32_t>> dealt(bins + 1);
        for (uint32_t tx = 0; tx < count; ++tx) dealt[tx < begun ? 0 : block.random.below(bins + 1)].push_back(tx);
        block.order.clear();
        block.first.clear();
        for (uint32_t bin = 0; bin < bins; ++bin) {
            block.first.push_back(static_cast<uint32_t>(block.order.size()));
            block.order.insert(block.order.end(), dealt[bin].begin(), dealt[bin].end());
        }
        block.first.push_back(static_cast<uint32_t>(block.order.size()));
        block.order.insert(block.order.end(), dealt[bins].begin(), dealt[bins].end());
        block.portions.clear();
        for (uint32_t i = 0; i < dealt[bins].size(); ++i) {
            const bool apart = i == 0 || dealt[bins][i] != dealt[bins][i - 1] + 1 || block.random.below(3) == 0;
            if (apart) block.portions.push_back({i, i, 0, 0});
            block.portions.back().end = i + 1;
            block.portions.back().worth += block.worth[dealt[bins][i]];
        }
        *deal = {block.worth.data(), block.order.data(), block.first.data(), block.order.data() + block.first[bins],
                 block.portions.data(), static_cast<uint32_t>(block.portions.size())};
        return true;
    }

    static void prepare(void* self, uint32_t* accounts, uint32_t* slots) {
        for (const Replica& replica : of(self).bins)        // all have ended
            of(self).ran += replica.ran.size();
        *accounts = kCells;
        *slots = kCells / 2;
    }

    static void look_up(void* self, uint32_t piece, bool slots) {
        Block& block = of(self);
        if (slots) {
            if (block.met[2 * piece] > 1 || block.met[2 * piece + 1] > 1) fail("looked up before", piece, 0);
            return;
        }
        uint32_t users = 0;
        for (const Replica& replica : block.bins) users += !replica.touched[piece].empty();
        block.met[piece] = users > 1;
    }

    // The first transaction that touched what an earlier one had changed in another bin.
    static uint32_t judge(void* self, uint32_t limit) {
        Block& block = of(self);
        for (uint32_t cell = 0; cell < kCells; ++cell) {
            if (!block.met[cell]) continue;
            for (const Replica& one : block.bins)
                for (const Replica& other : block.bins)
                    if (&one != &other && !one.changed[cell].empty())
                        for (uint32_t place : other.touched[cell])
                            if (place > one.changed[cell].front()) limit = std::min(limit, place);
        }
        block.limit = limit;
        for (Replica& replica : block.bins)
            while (!replica.ran.empty() && replica.ran.back() >= limit) {
                const Transaction& tx = block.txs[replica.ran.back()];
                if (tx.writes) replica.cells[tx.to] = replica.before.back();
                replica.ran.pop_back();
                replica.before.pop_back();
            }
        return limit;
    }

    static void bring_results(void* self) {
        for (const Replica& replica : of(self).bins) of(self).results += replica.ran.size();
    }

    static void bring_state(void* self) {
        Block& block = of(self);
        std::memcpy(block.final_cells, block.bins[0].cells, sizeof block.final_cells);
        for (uint32_t bin = 1; bin < block.bins.size(); ++bin)
            for (uint32_t place : block.bins[bin].ran)
                if (block.txs[place].writes) block.final_cells[block.txs[place].to] = block.bins[bin].cells[block.txs[place].to];
    }
};

static uint64_t check_block(uint64_t number) {
    Random random{seed * 0x1000193 + number};
    Block block;
    const uint32_t count = 1 + random.below(40), threads = 1 + random.below(4), bins = 2 + random.below(3);
    const uint32_t conflicts = random.below(3);
    for (uint32_t tx = 0; tx < count; ++tx) {
        const uint32_t cell = random.below(kCells), other = conflicts == 0 ? cell : random.below(kCells);
        block.txs.push_back({cell, other, 1 + random.below(9), random.below(4) != 0, random.below(60) == 0});
        block.worth.push_back(block.txs.back().worth);
    }
    block.bins.resize(bins);
    block.met.assign(kCells, 0);
    block.random = random;
    block.refuses = random.below(8) == 0;
    if (!block.run.open(count, bins, random.below(3) == 0, random.below(2) ? random.next() : 0, &block.stop)) fail("no memory", 0, 0);

    const BinTasks tasks{&block, Block::run_one, Block::ask, Block::foresee, Block::deal, Block::prepare, Block::look_up,
                         Block::judge, Block::bring_results, Block::bring_state};
    std::vector<std::thread> others;
    std::vector<Watch> watches(threads);
    for (Watch& watch : watches) std::memset(static_cast<void*>(&watch), 0, sizeof watch);
    const uint64_t turn = random.next();
    for (uint32_t thread = 1; thread < threads; ++thread)
        others.emplace_back([&, thread] {
            yields.state = turn + thread;
            block.run.help(tasks, watches[thread]);
        });
    yields.state = turn;
    const uint32_t limit = block.run.lead(tasks, watches[0]);
    for (std::thread& other : others) other.join();
    yields.state = 0;

    if (limit != block.limit) fail("the limit", limit, block.limit);
    if (!block.run.was_dealt()) Block::bring_state(&block);
    if (block.results != limit) fail("transactions that count", block.results, limit);
    uint64_t cells[kCells] = {};
    for (uint32_t tx = 0; tx < limit; ++tx) {
        if (block.txs[tx].invalid) fail("an invalid transaction counts", tx, limit);
        if (block.txs[tx].writes) cells[block.txs[tx].to] = Block::after(block.txs[tx], cells[block.txs[tx].from]);
    }
    for (uint32_t cell = 0; cell < kCells; ++cell)
        if (cells[cell] != block.final_cells[cell]) fail("a cell", cell, block.final_cells[cell]);
    bool all_count = true;
    for (const Transaction& tx : block.txs) all_count &= !tx.invalid;
    for (uint8_t met : block.met) all_count &= met == 0;
    if (block.run.was_dealt() && all_count && (limit < count || block.ran != count)) fail("left out", limit, count);
    return limit;
}

int main(int argc, char** argv) {
    uint64_t blocks = 20'000, final = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--blocks") == 0) blocks = std::strtoull(argv[i + 1], nullptr, 10);
        else if (std::strcmp(argv[i], "--seed") == 0) seed = std::strtoull(argv[i + 1], nullptr, 10);
        else fail("unknown option", static_cast<uint64_t>(i), 0);
    }
    for (uint64_t number = 0; number < blocks; ++number) final += check_block(number);
    std::printf("%llu blocks, %llu transactions final\n", static_cast<unsigned long long>(blocks), static_cast<unsigned long long>(final));
    return 0;
}
