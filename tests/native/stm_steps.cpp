// The parallel engine step by step: workers are coroutines of one thread, and whoever is to make the next access to shared
// memory is chosen here, so every run can be repeated.
//
//   g++ -std=c++17 -O2 -fno-omit-frame-pointer -U_FORTIFY_SOURCE -I src/evmcore/include tests/native/stm_steps.cpp -o stm_steps
//   ./stm_steps random [--seed N] [--blocks N] [--first N]      random and priority-based (PCT) orders of random blocks
//   ./stm_steps exhaustive [--blocks N] [--first N]             every order of 3 transactions on 2 workers, 2 locations
//
// Every access is sequentially consistent here; weaker orders are for ThreadSanitizer and stm_driver.cpp.
#include <chrono>
#include <csetjmp>
#include <cstdint>
#include <string_view>
#include <ucontext.h>

static void stm_yield(const void* address, bool write);
static void stm_pause();
#define STM_YIELD(address, write) stm_yield(address, write)
#define STM_PAUSE() stm_pause()
#define STM_TICKS 1
#define STM_MAX_TXS 6
#define STM_MAX_ACCOUNTS 2
#define STM_MAX_SLOTS 2
#define STM_MAX_WORKERS 3
#include "synthetic_block.h"

using namespace synthetic;

namespace evmcore::stm {

struct Inspect {
    static bool is_in(const Arena& arena, const void* address) {
        const char* at = static_cast<const char*>(address);
        return arena.first_ != nullptr && at >= reinterpret_cast<const char*>(arena.first_) &&
               at < reinterpret_cast<const char*>(arena.first_) + arena.first_->size;
    }
    static bool in_an_arena(const void* address);
    static void scheduler();
    static bool is_awaited(TxIndex tx, uint32_t epoch);
    static void cells();
    template <class Visit>
    static void pieces(Visit visit);
};

}  // namespace evmcore::stm

// ---------------------------------------------------------------------------------------------------- coroutines

struct Coroutine {
    jmp_buf context;
    char* low;                                  // nothing below is in use while it waits
    bool live, paused;                          // paused: it has found nothing to do
};

constexpr size_t kStack = 1 << 16, kBelow = 2048, kMargin = 192;

// All that a step can change, apart from what these objects have of the heap.
static struct World {
    Store store;
    Scheduler scheduler;
    Arena arenas[STM_MAX_WORKERS];
    Block block;
    Coroutine coroutines[STM_MAX_WORKERS];
} world;

alignas(64) static char stacks[STM_MAX_WORKERS][kStack];
static ucontext_t main_entry, entry;
static jmp_buf main_context;
static int workers, current = -1;
static uint64_t steps;

// The account of what is going on, for a failure.
static const char* mode = "";
static uint64_t seed = 1, now_block;
static std::vector<uint8_t> schedule;

void synthetic::fail(const char* what, TxIndex tx) {
    current = -1;
    std::fprintf(stderr, "FAILED: %s (transaction %u). Again: %s --seed %llu --first %llu --blocks 1; the workers' steps were ",
                 what, tx, mode, static_cast<unsigned long long>(seed), static_cast<unsigned long long>(now_block));
    for (uint8_t worker : schedule) std::fputc('0' + worker, stderr);
    std::fputc('\n', stderr);
    std::abort();
}

// The exhaustive search lets nobody switch before an access to a word that is never written: it makes no difference when
// that is read. Which those are shows as it goes; a write to a word taken for one makes it begin again.
static bool all_visible = true, begin_again;
static std::vector<const void*> written;

static bool is_visible(const void* address, bool write) {
    if (all_visible || Inspect::in_an_arena(address) || std::find(written.begin(), written.end(), address) != written.end())
        return true;
    if (write) {
        written.push_back(address);
        begin_again = true;
    }
    return write;
}

__attribute__((noinline)) static void switch_away() {
    Coroutine& self = world.coroutines[current];
    self.low = static_cast<char*>(__builtin_frame_address(0)) - kMargin;
    if (_setjmp(self.context) == 0) _longjmp(main_context, 1);
    world.coroutines[current].paused = false;
}

static void stm_yield(const void* address, bool write) {
    if (current >= 0 && is_visible(address, write)) switch_away();
}

static void stm_pause() { world.coroutines[current].paused = true; }

static void begin() {
    const int self = current;
    work_on(world.block.workers[self]);
    world.coroutines[self].live = false;
    world.coroutines[self].low = stacks[self] + kStack;
    _longjmp(main_context, 1);
}

// Lets a worker go on to just before its next access to shared memory.
static void step(int worker) {
    current = worker;
    if (_setjmp(main_context) == 0) _longjmp(world.coroutines[worker].context, 1);
    char* low = world.coroutines[current].low;
    char* from = std::max<char*>(low - kBelow, stacks[current]);
    std::memset(from, 0, low - from);           // no traces of ended calls: equal states shall look equal
    current = -1;
    ++steps;
}

