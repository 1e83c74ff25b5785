"""The benchmark's contracts: compiled from their sources, and doing what their names say."""

from __future__ import annotations

import json

import pytest

from evmcore import EVM, Account, BlockEnv, MemoryState
from evmcore.bench.contracts import artifacts, contract, mapping_slot, word
from evmcore.bench.contracts import compile as compiler
from evmcore.transactions import Transaction

ALICE, BOB = bytes([0xA1]) * 20, bytes([0xB0]) * 20
SUPPLY = 10**24
NOW = 1_700_000_000
SWAP = "swapExactInput(uint256,uint256,address[],address,uint256)"


class Chain:
    """A state on which people deploy contracts and call them."""

    def __init__(self) -> None:
        self.state = MemoryState({person: Account(balance=10**20) for person in (ALICE, BOB)})
        self.evm = EVM(self.state, fork="cancun", block=BlockEnv(timestamp=NOW))

    def deploy(self, name: str, arguments: bytes = b"") -> bytes:
        result = self.evm.deploy(contract(name).creation + arguments, sender=ALICE)
        assert result.success and result.created_address is not None
        assert self.state.code(result.created_address) == contract(name).runtime
        return result.created_address

    def token(self, name: str = "Coin") -> bytes:
        text = word(len(name)) + name.encode().ljust(32, b"\0")
        return self.deploy("Token", word(0x60) + word(0xA0) + word(SUPPLY) + text + text)

    def read(self, to: bytes, data: bytes, sender: bytes = ALICE) -> int:
        result = self.evm.call(to, data, sender=sender)
        assert result.success, result.revert_reason
        return int.from_bytes(result.output[:32], "big")

    def send(self, sender: bytes, to: bytes, data: bytes) -> bytes:
        """Sends a transaction that has to succeed; returns its output."""
        tx = Transaction(
            type=0, nonce=self.state.nonce(sender), gas_price=0, gas_limit=5_000_000, to=to, data=data, sender=sender
        )
        result = self.evm.transact(tx)
        assert result.success, result.revert_reason
        return bytes(result.output)

    def error(self, sender: bytes, to: bytes, data: bytes) -> bytes:
        """The first four bytes of what a call reverts with."""
        result = self.evm.call(to, data, sender=sender)
        assert result.error == "REVERT"
        return bytes(result.output[:4])


@pytest.fixture
def chain() -> Chain:
    return Chain()


TOKEN, PAIR, ROUTER, COMPUTE = (contract(name) for name in ("Token", "Pair", "Router", "Compute"))


def selector(signature: str) -> bytes:
    from evmcore._hash import keccak256

    return keccak256(signature.encode())[:4]


def balance(chain: Chain, token: bytes, owner: bytes) -> int:
    return chain.read(token, TOKEN.call("balanceOf(address)", owner))


# ---- compilation


def test_the_bytecode_is_what_the_sources_give() -> None:
    try:
        version = compiler.compiler_version()
    except compiler.CompilerError as error:
        pytest.skip(f"no Solidity compiler (set EVMCORE_SOLC): {error}")
    if version.split("+")[0] != compiler.VERSION:
        pytest.skip(f"solc {compiler.VERSION} is needed, {version} found")
    assert compiler.compile_contracts() == artifacts()


def test_the_artifacts_name_compiler_version_and_settings() -> None:
    recorded = json.loads(compiler.ARTIFACTS.read_text())
    assert recorded["compiler"] == "solc" and recorded["version"].startswith(compiler.VERSION + "+commit.")
    assert recorded["settings"] == compiler.SETTINGS
    assert {path.stem for path in compiler.HERE.glob("*.sol")} == set(recorded["contracts"])


@pytest.mark.parametrize("name", ["Token", "Pair", "Router", "Compute", "Quoter", "Multicall"])
def test_selectors_are_hashes_of_the_signatures(name: str) -> None:
    for signature, value in contract(name).selectors.items():
        assert value == selector(signature)


# ---- Token


