"""Chains: the fork, and thereby the rules, in force at a block, chosen by number and timestamp or by name.

Facts that are fixed for each fork are in `evmcore.fork_table`. This module has the chains: the public networks, those
that geth's genesis files describe, and those of test fixtures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from evmcore.errors import ConfigError, InputError
from evmcore.fork_table import (
    BPO1_BLOBS,
    BPO2_BLOBS,
    CANCUN_BLOBS,
    DEPOSIT_CONTRACT,
    FACTS,
    PRAGUE_BLOBS,
    Activation,
    BlobSchedule,
    Fork,
    bomb_delay,
    fork_of,
    plain_name,
)
from evmcore.genesis_config import parse_blob_schedule, read_genesis_config
from evmcore.types import FixedLike, UintLike, shown, to_address, to_uint

__all__ = [
    "BPO1_BLOBS", "BPO2_BLOBS", "CANCUN_BLOBS", "DEPOSIT_CONTRACT", "HOLESKY", "HOODI", "MAINNET", "NETWORKS",
    "PRAGUE_BLOBS", "SEPOLIA", "Activation", "BlobSchedule", "ChainConfig", "Fork", "bomb_delay", "chain_of", "fork_of",
    "parse_blob_schedule",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """A chain: its id and when each fork comes into force. Fields are converted and checked when it is made.

    `activations` are in the order in which they come into force. If total difficulties are known, Paris begins at
    `terminal_total_difficulty`, otherwise at `Activation.block` of Paris. `deposit_contract` is the 20-byte address
    whose events are deposits (EIP-6110).

    Raises `InputError` naming the field for a value of the wrong type, size or range, and `ConfigError` for
    activations that are not in order.
    """

    chain_id: int
    activations: tuple[Activation, ...]
    terminal_total_difficulty: int | None = None
    deposit_contract: bytes = DEPOSIT_CONTRACT
    name: str = ""

    if TYPE_CHECKING:

        def __init__(
            self,
            chain_id: UintLike,
            activations: Iterable[Activation],
            terminal_total_difficulty: UintLike | None = ...,
            deposit_contract: FixedLike = ...,
            name: str = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "chain_id", to_uint(self.chain_id, "chain_id"))
        if not isinstance(self.activations, Iterable):
            raise InputError(f"argument 'activations': expected a list of Activation, got {shown(self.activations)}")
        set_field(self, "activations", tuple(self.activations))
        for activation in self.activations:
            if not isinstance(activation, Activation):
                raise InputError(f"argument 'activations': expected Activation, got {shown(activation)}")
        if self.terminal_total_difficulty is not None:
            terminal = to_uint(self.terminal_total_difficulty, "terminal_total_difficulty")
            set_field(self, "terminal_total_difficulty", terminal)
        set_field(self, "deposit_contract", to_address(self.deposit_contract, "deposit_contract"))
        if not isinstance(self.name, str):
            raise InputError(f"argument 'name': expected text, got {shown(self.name)}")
        self._check_order()

    def _check_order(self) -> None:
        """Raises `ConfigError` unless each activation comes into force no earlier than those before it."""
        if not self.activations:
            raise ConfigError("activations: a chain needs at least one fork")
        block, timestamp, previous = 0, 0, self.activations[0]
        for activation in self.activations:
            if activation.fork < previous.fork:
                raise ConfigError(f"activations: {activation.fork.title} comes after {previous.fork.title}")
            if activation.block is not None:
                if activation.block < block or timestamp:
                    raise ConfigError(
                        f"activations: {activation.fork.title} at block {activation.block} would come into force "
                        f"before {previous.fork.title}"
                    )
                block = activation.block
            if activation.timestamp is not None:
                if activation.timestamp < timestamp:
                    raise ConfigError(
                        f"activations: {activation.fork.title} at time {activation.timestamp} would come into force "
                        f"before {previous.fork.title} at {timestamp}"
                    )
                timestamp = activation.timestamp
            previous = activation

    # ---- the rules at a block

    def _active(self, number: int, timestamp: int, total_difficulty: int | None) -> int:
        """Index of the last activation that is in force."""
        found = 0
        for index, activation in enumerate(self.activations):
            if activation.timestamp is not None:
                reached = timestamp >= activation.timestamp
            elif (
                activation.fork == Fork.PARIS
                and total_difficulty is not None
                and self.terminal_total_difficulty is not None
            ):
                reached = total_difficulty >= self.terminal_total_difficulty
            else:
                reached = activation.block is not None and number >= activation.block
            if reached:
                found = index
        return found

    def fork_at(self, number: int, timestamp: int = 0, total_difficulty: int | None = None) -> Fork:
        """The fork in force in block `number` with `timestamp` (seconds). `total_difficulty`: total difficulty of the
        parent, if known; on a chain with a terminal total difficulty it decides whether Paris is in force."""
        return self.activations[self._active(number, timestamp, total_difficulty)].fork

    def fork_of(self, number: int, timestamp: int, difficulty: int) -> Fork:
        """The fork of an existing block from its header alone: if the merge block is not known, a difficulty of zero
        means Paris or later."""
        fork = self.fork_at(number, timestamp)
        if fork < Fork.PARIS and difficulty == 0 and number > 0 and self.terminal_total_difficulty is not None:
            return Fork.PARIS
        return fork

    def blob_schedule_at(self, number: int, timestamp: int) -> BlobSchedule | None:
        """The blob schedule in force, `None` before Cancun."""
        for activation in reversed(self.activations[: self._active(number, timestamp, None) + 1]):
            if activation.blob_schedule is not None:
                return activation.blob_schedule
            if FACTS[activation.fork].blobs is not None:
                return FACTS[activation.fork].blobs
        return None

    def activation(self, fork: Fork) -> Activation | None:
        """The first activation of `fork`, `None` if the chain does not have it."""
        return next((a for a in self.activations if a.fork == fork), None)

    @property
    def dao_block(self) -> int | None:
        """The block whose execution starts with the DAO fork's irregular state change."""
        activation = self.activation(Fork.DAO)
        return None if activation is None else activation.block

    # ---- other constructors

    @classmethod
    def of_fork(
        cls, fork: Fork | str, chain_id: UintLike = 1, blob_schedule: BlobSchedule | None = None
    ) -> ChainConfig:
        """A chain with the rules of `fork` from its first block on."""
        fork = fork_of(fork)
        return cls(chain_id, (Activation(fork, block=0, blob_schedule=blob_schedule),), name=fork.title)

    @classmethod
    def from_network(
        cls, network: str, chain_id: UintLike = 1, blob_schedules: Mapping[str, BlobSchedule] | None = None
    ) -> ChainConfig:
        """The chain that a test fixture calls `network`: a fork (`"Cancun"`, `"EIP158"`, `"BPO3"`) or a transition
        (`"ShanghaiToCancunAtTime15k"`, `"HomesteadToDaoAt5"`, `"ArrowGlacierToParisAtDiffC0000"`).

        `blob_schedules`: the fixture's `config.blobSchedule` by fork name. Raises `ConfigError` for other names.
        """
        if not isinstance(network, str):
            raise ConfigError(f"network: expected a name, got {type(network).__name__}")
        schedules = {plain_name(name): schedule for name, schedule in (blob_schedules or {}).items()}
        match = _TRANSITION.fullmatch(network)
        if match is None:
            fork, schedule = _fixture_fork(network, schedules)
            return cls(chain_id, (Activation(fork, block=0, blob_schedule=schedule),), name=network)
        before, before_schedule = _fixture_fork(match["before"], schedules)
        after, after_schedule = _fixture_fork(match["after"], schedules)
        first = Activation(before, block=0, blob_schedule=before_schedule)
        if match["difficulty"] is not None:
            second = Activation(after, blob_schedule=after_schedule)
            return cls(chain_id, (first, second), int(match["difficulty"], 16), name=network)
        point = int(match["point"]) * (1000 if match["thousands"] else 1)
        if match["time"]:
            second = Activation(after, timestamp=point, blob_schedule=after_schedule)
        else:
            second = Activation(after, block=point, blob_schedule=after_schedule)
        return cls(chain_id, (first, second), name=network)

    @classmethod
    def from_genesis(cls, genesis: Mapping[str, Any]) -> ChainConfig:
        """The chain of a geth-style genesis file (the whole object with its `config`, or the `config` alone):
        forks by block and by time, `terminalTotalDifficulty`, `blobSchedule`, `depositContractAddress`.

        Raises `ConfigError`, naming the field, for an invalid configuration.
        """
        return cls(*read_genesis_config(genesis))


