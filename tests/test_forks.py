"""Which fork holds where, by chain, by name, by genesis file; and that bad configurations say what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from evmcore._rules import Revision
from evmcore.errors import ConfigError, InputError
from evmcore.forks import (
    BPO1_BLOBS,
    BPO2_BLOBS,
    CANCUN_BLOBS,
    HOLESKY,
    HOODI,
    MAINNET,
    PRAGUE_BLOBS,
    SEPOLIA,
    Activation,
    BlobSchedule,
    ChainConfig,
    Fork,
    bomb_delay,
    chain_of,
)
from tests.shared_files import shared_path


def test_every_fork_has_a_revision_and_revisions_never_go_back() -> None:
    revisions = [fork.revision for fork in Fork]
    assert revisions == sorted(revisions)
    assert set(revisions) == {int(revision) for revision in Revision}
    assert len(Fork) == 21


@pytest.mark.parametrize(
    ("number", "timestamp", "fork"),
    [
        (0, 0, Fork.FRONTIER),
        (1_149_999, 0, Fork.FRONTIER),
        (1_150_000, 0, Fork.HOMESTEAD),
        (1_920_000, 0, Fork.DAO),
        (2_463_000, 0, Fork.TANGERINE_WHISTLE),
        (2_675_000, 0, Fork.SPURIOUS_DRAGON),
        (4_370_000, 0, Fork.BYZANTIUM),
        (7_280_000, 0, Fork.PETERSBURG),
        (9_069_000, 0, Fork.ISTANBUL),
        (9_200_000, 0, Fork.MUIR_GLACIER),
        (12_244_000, 0, Fork.BERLIN),
        (12_965_000, 0, Fork.LONDON),
        (13_773_000, 0, Fork.ARROW_GLACIER),
        (15_050_000, 0, Fork.GRAY_GLACIER),
        (15_537_393, 1_663_224_162, Fork.GRAY_GLACIER),
        (15_537_394, 1_663_224_179, Fork.PARIS),
        (17_034_870, 1_681_338_455, Fork.SHANGHAI),
        (19_426_587, 1_710_338_135, Fork.CANCUN),
        (22_431_084, 1_746_612_311, Fork.PRAGUE),
        (23_935_694, 1_764_798_551, Fork.OSAKA),
        (23_976_000, 1_765_290_071, Fork.BPO1),
        (24_179_000, 1_767_747_671, Fork.BPO2),
    ],
)
def test_mainnet(number: int, timestamp: int, fork: Fork) -> None:
    assert MAINNET.fork_at(number, timestamp) is fork


def test_public_networks_reach_the_newest_fork_and_start_where_they_did() -> None:
    for chain, first in ((SEPOLIA, Fork.LONDON), (HOLESKY, Fork.PARIS), (HOODI, Fork.CANCUN)):
        assert chain.fork_at(0, 0) is first
        assert chain.fork_at(10_000_000, 1_900_000_000) is Fork.BPO2
        assert chain.blob_schedule_at(10_000_000, 1_900_000_000) == BPO2_BLOBS
    assert SEPOLIA.fork_at(1_450_408, 0) is Fork.LONDON
    assert SEPOLIA.fork_at(1_450_409, 0) is Fork.PARIS


def test_blob_schedules_follow_the_forks() -> None:
    assert MAINNET.blob_schedule_at(19_000_000, 1_700_000_000) is None
    assert MAINNET.blob_schedule_at(19_426_587, 1_710_338_135) == CANCUN_BLOBS
    assert MAINNET.blob_schedule_at(22_431_084, 1_746_612_311) == PRAGUE_BLOBS
    assert MAINNET.blob_schedule_at(23_935_694, 1_764_798_551) == PRAGUE_BLOBS
    assert MAINNET.blob_schedule_at(23_976_000, 1_765_290_071) == BPO1_BLOBS


def test_the_bomb_is_held_back_further_by_each_glacier() -> None:
    assert [bomb_delay(fork) for fork in (Fork.HOMESTEAD, Fork.BYZANTIUM, Fork.ISTANBUL, Fork.BERLIN)] == [
        0,
        3_000_000,
        5_000_000,
        9_000_000,
    ]
    assert bomb_delay(Fork.GRAY_GLACIER) == 11_400_000


@pytest.mark.parametrize(
    ("name", "fork"),
    [
        ("osaka", Fork.OSAKA),
        ("EIP150", Fork.TANGERINE_WHISTLE),
        ("EIP158", Fork.SPURIOUS_DRAGON),
        ("ConstantinopleFix", Fork.PETERSBURG),
        ("Merge", Fork.PARIS),
        ("tangerine whistle", Fork.TANGERINE_WHISTLE),
        ("spurious-dragon", Fork.SPURIOUS_DRAGON),
        ("BPO1", Fork.BPO1),
    ],
)
def test_names(name: str, fork: Fork) -> None:
    assert Fork.from_name(name) is fork


def test_every_title_names_its_fork() -> None:
    assert all(Fork.from_name(fork.title) is fork for fork in Fork)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown fork 'atlantis'.*Frontier"):
        Fork.from_name("atlantis")
    with pytest.raises(InputError, match=r"unknown chain or fork 'atlantis'.*mainnet"):
        chain_of("atlantis")
    with pytest.raises(InputError, match="expected a ChainConfig"):
        chain_of(3.5)  # type: ignore[arg-type]


def test_a_fork_as_a_chain_holds_from_the_first_block_on() -> None:
    chain = chain_of("cancun", chain_id=7)
    assert chain.fork_at(0, 0) is Fork.CANCUN
    assert chain.chain_id == 7
    assert chain.blob_schedule_at(0, 0) == CANCUN_BLOBS


@pytest.mark.parametrize(
    ("network", "before", "after", "number", "timestamp"),
    [
        ("FrontierToHomesteadAt5", Fork.FRONTIER, Fork.HOMESTEAD, 5, 0),
        ("HomesteadToDaoAt5", Fork.HOMESTEAD, Fork.DAO, 5, 0),
        ("EIP158ToByzantiumAt5", Fork.SPURIOUS_DRAGON, Fork.BYZANTIUM, 5, 0),
        ("ByzantiumToConstantinopleFixAt5", Fork.BYZANTIUM, Fork.PETERSBURG, 5, 0),
        ("BerlinToLondonAt5", Fork.BERLIN, Fork.LONDON, 5, 0),
        ("ParisToShanghaiAtTime15k", Fork.PARIS, Fork.SHANGHAI, 1, 15_000),
        ("OsakaToBPO1AtTime15k", Fork.OSAKA, Fork.BPO1, 1, 15_000),
    ],
)
def test_transition_networks(network: str, before: Fork, after: Fork, number: int, timestamp: int) -> None:
    chain = ChainConfig.from_network(network)
    assert chain.fork_at(number, timestamp) is after
    assert chain.fork_at(number - (timestamp == 0), max(timestamp - 1, 0)) is before


def test_the_merge_transition_goes_by_total_difficulty() -> None:
    chain = ChainConfig.from_network("ArrowGlacierToParisAtDiffC0000")
    assert chain.fork_at(5, 0, 0xBFFFF) is Fork.ARROW_GLACIER
    assert chain.fork_at(5, 0, 0xC0000) is Fork.PARIS
    assert chain.fork_of(5, 0, difficulty=0) is Fork.PARIS
    assert chain.fork_of(5, 0, difficulty=1) is Fork.ARROW_GLACIER


def test_later_blob_parameter_forks_need_a_schedule() -> None:
    schedule = BlobSchedule(21, 32, 20_609_697)
    chain = ChainConfig.from_network("BPO2ToBPO3AtTime15k", 1, {"BPO3": schedule})
    assert chain.blob_schedule_at(1, 14_999) == BPO2_BLOBS
    assert chain.blob_schedule_at(1, 15_000) == schedule
    with pytest.raises(ConfigError, match="BPO4 has no blob schedule"):
        ChainConfig.from_network("BPO4")


@pytest.mark.parametrize("network", ["Atlantis", "AtlantisToCancunAt5", "CancunToAtlantisAtTime15k", "", None, 1])
def test_unknown_networks_are_refused(network: Any) -> None:
    with pytest.raises(ConfigError, match="network: "):
        ChainConfig.from_network(network)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlobSchedule("x", 6, 1), "argument 'target': expected a number"),
        (lambda: BlobSchedule("3", 6, 1), "argument 'target': expected a number or 0x-hex text, got text without"),
        (lambda: BlobSchedule(-1, 6, 1), "argument 'target': expected a number that is not negative, got -1"),
        (lambda: BlobSchedule(3, None, 1), "argument 'max': expected a number"),  # type: ignore[arg-type]
        (lambda: BlobSchedule(3, 2, 1), "argument 'max': expected no fewer blobs than the target, 3, got 2"),
        (
            lambda: BlobSchedule(3, 10**6 + 1, 1),
            "argument 'max': expected at most 1000000 blobs per block, got 1000001",
        ),
        (lambda: BlobSchedule(3, 6, 2**64), r"argument 'base_fee_update_fraction': expected a number below 2\*\*64"),
        (lambda: BlobSchedule(3, 6, 0), "argument 'base_fee_update_fraction': expected a number from 1, got 0"),
        (lambda: ChainConfig(-1, (Activation(Fork.LONDON, block=0),)), "argument 'chain_id': expected a number"),
        (lambda: ChainConfig(2**256, ()), r"argument 'chain_id': expected a number below 2\*\*256"),
        (lambda: ChainConfig(1, 5), "'activations': expected a list of Activation, got 5"),  # type: ignore[arg-type]
        (lambda: ChainConfig(1, ["x"]), "'activations': expected Activation, got 'x'"),  # type: ignore[list-item]
        (lambda: ChainConfig(1, [Activation("osaka")], -1), "argument 'terminal_total_difficulty': expected a number"),
        (lambda: ChainConfig(1, [Activation("osaka")], 0, "0x12"), "argument 'deposit_contract': expected 20 bytes"),
        (lambda: ChainConfig(1, [Activation("osaka")], name=7), "'name': expected text"),  # type: ignore[arg-type]
        (lambda: Activation("atlantis"), "fork: unknown fork 'atlantis'"),
        (lambda: Activation(16), "fork: expected a name or a Fork, got int"),  # type: ignore[arg-type]
        (lambda: Activation("osaka", block=2**64), r"argument 'block': expected a number below 2\*\*64"),
        (lambda: Activation("osaka", timestamp=1.5), "'timestamp': expected a number"),  # type: ignore[arg-type]
        (lambda: Activation("osaka", blob_schedule=(3, 6, 1)), "'blob_schedule': expected"),  # type: ignore[arg-type]
    ],
)
def test_a_chain_of_wrong_parts_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_activations_must_be_in_order() -> None:
    with pytest.raises(ConfigError, match="Homestead comes after Byzantium"):
        ChainConfig(1, (Activation(Fork.BYZANTIUM, block=0), Activation(Fork.HOMESTEAD, block=5)))
    with pytest.raises(ConfigError, match="before"):
        ChainConfig(1, (Activation(Fork.HOMESTEAD, block=5), Activation(Fork.BYZANTIUM, block=4)))
    with pytest.raises(ConfigError, match="at least one fork"):
        ChainConfig(1, ())


GENESIS: dict[str, Any] = {
    "config": {
        "chainId": 5,
        "homesteadBlock": 0,
        "eip150Block": 1,
        "eip155Block": 2,
        "eip158Block": 2,
        "byzantiumBlock": 3,
        "constantinopleBlock": 4,
        "istanbulBlock": 6,
        "berlinBlock": 7,
        "londonBlock": 8,
        "terminalTotalDifficulty": "0x100",
        "shanghaiTime": 100,
        "cancunTime": 200,
        "pragueTime": 300,
        "osakaTime": 400,
        "bpo1Time": 500,
        "blobSchedule": {"cancun": {"target": 1, "max": 2, "baseFeeUpdateFraction": 1000}},
    }
}


def test_genesis_files_name_forks_by_block_and_time() -> None:
    chain = ChainConfig.from_genesis(GENESIS)
    assert chain.chain_id == 5
    assert [chain.fork_at(number) for number in range(9)] == [
        Fork.HOMESTEAD,
        Fork.TANGERINE_WHISTLE,
        Fork.SPURIOUS_DRAGON,
        Fork.BYZANTIUM,
        Fork.PETERSBURG,
        Fork.PETERSBURG,
        Fork.ISTANBUL,
        Fork.BERLIN,
        Fork.LONDON,
    ]
    assert chain.fork_at(9, 99, 0x100) is Fork.PARIS
    assert [chain.fork_at(9, time) for time in (100, 200, 300, 400, 500)] == [
        Fork.SHANGHAI,
        Fork.CANCUN,
        Fork.PRAGUE,
        Fork.OSAKA,
        Fork.BPO1,
    ]
    assert chain.blob_schedule_at(9, 250) == BlobSchedule(1, 2, 1000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chainId": None}, "chainId: missing"),
        ({"chainId": "x"}, "chainId: expected a number, got 'x'"),
        ({"chainId": -1}, "chainId: -1 is out of range"),
        ({"chainId": 2**256}, "chainId: .* out of range"),
        ({"chainId": True}, "chainId: expected a number"),
        ({"byzantiumBlock": 1}, "byzantiumBlock: 1 is before"),
        ({"byzantiumBlock": 1.5}, "byzantiumBlock: expected a number"),
        ({"byzantiumBlock": []}, "byzantiumBlock: expected a number"),
        ({"cancunTime": 50}, "cancunTime: 50 is before"),
        ({"cancunTime": 2**64}, "cancunTime: .* out of range"),
        ({"terminalTotalDifficulty": "many"}, "terminalTotalDifficulty: expected a number"),
        ({"blobSchedule": []}, None),
        ({"blobSchedule": 3}, "blobSchedule: expected an object"),
        ({"blobSchedule": {"cancun": 3}}, r"blobSchedule\.cancun: expected an object"),
        ({"blobSchedule": {"cancun": {"target": 1, "max": 2}}}, r"cancun\.baseFeeUpdateFraction: missing"),
        (
            {"blobSchedule": {"cancun": {"target": 3, "max": 2, "baseFeeUpdateFraction": 1}}},
            r"blobSchedule\.cancun: argument 'max': expected no fewer blobs than the target, 3, got 2",
        ),
        (
            {"blobSchedule": {"cancun": {"target": 1, "max": 2, "baseFeeUpdateFraction": 0}}},
            r"blobSchedule\.cancun: argument 'base_fee_update_fraction': expected a number from 1, got 0",
        ),
        ({"bpo3Time": 600}, r"blobSchedule\.bpo3: missing"),
        ({"amsterdamTime": 600}, "amsterdamTime: this fork is not supported"),
        ({"depositContractAddress": "0x12"}, "depositContractAddress: expected 0x and 40 hex digits"),
    ],
)
def test_bad_genesis_files_say_what_is_wrong(change: dict[str, Any], message: str | None) -> None:
    genesis = {"config": {**GENESIS["config"], **change}}
    if message is None:
        ChainConfig.from_genesis(genesis)
    else:
        with pytest.raises(ConfigError, match=message):
            ChainConfig.from_genesis(genesis)


@pytest.mark.parametrize("genesis", [[], 3, {"config": 3}, {"config": []}])
def test_a_genesis_that_is_no_object_is_refused(genesis: Any) -> None:
    with pytest.raises(ConfigError, match="expected an object"):
        ChainConfig.from_genesis(genesis)


def test_the_rpc_compat_genesis() -> None:
    path = shared_path("rpc-compat", "chain", "genesis.json")
    chain = ChainConfig.from_genesis(json.loads(path.read_text()))
    assert chain.chain_id == 3503995874084926
    assert chain.fork_at(35, 350) is Fork.GRAY_GLACIER
    assert chain.fork_at(36, 360) is Fork.PARIS
    assert chain.fork_at(54, 540) is Fork.BPO2
    assert chain.deposit_contract == bytes(20)
