#include <evmone/baseline.hpp>
#include <evmone/delegation.hpp>
#include <evmone/vm.hpp>
#include <test/state/block.hpp>
#include <test/state/host.hpp>
#include <test/state/state.hpp>
#include <test/state/transaction.hpp>

#include "forks.hpp"
#include "memory_state.hpp"
#include "vm.hpp"
#include "work.hpp"

namespace peer {
namespace {

using namespace evmone;

/// One message on the baseline interpreter, with the host of evmone's state library.
///
/// As in evmone's own benchmark (`baseline/execute`), the code of the callee is analysed before, and no call around it
/// is timed.
class Message : public Work {
public:
    explicit Message(const Json& request)
        : m_revision{read_revision(request.at("fork"))},
          m_alloc{request.at("alloc")},
          m_to{read_address(request.at("to"))},
          m_data{read_bytes(request.at("data"))},
          m_gas{read_int64(request.at("gas"))} {
        m_transaction.sender = read_address(request.at("sender"));
        m_transaction.to = m_to;
        m_message.kind = EVMC_CALL;
        m_message.gas = m_gas;
        m_message.recipient = m_to;
        m_message.sender = m_transaction.sender;
        m_message.input_data = m_data.data();
        m_message.input_size = m_data.size();
        m_message.code_address = m_to;
        if (const auto code = m_alloc.get_account_code(m_to); !code.empty() && !is_code_delegated(code)) {
            m_analysis.emplace(baseline::analyze(code));
        }
    }

    void prepare() override {
        m_result.reset();
        m_state.emplace(m_alloc);
        m_host.emplace(m_revision, vm(), *m_state, m_block, m_block_hashes, m_transaction);
        m_state->get_or_insert(m_transaction.sender).access_status = EVMC_ACCESS_WARM;
        m_host->access_account(m_to);
    }

    void run() override {
        if (m_analysis) {
            auto& baseline_vm = *static_cast<VM*>(vm().get_raw_pointer());
            m_result.emplace(baseline::execute(baseline_vm, state::Host::get_interface(), m_host->to_context(),
                                               m_revision, m_message, *m_analysis));
        } else {
            // A precompile, or nothing to execute.
            m_result.emplace(m_host->call(m_message));
        }
    }

    Json answer() const override {
        return {
            {"success", m_result->status_code == EVMC_SUCCESS},
            {"output", write_bytes({m_result->output_data, m_result->output_size})},
            {"gas_used", write_number(static_cast<uint64_t>(m_gas - m_result->gas_left))},
        };
    }

private:
    evmc_revision m_revision;
    MemoryState m_alloc;
    KnownBlockHashes m_block_hashes;
    state::BlockInfo m_block;
    state::Transaction m_transaction;
    evmc::address m_to;
    evmc::bytes m_data;
    int64_t m_gas;
    evmc_message m_message{};
    std::optional<baseline::CodeAnalysis> m_analysis;

    // Of one run.
    std::optional<state::State> m_state;
    std::optional<state::Host> m_host;
    std::optional<evmc::Result> m_result;
};

}  // namespace

std::unique_ptr<Work> make_message(const Json& request) { return std::make_unique<Message>(request); }

}  // namespace peer