_TRANSITION: Final = re.compile(
    r"(?P<before>\w+?)To(?P<after>[A-Z]\w*?)At"
    r"(?:Diff(?P<difficulty>[0-9A-Fa-f]+)|(?P<time>Time)?(?P<point>\d+)(?P<thousands>k)?)"
)


def _fixture_fork(name: str, schedules: Mapping[str, BlobSchedule]) -> tuple[Fork, BlobSchedule | None]:
    plain = plain_name(name)
    schedule = schedules.get(plain)
    if re.fullmatch(r"bpo[3-9]", plain):
        if schedule is None:
            raise ConfigError(f"network: {name} has no blob schedule; give it as blob_schedules[{name!r}]")
        return Fork.BPO2, schedule
    try:
        return Fork.from_name(name), schedule
    except InputError as error:
        raise ConfigError(f"network: {error}") from None


# ---- the public networks

_ALL_AT_ZERO: Final = tuple(Activation(fork, block=0) for fork in Fork if fork <= Fork.LONDON and fork != Fork.DAO)


def _times(shanghai: int, cancun: int, prague: int, osaka: int, bpo1: int, bpo2: int) -> tuple[Activation, ...]:
    return (
        Activation(Fork.SHANGHAI, timestamp=shanghai),
        Activation(Fork.CANCUN, timestamp=cancun, blob_schedule=CANCUN_BLOBS),
        Activation(Fork.PRAGUE, timestamp=prague, blob_schedule=PRAGUE_BLOBS),
        Activation(Fork.OSAKA, timestamp=osaka, blob_schedule=PRAGUE_BLOBS),
        Activation(Fork.BPO1, timestamp=bpo1, blob_schedule=BPO1_BLOBS),
        Activation(Fork.BPO2, timestamp=bpo2, blob_schedule=BPO2_BLOBS),
    )


