// A block of synthetic transactions (synthetic.h) on store, scheduler and engine. It reads, records, validates and
// commits as the executor (stm.pyx) does, and compares the outcome with that of execution in order.
#pragma once
#include <cstdio>
#include <vector>

#include "stm/engine.h"
#include "synthetic.h"

namespace synthetic {

using namespace evmcore::stm;

enum Use : uint8_t { kUseBalance = 1, kUseNonce = 2, kUseExists = 4, kUseCode = 8 };

struct Account {                                // as a transaction finds it
    u256 balance;
    uint64_t exists, nonce, code;
};

struct AccountEntry {
    Location* location;                         // nullptr: not touched yet
    Account base, now;
    u256 floor;
    uint8_t uses;
    bool wiped;
};

struct SlotEntry {
    Location* location;
    uint64_t base, now;
    uint64_t low, high;                         // for every base in this range, the run would have been the same
    bool loaded, wiped;                         // wiped: since its account was wiped within this transaction
    bool open;                                  // only added to and compared so far
};

struct AccountRead {
    Location* location;
    Account base;
    u256 floor;
    uint8_t uses;
};

struct SlotRead {
    Location* location;
    Location* account;
    uint64_t low, high;
};

struct Run {
    uint64_t seen;
    AccountRead* accounts;
    SlotRead* slots;
    Write* writes;
    uint32_t account_count, slot_count, write_count;
    Verdict verdict;
};

struct Block;

struct Worker {
    Block* block;
    Arena* arena;
    Random random;
    Tally tally;
    TxIndex tx, blocked_on;
    bool final, full;
    bool inside;                                // in a transaction's own code
    Delays delays;                              // none: the drivers delay at every access
    AccountEntry accounts[STM_MAX_ACCOUNTS];
    SlotEntry slots[STM_MAX_ACCOUNTS][STM_MAX_SLOTS];
};

struct Committed {                              // what must not change any more
    uint64_t word;
    const Write* writes;
    uint32_t count;
};

struct Block {
    const Spec* spec;
    Store* store;
    Scheduler* scheduler;
    Worker workers[STM_MAX_WORKERS];
    Run run_of[STM_MAX_TXS + 1];
    Committed committed[STM_MAX_TXS + 1];
    Outcome outcome;
    uint64_t gas_used;
    uint32_t stop, next_worker;
    bool fallback;
};

inline void key_of(int account, int slot, uint8_t address[20], u256* key) {
    std::memset(address, 0, 20);
    address[19] = static_cast<uint8_t>(account + 1);
    u_set64(key, static_cast<uint64_t>(slot));
}

inline Location* find_account(Worker& w, int number) {
    uint8_t address[20];
    u256 key;
    key_of(number, 0, address, &key);
    Location* location = w.block->store->find(address, nullptr);
    if (location == nullptr) {
        w.full = true;
        return nullptr;
    }
    if (!location->base_known()) {
        if (number == w.block->spec->bad_account) return nullptr;
        const PlainAccount& account = w.block->spec->before.accounts[number];
        Base base{};
        u_set64(&base.balance, account.balance);
        base.nonce = account.nonce;
        base.exists = account.exists != 0;
        base.code_hash[0] = static_cast<uint8_t>(account.code);
        location->set_base(base);
    }
    return location;
}

inline Location* find_slot(Worker& w, int number, int slot, bool read) {
    uint8_t address[20];
    u256 key;
    key_of(number, slot, address, &key);
    Location* location = w.block->store->find(address, &key);
    if (location == nullptr) {
        w.full = true;
        return nullptr;
    }
    if (read && !location->base_known()) {
        if (slot == w.block->spec->bad_slot) return nullptr;
        Base base{};
        u_set64(&base.balance, w.block->spec->before.accounts[number].slots[slot]);
        location->set_base(base);
    }
    return location;
}

inline bool met_estimate(Worker& w, const Seen& seen) {
    if (!seen.estimate || w.final) return false;
    w.blocked_on = seen.writer;
    return true;
}

inline Account resolve_account(const Location& location, TxIndex tx) {
    Account found{};
    found.balance = location.base.balance;
    found.exists = location.base.exists;
    found.nonce = location.base.nonce;
    found.code = location.base.code_hash[0];
    if (!is_written(&location)) return found;
    const Value* nonce = latest(location.cells[kNonce], tx).value;
    const Value* code = latest(location.cells[kCode], tx).value;
    const Value* life = latest(location.cells[kLife], tx).value;
    if (nonce != nullptr) found.nonce = nonce->word.w[0];
    if (code != nullptr) found.code = code->word.w[0];
    if (life != nullptr) found.exists = life->word.w[0];
    STM_KNOWS(3, found.nonce, found.code, found.exists);
    sum_before(location.cells[kBalance], tx, 0, location.base.balance, &found.balance);
    return found;
}

inline uint64_t resolve_slot(const Location& location, const Location& account, TxIndex tx) {
    u256 value;
    slot_before(location, account, tx, &value);
    return value.w[0];
}

inline AccountEntry* load_account(Worker& w, int number) {
    AccountEntry& entry = w.accounts[number];
    if (entry.location != nullptr) return &entry;
    Location* location = find_account(w, number);
    if (location == nullptr) return nullptr;
    if (is_written(location)) {
        for (int part = kNonce; part < kParts; ++part)
            if (met_estimate(w, latest(location->cells[part], w.tx))) return nullptr;
        STM_KNOWS(3);
    }
    entry.location = location;
    entry.base = entry.now = resolve_account(*location, w.tx);
    return &entry;
}

inline SlotEntry* load_slot(Worker& w, const AccountEntry& account, int number, int slot, OpKind op) {
    SlotEntry& entry = w.slots[number][slot];
    if (!entry.loaded && !account.wiped) {
        Location* location = find_slot(w, number, slot, true);
        if (location == nullptr || met_estimate(w, latest(location->cells[0], w.tx)) ||
            met_estimate(w, latest(account.location->cells[kLife], w.tx)))
            return nullptr;
        STM_KNOWS(3);
        entry.location = location;
        entry.loaded = true;
        entry.base = entry.now = resolve_slot(*location, *account.location, w.tx);
        entry.open = op == kAddSlot || op == kSpendSlot;
        entry.high = ~uint64_t{0};
    }
    if (account.wiped && !entry.wiped) {
        entry.wiped = true;
        entry.now = 0;
        if (entry.loaded && !entry.open) entry.low = entry.high = entry.base;
        entry.open = false;
        return &entry;
    }
    if (!account.wiped && op != kAddSlot && op != kSpendSlot) entry.open = false;
    if (!account.wiped && !entry.open) entry.low = entry.high = entry.base;
    return &entry;
}

// False: a read failed, or the run must wait.
inline bool interpret(Worker& w, Run* run) {
    const Program& program = w.block->spec->programs[w.tx - 1];
    uint64_t r = w.tx;
    u256 amount;
    for (int k = 0; k < program.count; ++k) {
        STM_KNOWS(2, k, r, digest(w.accounts, sizeof w.accounts), digest(w.slots, sizeof w.slots));
        const Op& op = program.ops[k];
        if (op.kind == kBranch) {
            if (r & 1) k += op.skip;
            continue;
        }
        if (op.kind == kRequire) {
            if (r % 16 == op.amount) {
                run->verdict = kInvalid;
                return true;
            }
            continue;
        }
        AccountEntry* account = load_account(w, op.account);
        if (account == nullptr) return false;
        STM_KNOWS(2, k, r, digest(w.accounts, sizeof w.accounts), digest(w.slots, sizeof w.slots));
        SlotEntry* slot = nullptr;
        if (op.kind <= kSpendSlot && (slot = load_slot(w, *account, op.account, op.slot, op.kind)) == nullptr) return false;
        const auto use = [account](Use part) {
            if (!account->wiped) account->uses |= part;
        };
        u_set64(&amount, op.amount);
        switch (op.kind) {
            case kSload: r = mix(r, slot->now); break;
            case kSstore: slot->now = op.amount % 3; break;
            case kSstoreSeen: slot->now = r % 5; break;
            case kAddSlot: slot->now += op.amount; break;
            case kSpendSlot: {
                const bool enough = slot->now >= op.amount;
                r = mix(r, enough);
                if (enough) slot->now -= op.amount;
                else if (slot->open) slot->high = std::min(slot->high, slot->base + (op.amount - 1 - slot->now));
                // The rest must be there: the base is at least what has been taken in all. (A base that was read too
                // early can be below zero, and additions raise it above.)
                if (slot->open && slot->base > slot->now) slot->low = std::max(slot->low, slot->base - slot->now);
                break;
            }
            case kReadBalance:
                use(kUseBalance);
                r = mix(r, account->now.balance.w[0]);
                break;
            case kCredit: u_add(&account->now.balance, &account->now.balance, &amount); break;
            case kDebit: {
                const bool enough = !u_lt(&account->now.balance, &amount);
                r = mix(r, enough);
                if (!enough) {
                    use(kUseBalance);
                    break;
                }
                u_sub(&account->now.balance, &account->now.balance, &amount);
                // The rest is the base plus all deltas: the base must be at least what the deltas take away.
                u256 taken;
                u_sub(&taken, &account->base.balance, &account->now.balance);
                if (!account->wiped && u_lt(&account->now.balance, &account->base.balance) && u_lt(&account->floor, &taken))
                    account->floor = taken;
                break;
            }
            case kReadNonce: use(kUseNonce); r = mix(r, account->now.nonce); break;
            case kBump: use(kUseNonce); ++account->now.nonce; break;
            case kReadExists: use(kUseExists); r = mix(r, account->now.exists); break;
            case kCreate: use(kUseExists); account->now.exists = 1; break;
            case kWipe:
                account->now = Account{};
                account->wiped = true;
                for (int s = 0; s < w.block->spec->slots; ++s) w.slots[op.account][s].wiped = false;
                break;
            case kReadCode: use(kUseCode); r = mix(r, account->now.code); break;
            case kSetCode: use(kUseCode); account->now.code = op.amount % 3; break;
            default: break;
        }
    }
    run->seen = r;
    return true;
}

inline bool note_reads(Worker& w, Run* run) {
    const Spec& spec = *w.block->spec;
    run->accounts = w.arena->take_array<AccountRead>(spec.accounts);
    run->slots = w.arena->take_array<SlotRead>(spec.accounts * spec.slots);
    if (run->accounts == nullptr || run->slots == nullptr) return false;
    for (int a = 0; a < spec.accounts; ++a) {
        const AccountEntry& entry = w.accounts[a];
        if (entry.location == nullptr) continue;
        run->accounts[run->account_count++] = {entry.location, entry.base, entry.floor, entry.uses};
        for (int s = 0; s < spec.slots; ++s) {
            const SlotEntry& slot = w.slots[a][s];
            if (slot.loaded) run->slots[run->slot_count++] = {slot.location, entry.location, slot.low, slot.high};
        }
    }
    return true;
}

inline Value* add_write(Worker& w, Run* run, Location* location, Location* account, int part) {
    Version* version = new_version(*w.arena);
    if (version == nullptr) return nullptr;
    run->writes[run->write_count++] = {location, account, version, &version->first, part, {}};
    return &version->first;
}

inline bool note_writes(Worker& w, Run* run) {
    const Spec& spec = *w.block->spec;
    run->writes = w.arena->take_array<Write>(spec.accounts * (4 + spec.slots));
    if (run->writes == nullptr) return false;
    for (int a = 0; a < spec.accounts; ++a) {
        AccountEntry& entry = w.accounts[a];
        if (entry.location == nullptr) continue;
        Value* value;
        if (entry.wiped || entry.now.exists != entry.base.exists) {
            if ((value = add_write(w, run, entry.location, nullptr, kLife)) == nullptr) return false;
            value->word.w[0] = entry.now.exists;
            value->word.w[1] = entry.wiped;
        }
        if (entry.wiped || entry.now.nonce != entry.base.nonce) {
            if ((value = add_write(w, run, entry.location, nullptr, kNonce)) == nullptr) return false;
            value->word.w[0] = entry.now.nonce;
        }
        if (entry.wiped || entry.now.code != entry.base.code) {
            if ((value = add_write(w, run, entry.location, nullptr, kCode)) == nullptr) return false;
            value->word.w[0] = entry.now.code;
        }
        if (entry.wiped || !u_eq(&entry.now.balance, &entry.base.balance)) {
            if ((value = add_write(w, run, entry.location, nullptr, kBalance)) == nullptr) return false;
            value->delta = !entry.wiped && (entry.uses & kUseBalance) == 0;
            value->word = entry.now.balance;
            if (value->delta) u_sub(&value->word, &entry.now.balance, &entry.base.balance);
        }
        for (int s = 0; s < spec.slots; ++s) {
            SlotEntry& slot = w.slots[a][s];
            if (entry.wiped ? !slot.wiped : !slot.loaded || slot.now == slot.base) continue;
            if (slot.location == nullptr && (slot.location = find_slot(w, a, s, false)) == nullptr) return false;
            if ((value = add_write(w, run, slot.location, entry.location, 0)) == nullptr) return false;
            value->word.w[0] = slot.now;
            value->delta = slot.open;
            if (slot.open) value->word.w[0] = slot.now - slot.base;     // the upper words do not matter here
        }
    }
    return true;
}

inline bool learnt_rightly(const Block& block, TxIndex tx) {
    const Run& run = block.run_of[tx];
    for (uint32_t i = 0; i < run.account_count; ++i) {
        STM_KNOWS(2, i);
        const AccountRead& read = run.accounts[i];
        const Account now = resolve_account(*read.location, tx);
        if ((read.uses & kUseNonce && now.nonce != read.base.nonce) || (read.uses & kUseCode && now.code != read.base.code) ||
            (read.uses & kUseExists && now.exists != read.base.exists) ||
            (read.uses & kUseBalance && !u_eq(&now.balance, &read.base.balance)) || u_lt(&now.balance, &read.floor))
            return false;
    }
    for (uint32_t i = 0; i < run.slot_count; ++i) {
        STM_KNOWS(2, i);
        const SlotRead& read = run.slots[i];
        const uint64_t now = resolve_slot(*read.location, *read.account, tx);
        if (now < read.low || now > read.high) return false;
    }
    return true;
}

// ---- the four functions that the engine needs

inline TxIndex run_task(void* self, TxIndex tx, bool final) {
    Worker& w = *static_cast<Worker*>(self);
    Block& block = *w.block;
    w.tx = tx;
    w.final = final;
    w.blocked_on = 0;
    w.full = false;
    Run fresh{};
    const uint64_t gas = block.spec->programs[tx - 1].gas;
    bool good = true;
    if (final && gas > block.spec->gas_limit - block.gas_used) {
        fresh.verdict = kInvalid;
    } else {
        w.inside = true;
        good = interpret(w, &fresh);
        w.inside = false;
    }
    if (good) good = note_reads(w, &fresh) && (fresh.verdict != kValid || note_writes(w, &fresh));
    std::memset(static_cast<void*>(w.accounts), 0, sizeof w.accounts);
    std::memset(static_cast<void*>(w.slots), 0, sizeof w.slots);
    if (w.blocked_on != 0) return w.blocked_on;
    if (!good) {
        fresh.verdict = kFailed;
        fresh.write_count = 0;
    }
    Run& before = block.run_of[tx];
    STM_KNOWS(2, digest(fresh));
    publish_writes(tx, before.writes, before.write_count, fresh.writes, fresh.write_count, w.delays);
    before = fresh;
    return 0;
}

inline bool stands_task(void* self, TxIndex tx) {
    Block& block = *static_cast<Worker*>(self)->block;
    return block.run_of[tx].verdict == kValid && block.spec->programs[tx - 1].gas <= block.spec->gas_limit - block.gas_used &&
           learnt_rightly(block, tx);
}

inline void settle(Worker& w, Write& write, uint64_t before, TxIndex tx) {
    Value* settled = w.arena->take_array<Value>(1);
    if (settled == nullptr) fail("no memory", tx);
    std::memset(static_cast<void*>(settled), 0, sizeof(Value));
    settled->word.w[0] = before + write.value->word.w[0];
    replace(write.version, settled);
    write.value = settled;
}

inline bool conclude_task(void* self, TxIndex tx) {
    Worker& w = *static_cast<Worker*>(self);
    Block& block = *w.block;
    Run& run = block.run_of[tx];
    if (tx != block.outcome.done + 1) fail("committed out of order", tx);
    if (run.verdict != kValid) {
        block.fallback = w.full && run.verdict == kFailed;
        if (!block.fallback) block.outcome.verdict = run.verdict;
        return false;
    }
    for (uint32_t i = 0; i < run.write_count; ++i) {
        STM_KNOWS(2, i);
        Write& write = run.writes[i];
        const Location& owner = write.account != nullptr ? *write.account : *write.location;
        PlainAccount& account = block.outcome.after.accounts[owner.address[19] - 1];
        if (write.account != nullptr) {
            uint64_t& slot = account.slots[write.location->slot.w[0]];
            if (write.value->delta) settle(w, write, slot, tx);
            slot = write.value->word.w[0];
        } else if (write.part == kLife) {
            if (write.value->word.w[1]) account = PlainAccount{};
            account.exists = write.value->word.w[0];
        } else if (write.part == kNonce) {
            account.nonce = write.value->word.w[0];
        } else if (write.part == kCode) {
            account.code = write.value->word.w[0];
        } else {
            if (write.value->delta) settle(w, write, account.balance, tx);
            account.balance = write.value->word.w[0];
        }
    }
    block.outcome.seen[tx] = run.seen;
    block.outcome.done = tx;
    block.gas_used += block.spec->programs[tx - 1].gas;
    const uint64_t word = block.scheduler->word(tx);
    block.committed[tx] = {word_of(kCommitted, incarnation_of(word), epoch_of(word)), run.writes, run.write_count};
    return true;
}

inline void pass_task(void* self, TxIndex tx) { static_cast<Worker*>(self)->block->run_of[tx].verdict = kFailed; }

// ---- a block from beginning to end

inline void open_block(Block& block, const Spec& spec, int workers, uint64_t seed) {
    HashKey key;
    Random random{seed};
    for (uint64_t& word : key.k) word = random.next();
    block.spec = &spec;
    block.outcome = Outcome{};
    block.outcome.after = spec.before;
    block.gas_used = 0;
    block.stop = block.next_worker = 0;
    block.fallback = false;
    if (!block.store->prepare(spec.room, key) || !block.scheduler->prepare(spec.txs)) fail("no memory", 0);
    for (int tx = 0; tx <= spec.txs; ++tx) {
        block.run_of[tx] = Run{};
        block.committed[tx] = Committed{};
        for (int k = 0; tx > 0 && k < 2; ++k) block.scheduler->hint(tx, k, spec.programs[tx - 1].after[k]);
    }
    for (int first = 1; first <= spec.txs; first += spec.stretch) {
        const int end = std::min(first + spec.stretch, spec.txs + 1);
        if (spec.left == 0 || first / spec.stretch % spec.left != 0) block.scheduler->offer(first, end, spec.stretch > 1);
    }
    for (int i = 0; i < workers; ++i) {
        Worker& w = block.workers[i];
        Arena* arena = w.arena;
        arena->reset();
        w = Worker{};
        w.arena = arena;
        w.block = &block;
        w.random.state = random.next();
    }
}

inline void work_on(Worker& w) {
    const Tasks tasks{&w, run_task, stands_task, conclude_task, pass_task};
    work(*w.block->scheduler, tasks, *w.arena, &w.block->stop, w.tally, w.delays);
}

// Checks that nothing final has been touched since.
inline void check_committed(const Block& block) {
    for (TxIndex tx = 1; tx <= block.outcome.done; ++tx) {
        const Committed& committed = block.committed[tx];
        if (tx < block.outcome.done && block.scheduler->word(tx) != committed.word)
            fail("the status of a final transaction changed", tx);
        for (uint32_t i = 0; i < committed.count; ++i)
            if (committed.writes[i].version->value.load() != reinterpret_cast<uintptr_t>(committed.writes[i].value))
                fail("a version of a final transaction changed", tx);
    }
}

// Call it when every worker has left. Continues in order after a fallback, then compares with `expected` and with the
// bounds.
inline void close_block(Block& block, const Outcome& expected, int workers) {
    const Spec& spec = *block.spec;
    const TxIndex count = spec.txs;
    check_committed(block);
    if (block.fallback) {
        run_plainly(spec, block.outcome.done + 1, block.gas_used, &block.outcome);
    } else if (block.outcome.verdict == kValid && !block.scheduler->finished()) {
        fail("the workers left before the end", block.scheduler->frontier());
    }
    if (block.outcome.done != expected.done) fail("another transaction is the last", block.outcome.done);
    if (block.outcome.verdict != expected.verdict) fail("another verdict", expected.done);
    for (TxIndex tx = 1; tx <= expected.done; ++tx)
        if (block.outcome.seen[tx] != expected.seen[tx]) fail("another receipt", tx);
    for (int a = 0; a < spec.accounts; ++a)
        if (!(block.outcome.after.accounts[a] == expected.after.accounts[a])) fail("another state", expected.done);

    // A transaction runs to its end at most once ahead of time and once by the committer. Before that it begins in vain
    // a few times at most.
    uint64_t runs = 0, reruns = 0, waits = 0;
    for (int i = 0; i < workers; ++i) {
        runs += block.workers[i].tally.runs;
        reruns += block.workers[i].tally.reruns;
        waits += block.workers[i].tally.waits;
    }
    if (reruns > count) fail("the committer ran a transaction twice", count);
    if (runs - waits > 2 * count) fail("too many runs", count);
    if (waits > kMostTries * uint64_t{count}) fail("too many waits", count);
    if (waits != 0 && reruns == 0) fail("a wait, but nothing was run again", count);
}

}  // namespace synthetic