static void start(int worker) {
    current = worker;
    std::memset(stacks[worker], 0, kStack);
    std::memset(static_cast<void*>(&world.coroutines[worker]), 0, sizeof(Coroutine));
    world.coroutines[worker].live = true;
    getcontext(&entry);
    entry.uc_stack.ss_sp = stacks[worker];
    entry.uc_stack.ss_size = kStack;
    entry.uc_link = nullptr;
    makecontext(&entry, begin, 0);
    if (_setjmp(main_context) == 0) swapcontext(&main_entry, &entry);
    current = -1;
}

static bool anybody() {
    for (int i = 0; i < workers; ++i)
        if (world.coroutines[i].live) return true;
    return false;
}

// ---------------------------------------------------------------------------------------------------- invariants

bool Inspect::in_an_arena(const void* address) {
    for (int i = 0; i < workers; ++i)
        if (is_in(world.arenas[i], address)) return true;
    return false;
}

void Inspect::scheduler() {
    const Scheduler& s = world.scheduler;
    const TxIndex frontier = s.frontier();
    for (TxIndex tx = 1; tx < frontier; ++tx)
        if (status_of(s.word(tx)) != kCommitted) fail("a transaction behind the frontier is not final", tx);
    check_committed(world.block);
    bool all_paused = true;
    for (int i = 0; i < workers; ++i) {
        const Coroutine& c = world.coroutines[i];
        const bool inside = world.block.workers[i].inside;
        all_paused = all_paused && (!c.live || (c.paused && !inside));
        if (c.live && !c.paused && !inside) return;  // it may be about to mend what follows
    }
    if (world.block.stop != 0) return;
    if (all_paused && !s.finished()) fail("nobody does anything, and the block is not done", frontier);
    for (TxIndex tx = frontier; tx <= s.count_; ++tx) {
        const uint64_t word = s.word(tx);
        // Before all stretches have been asked for, somebody will come to it yet: a worker, or whoever is the last to ask.
        if (status_of(word) == kReady && tx < s.next_.load() && s.taken_.load() > s.offered_)
            fail("ready, but nobody will claim it", tx);
        if (status_of(word) == kBlocked && !is_awaited(tx, epoch_of(word))) fail("blocked, but nobody will wake it", tx);
    }
}

bool Inspect::is_awaited(TxIndex tx, uint32_t epoch) {
    const Scheduler& s = world.scheduler;
    for (TxIndex other = 1; other <= s.count_; ++other) {
        if (s.has_run(other)) continue;
        for (const Waiter* waiter = s.states_[other].waiters.load(); waiter != nullptr; waiter = waiter->next)
            if (waiter->tx == tx && waiter->epoch == epoch) return true;
    }
    return false;
}

void Inspect::cells() {
    const uint32_t used = static_cast<uint32_t>(world.store.used());
    for (uint32_t i = 0; i < used; ++i)
        for (const Cell& cell : world.store.locations_[i].cells)
            for (const Version* at = cell.head.load(); at != nullptr && at->next.load() != nullptr; at = at->next.load())
                if (at->next.load()->tx >= at->tx) fail("versions out of order", at->tx);
}

// The pieces of memory that make up a state, in a fixed order; `visit(address, size)`.
template <class Visit>
void Inspect::pieces(Visit visit) {
    visit(&world, sizeof world);
    visit(world.scheduler.states_, (world.scheduler.count_ + 1) * sizeof(TxState));
    visit(world.scheduler.stretches_, world.scheduler.offered_ * sizeof(Stretch));
    visit(world.store.table_, (world.store.mask_ + 1) * sizeof(Shared<uint32_t>));
    visit(world.store.locations_, world.store.used() * sizeof(Location));
    for (int i = 0; i < workers; ++i) {
        Arena& arena = world.arenas[i];
        if (arena.current_ != arena.first_) fail("an arena has more than one chunk", 0);
        if (arena.first_ != nullptr) visit(arena.first_->data(), arena.used_);
        visit(world.coroutines[i].low, stacks[i] + kStack - world.coroutines[i].low);
    }
}


// ---------------------------------------------------------------------------------------------------- a block

static void open(const Spec& spec, uint64_t block_seed, bool warm) {
    open_block(world.block, spec, workers, block_seed);
    for (int a = 0; warm && a < spec.accounts; ++a) {
        find_account(world.block.workers[0], a);
        for (int s = 0; s < spec.slots; ++s) find_slot(world.block.workers[0], a, s, true);
    }
    for (int i = 0; i < workers; ++i) start(i);
    schedule.clear();
}

static void close(const Outcome& expected) {
    Inspect::cells();
    close_block(world.block, expected, workers);
}

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
                // PCT: the highest goes on until a change point, or until it has nothing to do.
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

