#include "vm.hpp"

#include <evmone/baseline.hpp>
#include <evmone/vm.hpp>
#include <unordered_map>

namespace peer {
namespace {

using evmone::baseline::CodeAnalysis;

class CachingVM : public evmone::VM {
public:
    CachingVM() noexcept {
        execute = execute_cached;
        destroy = [](evmc_vm* self) { delete static_cast<CachingVM*>(self); };
    }

private:
    static evmc_result execute_cached(evmc_vm* self, const evmc_host_interface* host, evmc_host_context* context,
                                      evmc_revision revision, const evmc_message* message, const uint8_t* code,
                                      size_t size) {
        auto& vm = *static_cast<CachingVM*>(self);
        if (message->kind == EVMC_CREATE || message->kind == EVMC_CREATE2) {
            // Code that creates a contract runs once, and no account has it.
            return evmone::baseline::execute(self, host, context, revision, message, code, size);
        }
        const evmc::bytes32 hash = host->get_code_hash(context, &message->code_address);
        auto known = vm.m_analyses.find(hash);
        if (known == vm.m_analyses.end()) {
            known = vm.m_analyses.emplace(hash, evmone::baseline::analyze({code, size})).first;
        }
        return evmone::baseline::execute(vm, *host, context, revision, *message, known->second);
    }

    // References into it stay valid while calls within calls add to it.
    std::unordered_map<evmc::bytes32, CodeAnalysis> m_analyses;
};

}  // namespace

evmc::VM& vm() {
    static evmc::VM the_vm{new CachingVM};
    return the_vm;
}

}  // namespace peer
