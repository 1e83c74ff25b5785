// The parallel engine step by step (step_world.h): every chosen order of the workers' steps can be repeated.
//
//   g++ -std=c++17 -O2 -fno-omit-frame-pointer -U_FORTIFY_SOURCE -I src/evmcore/include tests/native/stm_steps.cpp -o stm_steps
//   ./stm_steps random [--seed N] [--blocks N] [--first N]      random and priority-based (PCT) orders of random blocks
//   ./stm_steps exhaustive [--blocks N] [--first N]             every order of 3 transactions on 2 workers, 2 locations
//   ./stm_steps exhaustive --check 1 ...                        the same, and whether states are told apart rightly
#include <chrono>
#include <string_view>

#include "step_graph.h"

static void take_step(int worker) {
    schedule.push_back(static_cast<uint8_t>(worker));
    step(worker);
    Inspect::scheduler();
    if (schedule.size() > 200000) fail("no end", world.scheduler.frontier());
}

// ---------------------------------------------------------------------------------------------------- random orders

static int run_random(uint64_t first, uint64_t blocks) {
    uint64_t runs = 0, reruns = 0, waits = 0;
    for (now_block = first; now_block < first + blocks; ++now_block) {
        const uint64_t block_seed = mix(seed, now_block);
        const Spec spec = random_spec(block_seed, STM_MAX_TXS);
        Random random{~block_seed};
        Outcome expected{};
        expected.after = spec.before;
        run_plainly(spec, 1, 0, &expected);
        workers = 2 + random.below(STM_MAX_WORKERS - 1);
        open(spec, block_seed, false);
        const bool by_priority = random.chance(50);
        const uint32_t change = 20 + random.below(400), burst = 1 + random.below(6);
        uint64_t priorities[STM_MAX_WORKERS], lowest = ~uint64_t{0} >> 1;
        for (uint64_t& priority : priorities) priority = lowest + random.below(1000);
        for (int last = 0; anybody();) {
            int next = 0;
            if (by_priority) {
                // PCT: the worker of highest priority goes on until a change point, or until it has nothing to do.
                next = -1;
                for (int i = 0; i < workers; ++i)
                    if (world.coroutines[i].live && (next < 0 || priorities[i] > priorities[next])) next = i;
                if (random.below(change) == 0 || world.coroutines[next].paused) priorities[next] = --lowest;
            } else {
                next = last;
                while (!world.coroutines[next].live || (next == last && random.below(burst) == 0)) {
                    next = static_cast<int>(random.below(workers));
                    if (world.coroutines[next].live) break;
                }
            }
            last = next;
            take_step(next);
        }
        close(expected);
        for (int i = 0; i < workers; ++i) {
            runs += world.block.workers[i].tally.runs;
            reruns += world.block.workers[i].tally.reruns;
            waits += world.block.workers[i].tally.waits;
        }
    }
    std::printf("%llu blocks, %llu steps, %llu runs (%llu by the committer again), %llu waits",
                static_cast<unsigned long long>(blocks), static_cast<unsigned long long>(steps),
                static_cast<unsigned long long>(runs), static_cast<unsigned long long>(reruns),
                static_cast<unsigned long long>(waits));
    return 0;
}

// ---------------------------------------------------------------------------------------------------- every order

// All programs of one transaction in the exhaustive search, over account 0 and its slots 0 and 1.
static const Program kShapes[] = {
    {{{kSload, 0, 0, 0, 0}, {kSstoreSeen, 0, 0, 0, 0}}, 2, 1, {0, 0}},                                   // x = f(x)
    {{{kSload, 0, 0, 0, 0}, {kSstoreSeen, 0, 1, 0, 0}}, 2, 1, {0, 0}},                                   // y = f(x)
    {{{kSload, 0, 1, 0, 0}, {kSstoreSeen, 0, 0, 0, 0}}, 2, 1, {0, 0}},                                   // x = f(y)
    {{{kSload, 0, 0, 0, 0}, {kBranch, 0, 0, 1, 0}, {kSstore, 0, 1, 0, 1}}, 3, 1, {0, 0}},                // if x: y = 1
    {{{kDebit, 0, 0, 0, 3}}, 1, 1, {0, 0}},                                                              // a delta with a floor
    {{{kCredit, 0, 0, 0, 2}}, 1, 1, {0, 0}},                                                             // a delta
    {{{kSpendSlot, 0, 1, 0, 2}}, 1, 1, {0, 0}},                                                          // the same in y
    {{{kAddSlot, 0, 1, 0, 1}}, 1, 1, {0, 0}},
    {{{kReadBalance, 0, 0, 0, 0}, {kSstoreSeen, 0, 0, 0, 0}}, 2, 1, {0, 0}},                             // x = f(balance)
    {{{kWipe, 0, 0, 0, 0}}, 1, 1, {0, 0}},
    {{{kReadExists, 0, 0, 0, 0}, {kCreate, 0, 0, 0, 0}}, 2, 1, {0, 0}},
    {{{kSload, 0, 0, 0, 0}, {kRequire, 0, 0, 0, 3}}, 2, 1, {0, 0}},                                      // valid by x
    {{{kSload, 0, 0, 0, 0}, {kRequire, 0, 0, 0, 10}}, 2, 1, {0, 0}},                                     // not as x was at first
};
constexpr int kShapeCount = sizeof kShapes / sizeof kShapes[0];
constexpr int kHintings = 3;                    // none; 2 behind 1; 3 behind 2 and 1
constexpr uint64_t kProgramCount = uint64_t{kShapeCount} * kShapeCount * kShapeCount * kHintings;

