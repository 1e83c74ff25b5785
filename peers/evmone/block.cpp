#include <stdexcept>
#include <test/state/block.hpp>
#include <test/state/state.hpp>
#include <test/state/transaction.hpp>

#include "forks.hpp"
#include "memory_state.hpp"
#include "vm.hpp"
#include "work.hpp"

namespace peer {
namespace {

using namespace evmone;

template <typename Read>
auto or_none(const Json& value, Read read) -> std::optional<decltype(read(value))> {
    if (value.is_null()) return {};
    return read(value);
}

state::BlockInfo read_block_info(const Json& request, evmc_revision revision) {
    const auto& header = request.at("header");
    state::BlockInfo block;
    block.number = read_int64(header.at("number"));
    block.timestamp = read_int64(header.at("timestamp"));
    block.gas_limit = read_int64(header.at("gas_limit"));
    block.coinbase = read_address(header.at("coinbase"));
    block.difficulty = read_int64(header.at("difficulty"));
    // One field serves both meanings of the instruction (EIP-4399).
    block.prev_randao = revision < EVMC_PARIS ? evmc::bytes32{static_cast<uint64_t>(block.difficulty)}
                                              : read_hash(header.at("prev_randao"));
    block.base_fee = or_none(header.at("base_fee_per_gas"), read_uint64).value_or(0);
    block.chain_id = read_uint64(request.at("chain_id"));
    block.excess_blob_gas = or_none(header.at("excess_blob_gas"), read_uint64);
    block.blob_base_fee = or_none(header.at("blob_base_fee"), read_uint256);
    return block;
}

state::Transaction read_transaction(const Json& fields, uint64_t chain_id) {
    state::Transaction transaction;
    const auto type = fields.at("type").get<int>();
    if (type < 0 || type > 4)
        throw std::invalid_argument{"type " + std::to_string(type) + " of a transaction is unknown"};
    transaction.type = static_cast<state::Transaction::Type>(type);
    transaction.chain_id = chain_id;
    transaction.sender = read_address(fields.at("sender"));
    transaction.nonce = read_uint64(fields.at("nonce"));
    transaction.gas_limit = read_int64(fields.at("gas_limit"));
    transaction.to = or_none(fields.at("to"), read_address);
    transaction.value = read_uint256(fields.at("value"));
    transaction.data = read_bytes(fields.at("data"));
    transaction.max_gas_price = read_uint256(fields.at(type < 2 ? "gas_price" : "max_fee_per_gas"));
    transaction.max_priority_gas_price = read_uint256(fields.at(type < 2 ? "gas_price" : "max_priority_fee_per_gas"));
    if (type >= 1) {
        for (const auto& entry : fields.at("access_list")) {
            auto& keys = transaction.access_list.emplace_back(read_address(entry.at("address")), 0).second;
            for (const auto& key : entry.at("storage_keys")) keys.push_back(read_hash(key));
        }
    }
    if (type == 3) {
        transaction.max_blob_gas_price = read_uint256(fields.at("max_fee_per_blob_gas"));
        for (const auto& hash : fields.at("blob_versioned_hashes")) transaction.blob_hashes.push_back(read_hash(hash));
    }
    if (type == 4) {
        for (const auto& row : fields.at("authorization_list")) {
            auto& authorization = transaction.authorization_list.emplace_back();
            authorization.chain_id = read_uint256(row.at("chain_id"));
            authorization.addr = read_address(row.at("address"));
            authorization.nonce = read_uint64(row.at("nonce"));
            authorization.y_parity = static_cast<uint8_t>(read_uint64(row.at("y_parity")));
            authorization.r = read_uint256(row.at("r"));
            authorization.s = read_uint256(row.at("s"));
        }
    }
    return transaction;
}

/// The transactions of a block, as evmone's apply_block executes them: each is validated, executed on a fresh
/// state::State, and its changes are applied to the state that the next one reads. The receipts keep the changes.
class Block : public Work {
public:
    explicit Block(const Json& request)
        : m_revision{read_revision(request.at("fork"))},
          m_block{read_block_info(request, m_revision)},
          m_block_hashes{request.at("block_hashes")},
          m_alloc{request.at("alloc")} {
        if (request.at("threads").get<int>() > 1) throw std::invalid_argument{"evmone executes blocks on one thread"};
        for (const auto& fields : request.at("transactions")) {
            m_transactions.push_back(read_transaction(fields, m_block.chain_id));
        }
    }

    void prepare() override {
        m_receipts.clear();
        m_state.emplace(m_alloc);
    }

    void run() override {
        auto block_gas_left = m_block.gas_limit;
        int64_t cumulative_gas_used = 0;
        for (const auto& transaction : m_transactions) {
            // The header of a real block says that its blobs are few enough.
            const auto valid = state::validate_transaction(*m_state, m_block, transaction, m_revision, block_gas_left,
                                                           std::numeric_limits<int64_t>::max());
            if (const auto* error = std::get_if<std::error_code>(&valid)) {
                throw std::invalid_argument{"transaction " + std::to_string(m_receipts.size()) + ": " +
                                            error->message()};
            }
            auto& receipt =
                m_receipts.emplace_back(state::transition(*m_state, m_block, m_block_hashes, transaction, m_revision,
                                                          vm(), std::get<state::TransactionProperties>(valid)));
            m_state->apply(receipt.state_diff);
            cumulative_gas_used += receipt.gas_used;
            receipt.cumulative_gas_used = cumulative_gas_used;
            block_gas_left -= receipt.gas_used;
        }
    }

    Json answer() const override {
        auto gas_used = Json::array();
        for (const auto& receipt : m_receipts)
            gas_used.push_back(write_number(static_cast<uint64_t>(receipt.gas_used)));
        return {{"gas_used", gas_used}};
    }

private:
    evmc_revision m_revision;
    state::BlockInfo m_block;
    KnownBlockHashes m_block_hashes;
    MemoryState m_alloc;
    std::vector<state::Transaction> m_transactions;

    // Of one run.
    std::optional<MemoryState> m_state;
    std::vector<state::TransactionReceipt> m_receipts;
};

}  // namespace

std::unique_ptr<Work> make_block(const Json& request) { return std::make_unique<Block>(request); }

}  // namespace peer
