"""Header and ommer rules: each violation is refused for its own reason; formulas agree with the published vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from evmcore.blocks import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, Block, Header
from evmcore.errors import BlockReason, InvalidBlock
from evmcore.forks import (
    BPO1_BLOBS,
    CANCUN_BLOBS,
    MAINNET,
    PRAGUE_BLOBS,
    Activation,
    ChainConfig,
    Fork,
    chain_of,
)
from evmcore.headers import (
    GAS_PER_BLOB,
    blob_base_fee,
    check_header,
    check_ommers,
    fake_exponential,
    next_base_fee,
    next_difficulty,
    next_excess_blob_gas,
)
from tests.shared_files import archive_documents

ROPSTEN = ChainConfig(
    3,
    (
        Activation(Fork.HOMESTEAD, block=0),
        Activation(Fork.BYZANTIUM, block=1_700_000),
        Activation(Fork.CONSTANTINOPLE, block=4_230_000),
    ),
)


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        ("difficulty", MAINNET),
        ("difficultyMainNetwork", MAINNET),
        ("difficultyCustomMainNetwork", MAINNET),
        ("difficultyRopsten", ROPSTEN),
        ("difficultyCustomHomestead", ChainConfig(1, (Activation(Fork.HOMESTEAD, block=0),))),
    ],
)
def test_published_difficulties(name: str, chain: ChainConfig) -> None:
    ((_, cases),) = archive_documents("trie_tests", f"BasicTests/{name}.json")
    assert cases
    for case_name, case in cases.items():
        ommers = case.get("parentUncles", "0x00")
        number = int(case["currentBlockNumber"], 0)
        assert next_difficulty(
            chain.fork_at(number),
            number,
            int(case["currentTimestamp"], 0),
            int(case["parentTimestamp"], 0),
            int(case["parentDifficulty"], 0),
            int(ommers, 0) != 0 and ommers != "0x" + EMPTY_OMMERS_HASH.hex(),
        ) == int(case["currentDifficulty"], 0), case_name


# ---- fees


@pytest.mark.parametrize(
    ("used", "base_fee", "expected"),
    [
        (15_000_000, 1_000_000_000, 1_000_000_000),  # at the target
        (30_000_000, 1_000_000_000, 1_125_000_000),  # full: an eighth more
        (0, 1_000_000_000, 875_000_000),  # empty: an eighth less
        (15_000_001, 7, 8),  # above the target by at least one wei
        (14_999_999, 7, 7),
        (0, 0, 0),
        (30_000_000, 0, 1),
    ],
)
def test_base_fee(used: int, base_fee: int, expected: int) -> None:
    parent = Header(gas_limit=30_000_000, gas_used=used, base_fee_per_gas=base_fee)
    assert next_base_fee(parent) == expected


def test_the_first_london_block_starts_at_one_gwei() -> None:
    assert next_base_fee(Header(gas_limit=10_000_000, gas_used=10_000_000)) == 1_000_000_000


def test_fake_exponential_gives_the_values_of_the_eip() -> None:
    # Vectors of EIP-4844's reference tests: factor, numerator, denominator, result.
    for factor, numerator, denominator, expected in (
        (1, 0, 1, 1),
        (38493, 0, 1000, 38493),
        (0, 1234, 2345, 0),
        (1, 2, 1, 6),
        (1, 4, 2, 6),
        (1, 3, 1, 16),
        (1, 6, 2, 18),
        (1, 4, 1, 49),
        (1, 8, 2, 50),
        (10, 8, 2, 542),
        (11, 8, 2, 596),
        (1, 5, 1, 136),
        (1, 5, 2, 11),
        (2, 5, 2, 23),
        (1, 50000000, 2225652, 5709098764),
    ):
        assert fake_exponential(factor, numerator, denominator) == expected


def test_a_blob_fee_nobody_can_pay_is_found_at_once() -> None:
    assert blob_base_fee(2**64 - 1, CANCUN_BLOBS) == 2**256 - 1


def _blob_parent(excess: int, used: int, base_fee: int = 1) -> Header:
    return Header(
        base_fee_per_gas=base_fee,
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=used,
        excess_blob_gas=excess,
        parent_beacon_block_root=bytes(32),
    )


def test_excess_blob_gas_is_what_is_above_the_target() -> None:
    blob = GAS_PER_BLOB
    assert next_excess_blob_gas(_blob_parent(0, 3 * blob), Fork.CANCUN, CANCUN_BLOBS) == 0
    assert next_excess_blob_gas(_blob_parent(0, 2 * blob), Fork.CANCUN, CANCUN_BLOBS) == 0
    assert next_excess_blob_gas(_blob_parent(blob, 6 * blob), Fork.CANCUN, CANCUN_BLOBS) == 4 * blob
    assert next_excess_blob_gas(_blob_parent(blob, 6 * blob), Fork.PRAGUE, PRAGUE_BLOBS) == blob
    assert next_excess_blob_gas(Header(base_fee_per_gas=1), Fork.CANCUN, CANCUN_BLOBS) == 0


def test_the_reserve_price_of_osaka_slows_the_fall() -> None:
    """EIP-7918: while blobs are cheap against execution, the excess grows by used * (max - target) / max."""
    blob = GAS_PER_BLOB
    cheap = _blob_parent(6 * blob, 6 * blob, base_fee=10**10)
    assert next_excess_blob_gas(cheap, Fork.OSAKA, PRAGUE_BLOBS) == 6 * blob + 2 * blob
    assert next_excess_blob_gas(cheap, Fork.PRAGUE, PRAGUE_BLOBS) == 6 * blob
    assert next_excess_blob_gas(cheap, Fork.BPO1, BPO1_BLOBS) == 6 * blob + 6 * blob * 5 // 15
    # 2**13 * 16 = 2**17 * 1: not above the reserve price.
    assert next_excess_blob_gas(_blob_parent(6 * blob, 6 * blob, 16), Fork.OSAKA, PRAGUE_BLOBS) == 6 * blob


# ---- headers: a good child of each fork, then one change at a time

ZERO_REQUESTS = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def parent_of(fork: Fork) -> Header:
    fields: dict[str, Any] = {}
    if fork >= Fork.LONDON:
        fields["base_fee_per_gas"] = 1000
    if fork >= Fork.SHANGHAI:
        fields["withdrawals_root"] = EMPTY_TRIE_ROOT
    if fork >= Fork.CANCUN:
        fields |= {"blob_gas_used": 0, "excess_blob_gas": 0, "parent_beacon_block_root": bytes(32)}
    if fork >= Fork.PRAGUE:
        fields["requests_hash"] = ZERO_REQUESTS
    return Header(
        number=10,
        timestamp=1000,
        gas_limit=10_000_000,
        gas_used=5_000_000,
        difficulty=0 if fork >= Fork.PARIS else 1_000_000,
        **fields,
    )


def child_of(parent: Header, fork: Fork) -> Header:
    difficulty = 0
    if fork < Fork.PARIS:
        difficulty = next_difficulty(fork, 11, 1010, parent.timestamp, parent.difficulty, False)
    return replace(
        parent, parent_hash=parent.hash, number=11, timestamp=1010, difficulty=difficulty, gas_used=1_000_000
    )


@pytest.mark.parametrize("fork", list(Fork), ids=lambda fork: fork.title)
def test_a_good_header_of_every_fork_passes(fork: Fork) -> None:
    parent = parent_of(fork)
    check_header(child_of(parent, fork), parent, chain_of(fork) if fork != Fork.DAO else chain_of("homestead"), fork)


BAD: list[tuple[Fork, dict[str, Any], BlockReason]] = [
    (Fork.BERLIN, {"parent_hash": bytes(32)}, BlockReason.UNKNOWN_PARENT),
    (Fork.BERLIN, {"number": 12}, BlockReason.INVALID_BLOCK_NUMBER),
    (Fork.BERLIN, {"timestamp": 1000}, BlockReason.INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT),
    (Fork.BERLIN, {"timestamp": 5}, BlockReason.INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT),
    (Fork.BERLIN, {"extra_data": bytes(33)}, BlockReason.EXTRA_DATA_TOO_BIG),
    (Fork.BERLIN, {"difficulty": 1_000_001}, BlockReason.INVALID_DIFFICULTY),
    (Fork.BERLIN, {"difficulty": 0}, BlockReason.IMPORT_IMPOSSIBLE_PARIS_WRONG_POS),
    (Fork.BERLIN, {"gas_limit": 10_009_765}, BlockReason.INVALID_GASLIMIT),
    (Fork.BERLIN, {"gas_limit": 9_990_235}, BlockReason.INVALID_GASLIMIT),
    (Fork.BERLIN, {"gas_limit": 4999}, BlockReason.INVALID_GASLIMIT),
    (Fork.BERLIN, {"gas_limit": 2**63}, BlockReason.GASLIMIT_TOO_BIG),
    (Fork.BERLIN, {"gas_used": 10_000_001}, BlockReason.INVALID_GAS_USED_ABOVE_LIMIT),
    (Fork.BERLIN, {"base_fee_per_gas": 1000}, BlockReason.IMPORT_IMPOSSIBLE_LONDON_WRONG_PARENT),
    (Fork.LONDON, {"base_fee_per_gas": None}, BlockReason.IMPORT_IMPOSSIBLE_LEGACY_WRONG_PARENT),
    (Fork.LONDON, {"base_fee_per_gas": 999}, BlockReason.INVALID_BASEFEE_PER_GAS),
    (Fork.PARIS, {"difficulty": 1}, BlockReason.IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS),
    (Fork.PARIS, {"nonce": bytes(7) + b"\x01"}, BlockReason.INCORRECT_BLOCK_FORMAT),
    (Fork.PARIS, {"ommers_hash": bytes(32)}, BlockReason.IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS),
    (Fork.PARIS, {"withdrawals_root": bytes(32)}, BlockReason.IMPORT_IMPOSSIBLE_SHANGHAI),
    (Fork.SHANGHAI, {"withdrawals_root": None}, BlockReason.IMPORT_IMPOSSIBLE_PARIS_OVER_SHANGHAI),
    (Fork.SHANGHAI, {"blob_gas_used": 0}, BlockReason.INCORRECT_BLOCK_FORMAT),
    (Fork.CANCUN, {"parent_beacon_block_root": None}, BlockReason.INCORRECT_BLOCK_FORMAT),
    (Fork.CANCUN, {"excess_blob_gas": GAS_PER_BLOB}, BlockReason.INCORRECT_EXCESS_BLOB_GAS),
    (Fork.CANCUN, {"requests_hash": bytes(32)}, BlockReason.INCORRECT_BLOCK_FORMAT),
    (Fork.PRAGUE, {"requests_hash": None}, BlockReason.INCORRECT_BLOCK_FORMAT),
]


@pytest.mark.parametrize(("fork", "change", "reason"), BAD, ids=lambda value: str(value)[:40])
def test_each_violation_has_its_reason(fork: Fork, change: dict[str, Any], reason: BlockReason) -> None:
    parent = parent_of(fork)
    header = replace(child_of(parent, fork), **change)
    with pytest.raises(InvalidBlock) as error:
        check_header(header, parent, chain_of(fork))
    assert error.value.reason is reason


def test_gas_limits_just_inside_the_bounds_pass() -> None:
    parent = parent_of(Fork.BERLIN)
    for limit in (10_009_764, 9_990_236):
        check_header(replace(child_of(parent, Fork.BERLIN), gas_limit=limit), parent, chain_of("berlin"))


def test_the_first_london_block_may_double_the_gas_limit() -> None:
    parent = parent_of(Fork.BERLIN)
    chain = ChainConfig.from_network("BerlinToLondonAt11")
    header = replace(child_of(parent, Fork.LONDON), gas_limit=20_000_000, base_fee_per_gas=1_000_000_000)
    check_header(header, parent, chain)
    with pytest.raises(InvalidBlock) as error:
        check_header(replace(header, gas_limit=10_000_000), parent, chain)
    assert error.value.reason is BlockReason.INVALID_GASLIMIT


def test_ten_blocks_from_the_dao_fork_on_carry_its_extra_data() -> None:
    parent = parent_of(Fork.HOMESTEAD)
    chain = ChainConfig.from_network("HomesteadToDaoAt5")
    plain = child_of(parent, Fork.DAO)
    with pytest.raises(InvalidBlock) as error:
        check_header(plain, parent, chain)
    assert error.value.reason is BlockReason.EXTRA_DATA_INVALID_DAO
    check_header(replace(plain, extra_data=b"dao-hard-fork"), parent, chain)


# ---- ommers


def proof_of_work_chain(length: int) -> Iterator[Block]:
    parent = replace(parent_of(Fork.BERLIN), number=0)
    yield Block(parent)
    for number in range(1, length):
        timestamp = parent.timestamp + 10
        difficulty = next_difficulty(Fork.BERLIN, number, timestamp, parent.timestamp, parent.difficulty, False)
        parent = replace(parent, parent_hash=parent.hash, number=number, timestamp=timestamp, difficulty=difficulty)
        yield Block(parent)


BLOCKS = list(proof_of_work_chain(12))


def ommer_at(number: int, **change: Any) -> Header:
    """A valid sibling of block `number`."""
    return replace(BLOCKS[number].header, extra_data=b"sibling", **change)


def refused(ommers: tuple[Header, ...], ancestors: list[Block] | None = None) -> BlockReason:
    block = Block(BLOCKS[11].header, ommers=ommers)
    with pytest.raises(InvalidBlock) as error:
        check_ommers(block, BLOCKS[:11] if ancestors is None else ancestors, chain_of("berlin"))
    assert isinstance(error.value.reason, BlockReason)
    return error.value.reason


def test_ommers_of_the_last_six_generations_are_good() -> None:
    for number in range(5, 11):
        check_ommers(Block(BLOCKS[11].header, ommers=(ommer_at(number),)), BLOCKS[:11], chain_of("berlin"))
    check_ommers(Block(BLOCKS[11].header, ommers=(ommer_at(9), ommer_at(10))), BLOCKS[:11], chain_of("berlin"))


def test_bad_ommers_have_their_reasons() -> None:
    assert refused((ommer_at(4),)) is BlockReason.UNCLE_UNKNOWN_PARENT
    assert refused((ommer_at(11),)) is BlockReason.UNCLE_IS_BROTHER
    assert refused((BLOCKS[9].header,)) is BlockReason.UNCLE_IS_ANCESTOR
    assert refused((ommer_at(9), ommer_at(9))) is BlockReason.UNCLE_IN_CHAIN
    assert refused((ommer_at(8), ommer_at(9), ommer_at(10))) is BlockReason.TOO_MANY_UNCLES
    assert refused((ommer_at(9, difficulty=5),)) is BlockReason.INVALID_DIFFICULTY
    assert refused((ommer_at(9, gas_limit=1),)) is BlockReason.INVALID_GASLIMIT
    included = [*BLOCKS[:10], replace(BLOCKS[10], ommers=(ommer_at(9),))]
    assert refused((ommer_at(9),), included) is BlockReason.UNCLE_IN_CHAIN