struct Key {
    uint64_t a, b;
};

static Key key_of_state() {
    uint64_t a = 0x243f6a8885a308d3, b = 0x13198a2e03707344;
    Inspect::pieces([&](const void* address, size_t size) {
        const char* at = static_cast<const char*>(address);
        for (; size >= 8; size -= 8, at += 8) {
            uint64_t word;
            std::memcpy(&word, at, 8);
            a = (a ^ word) * 0x9e3779b97f4a7c15;
            a ^= a >> 29;
            b = (b + word) * 0xd1342543de82ef95;
            b = b << 27 | b >> 37;
        }
        uint64_t word = size;
        std::memcpy(&word, at, size);
        a = (a ^ word) * 0x9e3779b97f4a7c15;
        b = (b + word) * 0xd1342543de82ef95;
        a ^= a >> 32;
        b ^= b >> 32;
    });
    return {a, b | 1};
}

struct Snapshot {
    std::vector<char> bytes;
    void take() {
        bytes.clear();
        Inspect::pieces([this](const void* address, size_t size) {
            const char* at = static_cast<const char*>(address);
            bytes.insert(bytes.end(), at, at + size);
        });
    }
    void restore() const {
        // The first piece holds the sizes of the others.
        std::memcpy(static_cast<void*>(&world), bytes.data(), sizeof world);
        size_t from = 0;
        Inspect::pieces([&](void* address, size_t size) {
            std::memcpy(address, bytes.data() + from, size);
            from += size;
        });
    }
};

constexpr uint32_t kNone = ~uint32_t{0};

// The graph of a program's states: from each, one edge per worker.
class Graph {
public:
    struct Node {
        uint32_t next[2];
    };

    // The number of the state that the world is in; `fresh` when it was not known.
    uint32_t number(bool* fresh) {
        if (2 * nodes_.size() >= slots_.size()) grow();
        const Key key = key_of_state();
        size_t at = place(key);
        *fresh = slots_[at] == kNone;
        if (*fresh) {
            slots_[at] = static_cast<uint32_t>(nodes_.size());
            nodes_.push_back({{kNone, kNone}});
            keys_.push_back(key);
        }
        return slots_[at];
    }

    size_t size() const { return nodes_.size(); }
    void connect(uint32_t from, int worker, uint32_t to) { nodes_[from].next[worker] = to; }

    void clear() {
        nodes_.clear();
        keys_.clear();
        std::fill(slots_.begin(), slots_.end(), kNone);
    }

