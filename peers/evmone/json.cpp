#include "json.hpp"

#include <limits>
#include <stdexcept>

namespace peer {
namespace {

std::invalid_argument wrong(const char* needed, const Json& value) {
    return std::invalid_argument{std::string{needed} + " is needed, got " + value.dump().substr(0, 100)};
}

/// The text after "0x".
const std::string& digits(const char* needed, const Json& value) {
    const auto* text = value.get_ptr<const std::string*>();
    if (text == nullptr || !text->starts_with("0x")) throw wrong(needed, value);
    return *text;
}

template <typename Fixed>
Fixed to_fixed(const char* needed, const Json& value) {
    const auto octets = read_bytes(value);
    Fixed fixed;
    if (octets.size() != sizeof(fixed.bytes)) throw wrong(needed, value);
    std::copy(octets.begin(), octets.end(), fixed.bytes);
    return fixed;
}

}  // namespace

intx::uint256 read_uint256(const Json& value) {
    const auto& text = digits("a number", value);
    if (text.size() == 2) throw wrong("a number", value);
    return intx::from_string<intx::uint256>(text);
}

uint64_t read_uint64(const Json& value) {
    const auto number = read_uint256(value);
    if (number > std::numeric_limits<uint64_t>::max()) throw wrong("a number of 64 bits", value);
    return static_cast<uint64_t>(number);
}

int64_t read_int64(const Json& value) {
    const auto number = read_uint64(value);
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) throw wrong("a number of 63 bits", value);
    return static_cast<int64_t>(number);
}

evmc::bytes read_bytes(const Json& value) {
    auto octets = evmc::from_hex(digits("0x-text", value));
    if (!octets) throw wrong("0x-text", value);
    return *std::move(octets);
}

evmc::address read_address(const Json& value) { return to_fixed<evmc::address>("an address", value); }

evmc::bytes32 read_hash(const Json& value) { return to_fixed<evmc::bytes32>("a hash", value); }

Json write_number(uint64_t number) { return "0x" + intx::to_string(intx::uint256{number}, 16); }

Json write_bytes(evmc::bytes_view octets) { return "0x" + evmc::hex(octets); }

}  // namespace peer
