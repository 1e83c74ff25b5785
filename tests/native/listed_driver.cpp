// Stress test of the turns of a block with a given access list (include/listed.h) on real threads: synthetic
// transactions with known verdicts, and delays at the points where threads meet.
//
//   g++ -std=c++17 -O2 -Wall -Wextra -pthread -I src/evmcore/include tests/native/listed_driver.cpp -o listed_driver
//   (for the sanitizers add -g -fsanitize=thread, or -g -fsanitize=address,undefined)
//   ./listed_driver [--seed N] [--blocks N] [--threads N] [--first N]
//
// A run reads values that all runs share (each kept by the first worker that has it) and leaves one of its own. A
// commit reads what the run left, and writes what only the holder of the office may write. A failure prints the options
// that repeat it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "listed.h"
#include "workers.h"

using namespace evmcore::listed;

static uint64_t now_block, seed = 1;
static unsigned now_threads;

[[noreturn]] static void fail(const char* what, uint32_t tx) {
    std::fprintf(stderr, "FAILED: %s (transaction %u). Again: --seed %llu --first %llu --blocks 1 --threads %u\n", what, tx,
                 static_cast<unsigned long long>(seed), static_cast<unsigned long long>(now_block), now_threads);
    std::abort();
}

static uint64_t mix(uint64_t a, uint64_t b) {                   // splitmix64
    uint64_t z = a * 31 + b + 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

constexpr uint32_t kMostTransactions = 64, kValues = 8;
constexpr unsigned kMostThreads = 16;

struct Block;

struct Worker {
    Block* block;
    Tasks tasks;
};

struct Kept {
    int32_t once;
    uint64_t value;
};

// Not atomic, unless noted: the turns must prevent concurrent access to these fields.
struct Block {
    Turns turns;
    uint32_t count, halted;
    uint32_t first_doubtful, refused, ended_at;                  // 0: none
    uint32_t verdict_of[kMostTransactions + 1];
    uint64_t left_by[kMostTransactions + 1];
    uint32_t runs_of[kMostTransactions + 1];                     // atomic
    Kept values[kValues];
    uint32_t committed;
    uint64_t sum;
    uint32_t next_worker, arrived;                               // atomic
    bool delays;
    Worker workers[kMostThreads];
};

static uint64_t value_of(uint64_t block, uint32_t number) { return mix(mix(seed, block), 1000 + number); }

static uint64_t read_value(Block& block, uint32_t number) {
    Kept& kept = block.values[number];
    if (is_kept(&kept.once)) return kept.value;
    const uint64_t value = value_of(now_block, number);          // "from the state"
    if (may_keep(&kept.once)) {
        kept.value = value;
        keep(&kept.once);
    }
    return value;
}

static uint64_t outcome_of(uint64_t block, uint32_t tx) {
    uint64_t sum = tx;
    for (uint32_t i = 0; i < 3; ++i) sum = mix(sum, value_of(block, (tx * 3 + i * i) % kValues));
    return sum;
}

static uint32_t run(void* self, uint32_t tx) {
    Block& block = *static_cast<Worker*>(self)->block;
    if (__atomic_fetch_add(&block.runs_of[tx], 1, __ATOMIC_RELAXED) != 0) fail("run twice", tx);
    uint64_t sum = tx;
    for (uint32_t i = 0; i < 3; ++i) sum = mix(sum, read_value(block, (tx * 3 + i * i) % kValues));
    block.left_by[tx] = sum;
    if (tx == block.ended_at) store(&block.halted, 1);           // as a caller does that ends the block early
    return tx == block.first_doubtful || (tx > block.first_doubtful && block.first_doubtful != 0 && tx % 3 == 0)
               ? kDoubtful
               : kStands;
}

static bool commit(void* self, uint32_t tx) {
    Block& block = *static_cast<Worker*>(self)->block;
    if (tx != block.committed + 1) fail("out of order", tx);
    if (block.verdict_of[tx] == kNotRun) fail("final before it was run", tx);
    if (block.verdict_of[tx] == kDoubtful || tx == block.refused) return false;
    if (block.left_by[tx] != outcome_of(now_block, tx)) fail("another outcome", tx);
    block.committed = tx;
    block.sum = mix(block.sum, block.left_by[tx]);
    return true;
}

static void task(void* context) {
    Block& block = *static_cast<Block*>(context);
    const uint32_t number = __atomic_fetch_add(&block.next_worker, 1, __ATOMIC_ACQ_REL);
    if (number >= now_threads) return;
    if (block.delays) evmcore::stm::wait_for_all(&block.arrived, now_threads);
    work(block.turns, block.workers[number].tasks);
}

static void check(Block& block) {
    uint32_t last = block.count;                                 // the last that becomes final
    if (block.first_doubtful != 0) last = block.first_doubtful - 1;
    if (block.refused != 0 && block.refused <= last) last = block.refused - 1;
    if (block.turns.frontier != block.committed) fail("the frontier is not what was committed", block.turns.frontier);
    if (block.ended_at != 0 ? block.committed > last : block.committed != last) fail("the frontier stands", block.committed);
    uint64_t sum = 0;
    for (uint32_t tx = 1; tx <= block.committed; ++tx) sum = mix(sum, outcome_of(now_block, tx));
    if (sum != block.sum) fail("another sum", block.committed);
    if (block.turns.committing != 0) fail("the office is still held", 0);
}

int main(int argc, char** argv) {
    uint64_t blocks = 1000, first = 0;
    unsigned threads = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
        if (name == "--seed") seed = number;
        else if (name == "--blocks") blocks = number;
        else if (name == "--first") first = number;
        else if (name == "--threads") threads = number < kMostThreads ? static_cast<unsigned>(number) : kMostThreads;
        else return std::fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    }
    uint64_t transactions = 0, committed = 0, stopped = 0;
    static Block block;
    for (now_block = first; now_block < first + blocks; ++now_block) {
        const uint64_t draw = mix(seed, now_block);
        block = Block{};
        block.count = static_cast<uint32_t>(draw % (kMostTransactions + 1));
        now_threads = threads != 0 ? threads : 1 + static_cast<unsigned>((draw >> 8) % (draw >> 16 & 3 ? 4 : kMostThreads));
        if (block.count != 0 && (draw >> 20 & 3) == 0) block.first_doubtful = 1 + static_cast<uint32_t>((draw >> 24) % block.count);
        if (block.count != 0 && (draw >> 32 & 3) == 0) block.refused = 1 + static_cast<uint32_t>((draw >> 36) % block.count);
        if (block.count != 0 && (draw >> 44 & 15) == 0) block.ended_at = 1 + static_cast<uint32_t>((draw >> 48) % block.count);
        block.delays = (draw >> 56 & 3) != 0;
        open_turns(block.turns, block.count, block.verdict_of, &block.halted);
        for (unsigned i = 0; i < now_threads; ++i) {
            block.workers[i] = Worker{&block, Tasks{&block.workers[i], {block.delays ? mix(draw, i) | 1 : 0, nullptr, 0}, run, commit}};
        }
        evmcore::run_on_workers(now_threads, task, &block);
        check(block);
        transactions += block.count;
        committed += block.committed;
        stopped += block.committed != block.count;
    }
    std::printf("%llu blocks (%llu stopped early), %llu transactions, %llu of them final\n",
                static_cast<unsigned long long>(blocks), static_cast<unsigned long long>(stopped),
                static_cast<unsigned long long>(transactions), static_cast<unsigned long long>(committed));
    return 0;
}
