#pragma once

#include <evmc/evmc.h>

#include <string>

namespace peer {

/// The rules of a fork by its name in execution-specs. Raises std::invalid_argument for a name that is unknown.
evmc_revision read_revision(const std::string& fork);

}  // namespace peer
