// Reads a call of the MODEXP precompile and prices it: EIP-198, EIP-2565 (Berlin), EIP-7823 and EIP-7883 (Osaka).
#pragma once

#include "modexp.h"

namespace evmcore {

enum class ModexpRules : int { EIP198, EIP2565, EIP7883 };

struct ModexpCall {
    static constexpr uint64_t UNPAYABLE = UINT64_MAX;  // above any amount of gas

    uint64_t gas;  // to be charged; the numbers may be used only when it was paid
    modexp_number base, exponent, modulus;
};

namespace modexp_detail {

// Lengths are 256-bit numbers. Above this the exponent alone costs more than 2^63 gas, whatever the rules.
inline constexpr DoubleLimb LENGTH_LIMIT = DoubleLimb(1) << 80;
// And so does an operand longer than this.
inline constexpr DoubleLimb OPERAND_LIMIT = DoubleLimb(1) << 40;
inline constexpr DoubleLimb EIP7823_LIMIT = 1024;

inline uint8_t byte_at(const uint8_t* input, size_t size, size_t at) { return at < size ? input[at] : 0; }

inline DoubleLimb read_length(const uint8_t* input, size_t size, size_t at) {  // saturates at LENGTH_LIMIT
    DoubleLimb v = 0;
    for (size_t i = 0; i < 32; ++i) {
        v = v << 8 | byte_at(input, size, at + i);
        if (v > LENGTH_LIMIT) return LENGTH_LIMIT;
    }
    return v;
}

inline DoubleLimb multiplication_complexity(ModexpRules rules, DoubleLimb length) {  // length <= OPERAND_LIMIT
    if (rules == ModexpRules::EIP198) {
        if (length <= 64) return length * length;
        if (length <= 1024) return length * length / 4 + 96 * length - 3072;
        return length * length / 16 + 480 * length - 199680;
    }
    const DoubleLimb words = (length + 7) / 8;
    if (rules == ModexpRules::EIP2565) return words * words;
    return length <= 32 ? 16 : 2 * words * words;
}

// head_bits: bit length of the first 32 bytes of the exponent, or of all of it where it is shorter.
inline DoubleLimb iteration_count(ModexpRules rules, DoubleLimb exponent_length, unsigned head_bits) {
    const unsigned per_byte = rules == ModexpRules::EIP7883 ? 16 : 8;
    DoubleLimb count = head_bits > 0 ? head_bits - 1 : 0;
    if (exponent_length > 32) count += (exponent_length - 32) * per_byte;
    return count > 1 ? count : 1;
}

inline uint64_t gas_cost(ModexpRules rules, DoubleLimb complexity, DoubleLimb iterations) {
    if (complexity != 0 && iterations > ~DoubleLimb(0) / complexity) return ModexpCall::UNPAYABLE;
    const unsigned divisor = rules == ModexpRules::EIP198 ? 20 : rules == ModexpRules::EIP2565 ? 3 : 1;
    const unsigned minimum = rules == ModexpRules::EIP198 ? 0 : rules == ModexpRules::EIP2565 ? 200 : 500;
    const DoubleLimb cost = complexity * iterations / divisor;
    if (cost > UINT64_MAX) return ModexpCall::UNPAYABLE;
    return cost > minimum ? uint64_t(cost) : minimum;
}

}  // namespace modexp_detail

inline ModexpCall modexp_read(const uint8_t* input, size_t size, ModexpRules rules) {
    using namespace modexp_detail;
    ModexpCall call = {ModexpCall::UNPAYABLE, {input, 0, 0}, {input, 0, 0}, {input, 0, 0}};
    const DoubleLimb base_length = read_length(input, size, 0), exponent_length = read_length(input, size, 32),
                     modulus_length = read_length(input, size, 64);
    const DoubleLimb longest = base_length > modulus_length ? base_length : modulus_length;
    if (longest > OPERAND_LIMIT) return call;
    if (rules == ModexpRules::EIP7883 && (longest > EIP7823_LIMIT || exponent_length > EIP7823_LIMIT)) return call;

    size_t at = 96;
    const auto take = [&](DoubleLimb length) {
        const size_t rest = at < size ? size - at : 0;
        const size_t present = length < rest ? size_t(length) : rest;
        const modexp_number number = {input + (size - rest), present, size_t(length)};
        at += number.size;
        return number;
    };
    call.base = take(base_length);
    unsigned head_bits = 0;
    for (size_t i = 0, n = exponent_length < 32 ? size_t(exponent_length) : 32; i < n; ++i) {
        const uint8_t byte = byte_at(input, size, at + i);
        if (head_bits == 0 && byte != 0) head_bits = unsigned(top_bit(byte)) + 1 + 8 * unsigned(n - 1 - i);
    }
    call.gas = gas_cost(rules, multiplication_complexity(rules, longest),
                        iteration_count(rules, exponent_length, head_bits));
    if (longest == 0) return call;  // without operands any exponent is free, and none is needed
    if (exponent_length > SIZE_MAX / 16) call.gas = ModexpCall::UNPAYABLE;  // more than 2^58 gas: no machine gets there
    if (call.gas == ModexpCall::UNPAYABLE) return call;
    call.exponent = take(exponent_length);
    call.modulus = take(modulus_length);
    return call;
}

}  // namespace evmcore