MAINNET: Final = ChainConfig(
    1,
    (
        Activation(Fork.FRONTIER, block=0),
        Activation(Fork.HOMESTEAD, block=1_150_000),
        Activation(Fork.DAO, block=1_920_000),
        Activation(Fork.TANGERINE_WHISTLE, block=2_463_000),
        Activation(Fork.SPURIOUS_DRAGON, block=2_675_000),
        Activation(Fork.BYZANTIUM, block=4_370_000),
        Activation(Fork.CONSTANTINOPLE, block=7_280_000),
        Activation(Fork.PETERSBURG, block=7_280_000),
        Activation(Fork.ISTANBUL, block=9_069_000),
        Activation(Fork.MUIR_GLACIER, block=9_200_000),
        Activation(Fork.BERLIN, block=12_244_000),
        Activation(Fork.LONDON, block=12_965_000),
        Activation(Fork.ARROW_GLACIER, block=13_773_000),
        Activation(Fork.GRAY_GLACIER, block=15_050_000),
        Activation(Fork.PARIS, block=15_537_394),
        *_times(1681338455, 1710338135, 1746612311, 1764798551, 1765290071, 1767747671),
    ),
    58_750_000_000_000_000_000_000,
    name="mainnet",
)

SEPOLIA: Final = ChainConfig(
    11_155_111,
    (
        *_ALL_AT_ZERO,
        Activation(Fork.PARIS, block=1_450_409),
        *_times(1677557088, 1706655072, 1741159776, 1760427360, 1761017184, 1761607008),
    ),
    17_000_000_000_000_000,
    bytes.fromhex("7f02c3e3c98b133055b8b348b2ac625669ed295d"),
    "sepolia",
)

HOLESKY: Final = ChainConfig(
    17_000,
    (
        *_ALL_AT_ZERO,
        Activation(Fork.PARIS, block=0),
        *_times(1696000704, 1707305664, 1740434112, 1759308480, 1759800000, 1760389824),
    ),
    0,
    bytes.fromhex("4242424242424242424242424242424242424242"),
    "holesky",
)

HOODI: Final = ChainConfig(
    560_048,
    (
        *_ALL_AT_ZERO,
        Activation(Fork.PARIS, block=0),
        *_times(0, 0, 1742999832, 1761677592, 1762365720, 1762955544),
    ),
    0,
    name="hoodi",
)

NETWORKS: Final = {"mainnet": MAINNET, "sepolia": SEPOLIA, "holesky": HOLESKY, "hoodi": HOODI}


def chain_of(value: ChainConfig | Fork | str, chain_id: UintLike | None = None) -> ChainConfig:
    """`value` as a `ChainConfig`: a chain, the name of a public network, or a fork (its rules from block 0 on).

    `chain_id` replaces the chain's own. Raises `InputError` for anything else.
    """
    if isinstance(value, ChainConfig):
        chain = value
    elif isinstance(value, str) and value.lower() in NETWORKS:
        chain = NETWORKS[value.lower()]
    elif isinstance(value, (Fork, str)):
        try:
            chain = ChainConfig.of_fork(value)
        except InputError:
            raise InputError(
                f"chain: unknown chain or fork {value!r}; known chains are {', '.join(NETWORKS)}, known forks are "
                f"{', '.join(fork.title for fork in Fork)}"
            ) from None
    else:
        raise InputError(f"chain: expected a ChainConfig, a Fork or a name, got {type(value).__name__}")
    return chain if chain_id is None else replace(chain, chain_id=to_uint(chain_id, "chain_id"))