static Spec program_spec(uint64_t number) {
    Spec spec{};
    spec.accounts = 1;
    spec.slots = 2;
    spec.txs = 3;
    spec.gas_limit = ~uint64_t{0};
    spec.stretch = 1;
    spec.room = 1;
    spec.bad_account = spec.bad_slot = -1;
    // Chosen so that a transaction that reads x before an earlier one has changed it does something else: it writes
    // what it should not, does not write what it should, or wrongly becomes invalid or valid.
    spec.before.accounts[0] = {1, 0, 4, 0, {6, 2}};
    const uint64_t hinting = number % kHintings;
    number /= kHintings;
    for (int i = 0; i < 3; ++i, number /= kShapeCount) spec.programs[i] = kShapes[number % kShapeCount];
    if (hinting == 1) spec.programs[1].after[0] = 1;
    if (hinting == 2) {
        spec.programs[2].after[0] = 2;
        spec.programs[2].after[1] = 1;
    }
    return spec;
}

static bool check;                              // --check: verifies that states are distinguished correctly

// Every order of a program's steps, depth first.
class Search {
public:
    Search() { workers = 2; }

    // False: a word was written that had been taken for one that is never written; the search must begin again.
    bool run(const Spec& spec) {
        Outcome expected{};
        expected.after = spec.before;
        run_plainly(spec, 1, 0, &expected);
        begin_again = false;
        open(spec, 1, true);
        graph.clear();
        path_.clear();
        bool fresh;
        const Key key = key_of_state();
        enter({graph.number(key, &fresh), key.swapped, false, 0});
        while (!path_.empty() && !begin_again) {
            Frame& frame = path_.back();
            if (frame.next < workers) {
                go_on(frame, frame.next++, expected);
                continue;
            }
            path_.pop_back();
            if (!schedule.empty()) schedule.pop_back();
        }
        return !begin_again;
    }

    Graph graph;
    uint64_t ends = 0, deepest = 0;

private:
    struct Frame {
        uint32_t node;
        bool swapped;                           // relative to the workers of the node
        bool again;                             // the state was known: only its next steps are checked once more
        int next;                               // worker
    };

    void enter(const Frame& frame) {
        path_.push_back(frame);
        if (snapshots_.size() < path_.size()) snapshots_.emplace_back();
        snapshots_[path_.size() - 1].take();
        deepest = std::max<uint64_t>(deepest, path_.size() - 1);
    }

    void go_on(const Frame frame, int worker, const Outcome& expected) {
        const int edge = worker ^ frame.swapped;
        const bool known = graph.is_connected(frame.node, edge);
        if (known && !check) return;
        snapshots_[path_.size() - 1].restore();
        if (!world.coroutines[worker].live) return;
        take_step(worker);
        const Key key = key_of_state();
        if (known && !graph.leads_to(frame.node, edge, key)) fail("states that differ were taken for the same", 0);
        bool fresh;
        const uint32_t node = graph.number(key, &fresh);
        graph.connect(frame.node, edge, node, frame.swapped != key.swapped);
        if (fresh || (check && !frame.again)) {
            enter({node, key.swapped, !fresh, 0});
            if (fresh && !anybody()) {
                ++ends;
                close(expected);
            }
        } else {
            schedule.pop_back();
        }
    }

    std::vector<Frame> path_;
    std::vector<Snapshot> snapshots_;           // of the worlds on the path
};

static int run_exhaustive(uint64_t first, uint64_t programs) {
    static Search search;
    uint64_t states = 0, most = 0;
    all_visible = false;
    for (uint64_t done = 0; done < programs; ++done) {
        // The stride has no factor in common with the number of programs: a short search also takes programs of all
        // kinds.
        now_block = (first + done * 1009) % kProgramCount;
        const Spec spec = program_spec(now_block);
        written.clear();
        while (!search.run(spec)) {
        }
        if (search.graph.has_endless_part()) fail("two workers can go on for ever", 0);
        states += search.graph.size();
        most = std::max<uint64_t>(most, search.graph.size());
    }
    std::printf("%llu programs of %llu, every order: %llu states (at most %llu a program, %llu steps deep), "
                "%llu steps, %llu ends",
                static_cast<unsigned long long>(programs), static_cast<unsigned long long>(kProgramCount),
                static_cast<unsigned long long>(states), static_cast<unsigned long long>(most),
                static_cast<unsigned long long>(search.deepest), static_cast<unsigned long long>(steps),
                static_cast<unsigned long long>(search.ends));
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 2) return std::fprintf(stderr, "random or exhaustive?\n"), 2;
    mode = argv[1];
    const bool exhaustive = std::string_view(mode) == "exhaustive";
    uint64_t blocks = exhaustive ? kProgramCount : 10000, first = 0;
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
        if (name == "--seed") seed = number;
        else if (name == "--blocks") blocks = number;
        else if (name == "--first") first = number;
        else if (name == "--check") check = number != 0;
        else return std::fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    }
    world.block.store = &world.store;
    world.block.scheduler = &world.scheduler;
    for (int i = 0; i < STM_MAX_WORKERS; ++i) {
        world.block.workers[i].arena = &world.arenas[i];
        if (world.arenas[i].take(16) == nullptr) return 1;
    }
    const auto start = std::chrono::steady_clock::now();
    if (exhaustive ? run_exhaustive(first, blocks) : run_random(first, blocks)) return 1;
    std::printf(", %.1f s\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return 0;
}
