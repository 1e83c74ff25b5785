/// Values of the protocol: numbers and octets are hexadecimal text.
#pragma once

#include <cstdint>
#include <evmc/evmc.hpp>
#include <intx/intx.hpp>
#include <nlohmann/json.hpp>

namespace peer {

using Json = nlohmann::json;

/// The functions that read raise std::exception for a value that is not in their form.
intx::uint256 read_uint256(const Json& value);
uint64_t read_uint64(const Json& value);
/// For what evmone keeps signed, as gas and numbers of blocks.
int64_t read_int64(const Json& value);
evmc::bytes read_bytes(const Json& value);
evmc::address read_address(const Json& value);
evmc::bytes32 read_hash(const Json& value);

Json write_number(uint64_t number);
Json write_bytes(evmc::bytes_view octets);

}  // namespace peer
