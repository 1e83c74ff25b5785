// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// Work without other contracts: memory (a sieve), hashing (a chain) and wide arithmetic (powers modulo a prime).
contract Compute {
    uint256 private constant PRIME = 2 ** 255 - 19;

    mapping(address => uint256) public digestOf;

    event Done(address indexed by, uint256 digest);

    /// Sieve of Eratosthenes: the number of primes below `limit` and their sum.
    function primes(uint256 limit) public pure returns (uint256 count, uint256 sum) {
        bytes memory crossed = new bytes(limit);
        for (uint256 i = 2; i < limit; i++) {
            if (crossed[i] != 0) continue;
            count++;
            sum += i;
            for (uint256 j = i * i; j < limit; j += i) {
                crossed[j] = 0x01;
            }
        }
    }

    /// `rounds` times Keccak-256 over the last value and the round's number.
    function chain(bytes32 start, uint256 rounds) public pure returns (bytes32 last) {
        last = start;
        for (uint256 i = 0; i < rounds; i++) {
            last = keccak256(abi.encode(last, i));
        }
    }

    /// `base` to the `exponent`, modulo 2**255 - 19, by squaring.
    function power(uint256 base, uint256 exponent) public pure returns (uint256 result) {
        result = 1;
        base %= PRIME;
        while (exponent != 0) {
            if (exponent & 1 == 1) result = mulmod(result, base, PRIME);
            base = mulmod(base, base, PRIME);
            exponent >>= 1;
        }
    }

    function run(uint256 limit, uint256 rounds, uint256 seed) external returns (uint256 digest) {
        (uint256 count, uint256 sum) = primes(limit);
        bytes32 last = chain(bytes32(seed), rounds);
        digest = addmod(power(uint256(last), seed), count * sum, PRIME);
        digestOf[msg.sender] = digest;
        emit Done(msg.sender, digest);
    }
}
