// Stress test of the parallel engine on real threads: random synthetic blocks, compared with their execution in order.
//
//   g++ -std=c++17 -O2 -Wall -Wextra -pthread -I src/evmcore/include tests/native/stm_driver.cpp -o stm_driver
//   (for the sanitizers add -g -fsanitize=thread, or -g -fsanitize=address,undefined)
//   ./stm_driver [--seed N] [--blocks N] [--threads N] [--txs N] [--delays none|random] [--first N]
//
// Without --threads, the number of threads varies from block to block, 1 to 16. A failure prints the options that
// repeat it. The block is the same then, but the order of the threads' steps is not; see stm_steps.cpp for that.
#include <chrono>
#include <cstdint>
#include <string_view>

static void stm_yield();
#define STM_YIELD(address, write) stm_yield()
#include "synthetic_block.h"
#include "workers.h"

using namespace synthetic;

static thread_local Random delays{0};
static thread_local uint32_t delay_chance = 0;      // of 1024
static uint64_t now_block, seed = 1;
static int now_threads;
static uint32_t block_chance;

static void stm_yield() {
    if (delay_chance == 0) return;
    const uint64_t draw = delays.next();
    if ((draw & 1023) >= delay_chance) return;
    if (draw >> 10 & 1) {
        std::this_thread::yield();
    } else {
        for (volatile uint32_t i = draw >> 11 & 255; i != 0;) i = i - 1;
    }
}

void synthetic::fail(const char* what, TxIndex tx) {
    std::fprintf(stderr, "FAILED: %s (transaction %u). Again: --seed %llu --first %llu --blocks 1 --threads %d\n", what, tx,
                 static_cast<unsigned long long>(seed), static_cast<unsigned long long>(now_block), now_threads);
    std::abort();
}

static void work_task(void* context) {
    Block& block = *static_cast<Block*>(context);
    const uint32_t number = __atomic_fetch_add(&block.next_worker, 1, __ATOMIC_ACQ_REL);
    if (number >= static_cast<uint32_t>(now_threads)) return;
    delays.state = mix(mix(seed, now_block), number);
    delay_chance = block_chance;
    work_on(block.workers[number]);
    delay_chance = 0;
}

int main(int argc, char** argv) {
    uint64_t blocks = 1000, first = 0;
    int threads = 0, txs = STM_MAX_TXS;
    bool with_delays = true;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
        if (name == "--seed") seed = number;
        else if (name == "--blocks") blocks = number;
        else if (name == "--threads") threads = std::min<int>(number, STM_MAX_WORKERS);
        else if (name == "--txs") txs = std::min<int>(number, STM_MAX_TXS);
        else if (name == "--first") first = number;
        else if (name == "--delays") with_delays = std::string_view(argv[i + 1]) != "none";
        else return std::fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    }
    static Store store;
    static Scheduler scheduler;
    static Arena arenas[STM_MAX_WORKERS];
    static Block block;
    block.store = &store;
    block.scheduler = &scheduler;
    for (int i = 0; i < STM_MAX_WORKERS; ++i) block.workers[i].arena = &arenas[i];
    uint64_t transactions = 0, runs = 0, reruns = 0, waits = 0, fallbacks = 0, ended = 0;
    const auto start = std::chrono::steady_clock::now();
    for (now_block = first; now_block < first + blocks; ++now_block) {
        const uint64_t block_seed = mix(seed, now_block);
        const Spec spec = random_spec(block_seed, txs);
        Random random{~block_seed};
        now_threads = threads != 0 ? threads : 1 + static_cast<int>(random.below(random.chance(70) ? 4 : STM_MAX_WORKERS));
        block_chance = !with_delays ? 0 : random.chance(30) ? 0 : random.chance(50) ? 16 : 200;
        Outcome expected{};
        expected.after = spec.before;
        run_plainly(spec, 1, 0, &expected);
        open_block(block, spec, now_threads, block_seed);
        evmcore::run_on_workers(now_threads, work_task, &block);
        fallbacks += block.fallback;
        close_block(block, expected, now_threads);
        ended += expected.verdict != kValid;
        transactions += spec.txs;
        for (int i = 0; i < now_threads; ++i) {
            runs += block.workers[i].tally.runs;
            reruns += block.workers[i].tally.reruns;
            waits += block.workers[i].tally.waits;
        }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%llu blocks (%llu ended early, %llu fell back), %llu transactions, %llu runs (%llu by the committer again), "
                "%llu waits, %.1f s\n",
                static_cast<unsigned long long>(blocks), static_cast<unsigned long long>(ended),
                static_cast<unsigned long long>(fallbacks), static_cast<unsigned long long>(transactions),
                static_cast<unsigned long long>(runs), static_cast<unsigned long long>(reruns),
                static_cast<unsigned long long>(waits), seconds);
    return 0;
}