def test_a_token_starts_with_its_whole_supply_at_its_creator(chain: Chain) -> None:
    token = chain.token()
    assert balance(chain, token, ALICE) == SUPPLY == chain.read(token, TOKEN.call("totalSupply()"))
    assert chain.evm.call(token, TOKEN.call("name()")).output[64:68] == b"Coin"
    slot = mapping_slot(TOKEN.slots["balanceOf"], ALICE)
    assert chain.state.storage(token, slot) == SUPPLY


def test_a_transfer_moves_a_balance_and_logs_it(chain: Chain) -> None:
    token = chain.token()
    data = TOKEN.call("transfer(address,uint256)", BOB, 5)
    (log,) = chain.evm.call(token, data, sender=ALICE).logs
    assert log.address == token and log.data == word(5) and log.topics[1:] == (word(ALICE), word(BOB))
    assert chain.send(ALICE, token, data) == word(1)
    assert (balance(chain, token, ALICE), balance(chain, token, BOB)) == (SUPPLY - 5, 5)


def test_more_than_the_balance_cannot_be_transferred(chain: Chain) -> None:
    token = chain.token()
    data = TOKEN.call("transfer(address,uint256)", ALICE, 1)
    assert chain.error(BOB, token, data) == selector("InsufficientBalance(address,uint256,uint256)")
    data = TOKEN.call("transfer(address,uint256)", 0, 1)
    assert chain.error(ALICE, token, data) == selector("ZeroAddress()")


def test_an_allowance_is_used_up_unless_it_is_the_largest(chain: Chain) -> None:
    token = chain.token()
    take = TOKEN.call("transferFrom(address,address,uint256)", ALICE, BOB, 4)
    refused = selector("InsufficientAllowance(address,uint256,uint256)")
    assert chain.error(BOB, token, take) == refused
    chain.send(ALICE, token, TOKEN.call("approve(address,uint256)", BOB, 7))
    chain.send(BOB, token, take)
    assert chain.read(token, TOKEN.call("allowance(address,address)", ALICE, BOB)) == 3
    assert chain.error(BOB, token, take) == refused
    chain.send(ALICE, token, TOKEN.call("approve(address,uint256)", BOB, 2**256 - 1))
    chain.send(BOB, token, take)
    assert chain.read(token, TOKEN.call("allowance(address,address)", ALICE, BOB)) == 2**256 - 1
    assert balance(chain, token, BOB) == 8


# ---- Pair and Router


def market(chain: Chain, *reserves: int) -> tuple[list[bytes], list[bytes], bytes]:
    """Tokens in ascending order, a pair of each two neighbours with these reserves, and a router that Alice trusts."""
    tokens = sorted(chain.token() for _ in range(len(reserves) + 1))
    router = chain.deploy("Router")
    pairs = []
    for low, high, reserve in zip(tokens, tokens[1:], reserves, strict=False):
        pair = chain.deploy("Pair", word(low) + word(high))
        for token in (low, high):
            chain.send(ALICE, token, TOKEN.call("transfer(address,uint256)", pair, reserve))
        chain.send(ALICE, pair, PAIR.call("fund()"))
        chain.send(ALICE, router, ROUTER.call("register(address)", pair))
        pairs.append(pair)
    for token in tokens:
        chain.send(ALICE, token, TOKEN.call("approve(address,uint256)", router, 2**256 - 1))
    return tokens, pairs, router


def bought(amount: int, reserve_in: int, reserve_out: int) -> int:
    """What a constant product gives: x*y = k, after a fee of 0.3 % on what comes in, rounded down."""
    return amount * 997 * reserve_out // (reserve_in * 1000 + amount * 997)


def swap(amount: int, path: list[bytes], to: bytes, wanted: int = 1, deadline: int = NOW) -> bytes:
    return ROUTER.call(SWAP, amount, wanted, 5 * 32, to, deadline, len(path), *path)


def reserves(chain: Chain, pair: bytes) -> tuple[int, ...]:
    output = chain.evm.call(pair, PAIR.call("getReserves()")).output
    return tuple(int.from_bytes(output[i : i + 32], "big") for i in (0, 32, 64))


