#pragma once

#include <evmc/evmc.hpp>

namespace peer {

/// The baseline interpreter of evmone with the analyses of all code that it has met, by the code's hash.
///
/// evmone gives out analyses for its user to keep, and its own entry point keeps none. A node that runs evmone keeps
/// them (as Silkworm does), so this does, from message to message and from block to block.
evmc::VM& vm();

}  // namespace peer
