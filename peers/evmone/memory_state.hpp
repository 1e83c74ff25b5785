#pragma once

#include <memory>
#include <test/state/state_diff.hpp>
#include <test/state/state_view.hpp>
#include <unordered_map>

#include "json.hpp"

namespace peer {

/// A state in memory for evmone's state library.
///
/// evmone's own, TestState, hashes the code of an account each time that it is asked for the account. A node's database
/// has the hash beside the code, and so has this one.
class MemoryState : public evmone::state::StateView {
public:
    explicit MemoryState(const Json& alloc);

    std::optional<Account> get_account(const evmc::address& address) const noexcept override;
    evmc::bytes get_account_code(const evmc::address& address) const noexcept override;
    evmc::bytes32 get_storage(const evmc::address& address, const evmc::bytes32& key) const noexcept override;

    void apply(const evmone::state::StateDiff& diff);

private:
    struct Stored {
        uint64_t nonce = 0;
        intx::uint256 balance;
        evmc::bytes32 code_hash;
        std::shared_ptr<const evmc::bytes> code;  // shared with copies of the state
        std::unordered_map<evmc::bytes32, evmc::bytes32> storage;

        Stored();
        void set_code(evmc::bytes octets);
    };

    std::unordered_map<evmc::address, Stored> m_accounts;
};

/// The hashes of blocks that BLOCKHASH may ask for. Others are zero.
class KnownBlockHashes : public evmone::state::BlockHashes {
public:
    explicit KnownBlockHashes(const Json& hashes = Json::object());

    evmc::bytes32 get_block_hash(int64_t number) const noexcept override;

private:
    std::unordered_map<int64_t, evmc::bytes32> m_hashes;
};

}  // namespace peer