@pytest.mark.parametrize("ascending", [True, False])
def test_a_swap_keeps_the_product_after_the_fee(chain: Chain, ascending: bool) -> None:
    tokens, (pair,), router = market(chain, 10**20)
    path = tokens if ascending else tokens[::-1]
    output = bought(10**18, 10**20, 10**20)
    amounts = chain.send(ALICE, router, swap(10**18, path, BOB))
    assert amounts == word(32) + word(2) + word(10**18) + word(output)
    assert balance(chain, path[1], BOB) == output
    after = (10**20 + 10**18, 10**20 - output)
    assert reserves(chain, pair) == (*(after if ascending else after[::-1]), NOW)
    assert after[0] * after[1] > 10**40


def test_a_swap_goes_along_a_path_of_pairs(chain: Chain) -> None:
    tokens, pairs, router = market(chain, 10**20, 10**21)
    first = bought(10**18, 10**20, 10**20)
    second = bought(first, 10**21, 10**21)
    chain.send(ALICE, router, swap(10**18, tokens, BOB))
    assert (balance(chain, tokens[1], BOB), balance(chain, tokens[2], BOB)) == (0, second)
    assert reserves(chain, pairs[1])[:2] == (10**21 + first, 10**21 - second)


def test_prices_are_integrated_over_time(chain: Chain) -> None:
    tokens, (pair,), router = market(chain, 10**20)
    chain.send(ALICE, router, swap(10**18, tokens, BOB))
    low, high, _ = reserves(chain, pair)
    chain.evm = chain.evm.with_block({"timestamp": NOW + 10})
    chain.send(ALICE, router, swap(10**18, tokens, BOB, deadline=NOW + 10))
    assert chain.read(pair, PAIR.call("priceIntegral0()")) == ((high << 112) // low) * 10
    assert chain.read(pair, PAIR.call("priceIntegral1()")) == ((low << 112) // high) * 10


def test_the_router_refuses_what_it_cannot_do(chain: Chain) -> None:
    tokens, _, router = market(chain, 10**20)
    output = bought(10**18, 10**20, 10**20)
    for data, error in (
        (swap(10**18, tokens, BOB, deadline=NOW - 1), "Expired()"),
        (swap(10**18, tokens[:1], BOB), "PathTooShort()"),
        (swap(10**18, [tokens[0], BOB], BOB), "NoPair(address,address)"),
        (swap(10**18, tokens, BOB, wanted=output + 1), "OutputTooSmall(uint256,uint256)"),
    ):
        assert chain.error(ALICE, router, data) == selector(error)


def test_a_pair_pays_nothing_out_that_would_lower_the_product(chain: Chain) -> None:
    tokens, (pair,), _ = market(chain, 10**20)
    paid = "swap(uint256,uint256,address)"
    assert chain.error(BOB, pair, PAIR.call(paid, 0, 0, BOB)) == selector("NoOutput()")
    assert chain.error(BOB, pair, PAIR.call(paid, 0, 10**20, BOB)) == selector("InsufficientLiquidity()")
    assert chain.error(BOB, pair, PAIR.call(paid, 0, 1, BOB)) == selector("NoInput()")
    chain.send(ALICE, tokens[0], TOKEN.call("transfer(address,uint256)", pair, 10**18))
    output = bought(10**18, 10**20, 10**20)
    assert chain.error(BOB, pair, PAIR.call(paid, 0, output + 1, BOB)) == selector("ProductLowered()")
    chain.send(BOB, pair, PAIR.call(paid, 0, output, BOB))
    assert balance(chain, tokens[1], BOB) == output


# ---- Compute


def test_the_sieve_counts_primes(chain: Chain) -> None:
    compute = chain.deploy("Compute")
    output = chain.evm.call(compute, COMPUTE.call("primes(uint256)", 1000)).output
    assert (int.from_bytes(output[:32], "big"), int.from_bytes(output[32:], "big")) == (168, 76_127)


def test_powers_are_taken_modulo_the_prime(chain: Chain) -> None:
    compute = chain.deploy("Compute")
    for base, exponent in ((2, 255), (3, 2**256 - 1), (0, 0), (2**256 - 1, 65_537)):
        data = COMPUTE.call("power(uint256,uint256)", base, exponent)
        assert chain.read(compute, data) == pow(base, exponent, 2**255 - 19)
