#pragma once

#include <memory>

#include "json.hpp"

namespace peer {

/// A message or a block that can be run any number of times from the same state.
class Work {
public:
    virtual ~Work() = default;
    /// Makes what a run uses up, and drops what the run before left. Not timed.
    virtual void prepare() = 0;
    /// What is timed.
    virtual void run() = 0;
    /// What the last run gave.
    virtual Json answer() const = 0;
};

/// Both raise std::exception for a request that is not in the form of the protocol.
std::unique_ptr<Work> make_message(const Json& request);
std::unique_ptr<Work> make_block(const Json& request);

}  // namespace peer
