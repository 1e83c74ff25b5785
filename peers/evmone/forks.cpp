#include "forks.hpp"

#include <stdexcept>
#include <string_view>
#include <utility>

namespace peer {
namespace {

/// Constantinople, which no block of mainnet was under, is not among evmone's.
constexpr std::pair<std::string_view, evmc_revision> REVISIONS[]{
    {"Frontier", EVMC_FRONTIER},
    {"Homestead", EVMC_HOMESTEAD},
    {"TangerineWhistle", EVMC_TANGERINE_WHISTLE},
    {"SpuriousDragon", EVMC_SPURIOUS_DRAGON},
    {"Byzantium", EVMC_BYZANTIUM},
    {"ConstantinopleFix", EVMC_PETERSBURG},
    {"Petersburg", EVMC_PETERSBURG},
    {"Istanbul", EVMC_ISTANBUL},
    {"MuirGlacier", EVMC_ISTANBUL},
    {"Berlin", EVMC_BERLIN},
    {"London", EVMC_LONDON},
    {"ArrowGlacier", EVMC_LONDON},
    {"GrayGlacier", EVMC_LONDON},
    {"Paris", EVMC_PARIS},
    {"Shanghai", EVMC_SHANGHAI},
    {"Cancun", EVMC_CANCUN},
    {"Prague", EVMC_PRAGUE},
    {"Osaka", EVMC_OSAKA},
};

}  // namespace

evmc_revision read_revision(const std::string& fork) {
    for (const auto& [name, revision] : REVISIONS) {
        if (name == fork) return revision;
    }
    throw std::invalid_argument{"evmone has no fork " + fork};
}

}  // namespace peer
