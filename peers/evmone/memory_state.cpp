#include "memory_state.hpp"

#include <test/state/account.hpp>
#include <test/state/hash_utils.hpp>

namespace peer {
namespace {

const auto NO_CODE = std::make_shared<const evmc::bytes>();

}  // namespace

MemoryState::Stored::Stored() : code_hash{evmone::state::Account::EMPTY_CODE_HASH}, code{NO_CODE} {}

void MemoryState::Stored::set_code(evmc::bytes octets) {
    code_hash = evmone::keccak256(octets);
    code = std::make_shared<const evmc::bytes>(std::move(octets));
}

MemoryState::MemoryState(const Json& alloc) {
    for (const auto& [address, fields] : alloc.items()) {
        auto& account = m_accounts[read_address(address)];
        account.nonce = read_uint64(fields.at("nonce"));
        account.balance = read_uint256(fields.at("balance"));
        account.set_code(read_bytes(fields.at("code")));
        for (const auto& [key, text] : fields.at("storage").items()) {
            const auto value = intx::be::store<evmc::bytes32>(read_uint256(text));
            // A slot that is there makes evmone take the account for one that has storage.
            if (value) account.storage.emplace(intx::be::store<evmc::bytes32>(read_uint256(key)), value);
        }
    }
}

std::optional<MemoryState::Account> MemoryState::get_account(const evmc::address& address) const noexcept {
    const auto found = m_accounts.find(address);
    if (found == m_accounts.end()) return {};
    const auto& account = found->second;
    return Account{account.nonce, account.balance, account.code_hash, !account.storage.empty()};
}

evmc::bytes MemoryState::get_account_code(const evmc::address& address) const noexcept {
    const auto found = m_accounts.find(address);
    return found != m_accounts.end() ? *found->second.code : evmc::bytes{};
}

evmc::bytes32 MemoryState::get_storage(const evmc::address& address, const evmc::bytes32& key) const noexcept {
    const auto account = m_accounts.find(address);
    if (account == m_accounts.end()) return {};
    const auto slot = account->second.storage.find(key);
    return slot != account->second.storage.end() ? slot->second : evmc::bytes32{};
}

void MemoryState::apply(const evmone::state::StateDiff& diff) {
    for (const auto& entry : diff.modified_accounts) {
        auto& account = m_accounts[entry.addr];
        account.nonce = entry.nonce;
        account.balance = entry.balance;
        if (entry.code) account.set_code(*entry.code);
        for (const auto& [key, value] : entry.modified_storage) {
            if (value) {
                account.storage.insert_or_assign(key, value);
            } else {
                account.storage.erase(key);
            }
        }
    }
    for (const auto& address : diff.deleted_accounts) m_accounts.erase(address);
}

KnownBlockHashes::KnownBlockHashes(const Json& hashes) {
    for (const auto& [number, hash] : hashes.items()) m_hashes.emplace(read_int64(number), read_hash(hash));
}

evmc::bytes32 KnownBlockHashes::get_block_hash(int64_t number) const noexcept {
    const auto found = m_hashes.find(number);
    return found != m_hashes.end() ? found->second : evmc::bytes32{};
}

}  // namespace peer