    // Whether two fair workers can go on for ever: a strongly connected part in which each worker that is not done has an
    // edge. (A part that a waiting worker leaves with its next step is only somebody polling meanwhile.) Tarjan's.
    bool has_endless_part() const {
        const uint32_t count = static_cast<uint32_t>(nodes_.size());
        std::vector<uint32_t> index(count, kNone), low(count), part(count, kNone), stack, path;
        std::vector<uint8_t> at(count, 0);
        uint32_t parts = 0, indices = 0;
        path.push_back(0);
        while (!path.empty()) {
            const uint32_t node = path.back();
            if (index[node] == kNone) {
                index[node] = low[node] = indices++;
                stack.push_back(node);
            }
            if (at[node] < 2) {
                const uint32_t to = nodes_[node].next[at[node]++];
                if (to == kNone) continue;
                if (index[to] == kNone) path.push_back(to);
                else if (part[to] == kNone) low[node] = std::min(low[node], index[to]);
                continue;
            }
            path.pop_back();
            if (!path.empty()) low[path.back()] = std::min(low[path.back()], low[node]);
            if (low[node] != index[node]) continue;
            uint32_t member;
            do {
                member = stack.back();
                stack.pop_back();
                part[member] = parts;
            } while (member != node);
            ++parts;
        }
        std::vector<uint8_t> inside(parts, 0), live(parts, 0);
        for (uint32_t node = 0; node < count; ++node)
            for (int worker = 0; worker < 2; ++worker) {
                const uint32_t to = nodes_[node].next[worker];
                if (to == kNone) continue;
                live[part[node]] |= 1 << worker;
                if (part[to] == part[node]) inside[part[node]] |= 1 << worker;
            }
        for (uint32_t i = 0; i < parts; ++i)
            if (live[i] != 0 && inside[i] == live[i]) return true;
        return false;
    }

private:
    size_t place(const Key& key) const {
        size_t at = key.a & (slots_.size() - 1);
        while (slots_[at] != kNone && (keys_[slots_[at]].a != key.a || keys_[slots_[at]].b != key.b))
            at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    void grow() {
        slots_.assign(slots_.empty() ? size_t{1} << 16 : 2 * slots_.size(), kNone);
        for (uint32_t i = 0; i < keys_.size(); ++i) slots_[place(keys_[i])] = i;
    }

    std::vector<Node> nodes_;
    std::vector<Key> keys_;
    std::vector<uint32_t> slots_;
};

// All that one transaction may be in the exhaustive search, over account 0 and its slots 0 and 1.
static const Program kShapes[] = {
    {{{kSload, 0, 0, 0, 0}, {kSstoreSeen, 0, 0, 0, 0}}, 2, 1, {0, 0}},                                   // x = f(x)
    {{{kSload, 0, 0, 0, 0}, {kSstoreSeen, 0, 1, 0, 0}}, 2, 1, {0, 0}},                                   // y = f(x)
    {{{kSload, 0, 1, 0, 0}, {kSstoreSeen, 0, 0, 0, 0}}, 2, 1, {0, 0}},                                   // x = f(y)
    {{{kSload, 0, 0, 0, 0}, {kBranch, 0, 0, 1, 0}, {kSstore, 0, 1, 0, 2}}, 3, 1, {0, 0}},                // if x: y = 2
    {{{kDebit, 0, 0, 0, 3}}, 1, 1, {0, 0}},                                                              // a delta with a floor
    {{{kCredit, 0, 0, 0, 2}}, 1, 1, {0, 0}},                                                             // a delta
    {{{kSpendSlot, 0, 1, 0, 2}}, 1, 1, {0, 0}},                                                          // the same in y
    {{{kAddSlot, 0, 1, 0, 1}}, 1, 1, {0, 0}},
    {{{kReadBalance, 0, 0, 0, 0}, {kSstoreSeen, 0, 0, 0, 0}}, 2, 1, {0, 0}},                             // x = f(balance)
    {{{kWipe, 0, 0, 0, 0}}, 1, 1, {0, 0}},
    {{{kReadExists, 0, 0, 0, 0}, {kCreate, 0, 0, 0, 0}}, 2, 1, {0, 0}},
    {{{kSload, 0, 0, 0, 0}, {kRequire, 0, 0, 0, 3}}, 2, 1, {0, 0}},                                      // valid by x
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
    spec.before.accounts[0] = {1, 0, 4, 0, {1, 2}};
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

static int run_exhaustive(uint64_t first, uint64_t programs) {
    static Graph graph;
    uint64_t states = 0, ends = 0, most = 0, longest = 0;
    workers = 2;
    all_visible = false;
    for (uint64_t done = 0; done < programs; ++done) {
        // A stride that has no factor in common with their number: a short search also takes programs of all kinds.
        now_block = (first + done * 1009) % kProgramCount;
        const Spec spec = program_spec(now_block);
        Outcome expected{};
        expected.after = spec.before;
        run_plainly(spec, 1, 0, &expected);
        if (!begin_again) written.clear();
        begin_again = false;
        open(spec, 1, true);
        graph.clear();
        struct Frame {
            uint32_t node;
            int next;
        };
        static std::vector<Snapshot> snapshots;
        std::vector<Frame> path;
        bool fresh;
        path.push_back({graph.number(&fresh), 0});
        if (snapshots.empty()) snapshots.emplace_back();
        snapshots[0].take();
        while (!path.empty() && !begin_again) {
            Frame& frame = path.back();
            if (frame.next == workers) {
                path.pop_back();
                if (!schedule.empty()) schedule.pop_back();
                continue;
            }
            if (path.size() == 1) frame.next = 1;       // at first the workers are alike: let the second one begin
            const int worker = frame.next++;
            snapshots[path.size() - 1].restore();
            if (!world.coroutines[worker].live) continue;
            schedule.push_back(static_cast<uint8_t>(worker));
            step(worker);
            Inspect::scheduler();
            const uint32_t node = graph.number(&fresh);
            graph.connect(frame.node, worker, node);
            if (!fresh) {
                schedule.pop_back();
                continue;
            }
            longest = std::max<uint64_t>(longest, path.size());
            if (snapshots.size() <= path.size()) snapshots.emplace_back();
            snapshots[path.size()].take();
            path.push_back({node, 0});
            if (!anybody()) {
                ++ends;
                close(expected);
            }
        }
        if (begin_again) {
            --done;
            continue;
        }
        if (graph.has_endless_part()) fail("two workers can go on for ever", 0);
        states += graph.size();
        most = std::max<uint64_t>(most, graph.size());
    }
    std::printf("%llu programs of %llu, every order: %llu states (at most %llu a program, %llu steps deep), "
                "%llu steps, %llu ends",
                static_cast<unsigned long long>(programs), static_cast<unsigned long long>(kProgramCount),
                static_cast<unsigned long long>(states), static_cast<unsigned long long>(most),
                static_cast<unsigned long long>(longest), static_cast<unsigned long long>(steps),
                static_cast<unsigned long long>(ends));
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
