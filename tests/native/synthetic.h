// Blocks of synthetic transactions over few accounts and slots, and their outcomes. `run_plainly` applies a block in
// order to a plain state and uses neither store nor scheduler. synthetic_block.h runs the same block on those.
#pragma once
#include <algorithm>
#include <cstdint>

#include "random.h"

namespace synthetic {

using TxIndex = uint32_t;

#ifndef STM_MAX_TXS
#define STM_MAX_TXS 48
#define STM_MAX_ACCOUNTS 8
#define STM_MAX_SLOTS 8
#define STM_MAX_WORKERS 16
#endif
constexpr int kMaxOps = 8;

[[noreturn]] void fail(const char* what, TxIndex tx);      // defined by the driver: says how to repeat the failure

inline uint64_t mix(uint64_t a, uint64_t b) { return Random{a * 31 + b}.next(); }

// ---- the description of a block

enum OpKind : uint8_t {
    kSload, kSstore, kSstoreSeen, kAddSlot, kSpendSlot, kReadBalance, kCredit, kDebit, kReadNonce, kBump, kReadExists, kCreate, kWipe, kReadCode,
    kSetCode, kBranch, kRequire, kOpKinds
};

struct Op {
    OpKind kind;
    uint8_t account, slot, skip;
    uint32_t amount;
};

struct Program {
    Op ops[kMaxOps];
    int count;
    uint64_t gas;
    TxIndex after[2];
};

struct PlainAccount {
    uint64_t exists, nonce, balance, code, slots[STM_MAX_SLOTS];
    bool operator==(const PlainAccount& o) const {
        return exists == o.exists && nonce == o.nonce && balance == o.balance && code == o.code &&
               std::equal(slots, slots + STM_MAX_SLOTS, o.slots);
    }
};

struct PlainState {
    PlainAccount accounts[STM_MAX_ACCOUNTS];
};

struct Spec {
    int accounts, slots, txs;
    Program programs[STM_MAX_TXS];             // programs[i] is transaction i + 1
    PlainState before;
    uint64_t gas_limit;
    size_t room;                                // of the store, in locations
    int bad_account, bad_slot;                  // reading these fails; -1 for none
    int stretch, left;                          // transactions of a stretch; one in `left` stretches is not offered, 0: all are
};

inline Spec random_spec(uint64_t seed, int most_txs) {
    Random random{seed};
    Spec spec{};
    const bool tiny = random.chance(50);
    spec.accounts = 1 + random.below(tiny ? 2 : STM_MAX_ACCOUNTS);
    spec.slots = 1 + random.below(tiny ? 2 : STM_MAX_SLOTS);
    spec.txs = 1 + random.below(random.chance(30) ? std::min(most_txs, 4) : most_txs);
    spec.room = random.chance(80) ? 1000 : 1;   // 1: the least there is, 32
    spec.gas_limit = random.chance(85) ? ~uint64_t{0} : random.below(spec.txs * 12 + 1);
    spec.bad_account = random.chance(4) ? static_cast<int>(random.below(spec.accounts)) : -1;
    spec.bad_slot = random.chance(6) ? static_cast<int>(random.below(spec.slots)) : -1;
    spec.stretch = random.chance(40) ? 1 : 1 + random.below(5);
    spec.left = random.chance(40) ? 0 : 1 + random.below(4);
    const bool invalid = random.chance(20), wipes = random.chance(40), hints = random.chance(30);
    for (int a = 0; a < spec.accounts; ++a) {
        PlainAccount& account = spec.before.accounts[a];
        if (random.chance(30)) continue;
        account = {1, random.below(3), random.below(20), random.below(3), {}};
        for (int s = 0; s < spec.slots; ++s) account.slots[s] = random.below(3);
    }
    for (int i = 0; i < spec.txs; ++i) {
        Program& program = spec.programs[i];
        program.count = 1 + random.below(kMaxOps);
        program.gas = 1 + random.below(20);
        for (int k = 0; k < 2; ++k)
            if (hints && i > 0 && random.chance(40)) program.after[k] = 1 + random.below(i);
        for (int k = 0; k < program.count; ++k) {
            Op& op = program.ops[k];
            do {
                op.kind = static_cast<OpKind>(random.below(kOpKinds));
            } while ((op.kind == kWipe && !(wipes && random.chance(40))) ||
                     (op.kind == kRequire && !(invalid && random.chance(20))));
            op.account = static_cast<uint8_t>(random.below(spec.accounts));
            op.slot = static_cast<uint8_t>(random.below(spec.slots));
            op.skip = static_cast<uint8_t>(1 + random.below(3));
            op.amount = random.below(12);
        }
    }
    return spec;
}

enum Verdict : uint8_t { kValid, kInvalid, kFailed };

struct Outcome {
    uint64_t seen[STM_MAX_TXS + 1];            // the result of each transaction; its receipt
    PlainState after;
    Verdict verdict;
    TxIndex done;                               // the last that is final
};

// ---- execution in order, on plain state

inline Verdict run_program_plainly(const Spec& spec, TxIndex tx, PlainState& state, uint64_t* seen) {
    const Program& program = spec.programs[tx - 1];
    bool wiped[STM_MAX_ACCOUNTS] = {};
    uint64_t r = tx;
    for (int k = 0; k < program.count; ++k) {
        const Op& op = program.ops[k];
        if (op.kind == kBranch) {
            if (r & 1) k += op.skip;
            continue;
        }
        if (op.kind == kRequire) {
            if (r % 16 == op.amount) return kInvalid;
            continue;
        }
        if (op.account == spec.bad_account) return kFailed;
        PlainAccount& account = state.accounts[op.account];
        if (op.kind <= kSpendSlot && op.slot == spec.bad_slot && !wiped[op.account]) return kFailed;
        switch (op.kind) {
            case kSload: r = mix(r, account.slots[op.slot]); break;
            case kSstore: account.slots[op.slot] = op.amount % 3; break;
            case kSstoreSeen: account.slots[op.slot] = r % 5; break;
            case kAddSlot: account.slots[op.slot] += op.amount; break;
            case kSpendSlot:
                r = mix(r, account.slots[op.slot] >= op.amount);
                if (account.slots[op.slot] >= op.amount) account.slots[op.slot] -= op.amount;
                break;
            case kReadBalance: r = mix(r, account.balance); break;
            case kCredit: account.balance += op.amount; break;
            case kDebit:
                r = mix(r, account.balance >= op.amount);
                if (account.balance >= op.amount) account.balance -= op.amount;
                break;
            case kReadNonce: r = mix(r, account.nonce); break;
            case kBump: ++account.nonce; break;
            case kReadExists: r = mix(r, account.exists); break;
            case kCreate: account.exists = 1; break;
            case kWipe:
                account = PlainAccount{};
                wiped[op.account] = true;
                break;
            case kReadCode: r = mix(r, account.code); break;
            case kSetCode: account.code = op.amount % 3; break;
            default: break;
        }
    }
    *seen = r;
    return kValid;
}

// Starts from the state and the outcome of the transactions before `first`.
inline void run_plainly(const Spec& spec, TxIndex first, uint64_t gas_used, Outcome* out) {
    out->verdict = kValid;
    for (TxIndex tx = first; tx <= static_cast<TxIndex>(spec.txs); ++tx) {
        const uint64_t gas = spec.programs[tx - 1].gas;
        PlainState state = out->after;
        out->verdict = gas > spec.gas_limit - gas_used ? kInvalid : run_program_plainly(spec, tx, state, &out->seen[tx]);
        if (out->verdict != kValid) return;
        gas_used += gas;
        out->after = state;
        out->done = tx;
    }
}

}  // namespace synthetic
