"""Forks and chains: which rules hold at a block, chosen by number and timestamp or by name.

Activation points of the public networks, blob schedules (EIP-7840, EIP-7892), difficulty-bomb delays, and the chains
that geth's genesis files and test fixtures describe. Rule-set numbers for the compiled modules are in ``_rules.pxd``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

from evmcore.errors import ConfigError, InputError


class Fork(IntEnum):
    """Every fork of Ethereum mainnet, oldest first; comparable with ``<``."""

    FRONTIER = 0
    HOMESTEAD = 1
    DAO = 2
    TANGERINE_WHISTLE = 3
    SPURIOUS_DRAGON = 4
    BYZANTIUM = 5
    CONSTANTINOPLE = 6
    PETERSBURG = 7
    ISTANBUL = 8
    MUIR_GLACIER = 9
    BERLIN = 10
    LONDON = 11
    ARROW_GLACIER = 12
    GRAY_GLACIER = 13
    PARIS = 14
    SHANGHAI = 15
    CANCUN = 16
    PRAGUE = 17
    OSAKA = 18
    BPO1 = 19
    BPO2 = 20

    @property
    def revision(self) -> int:
        """Number of the rule set (``evmcore._rules.Revision``): forks that change no execution rule share one."""
        return _REVISIONS[self]

    @property
    def title(self) -> str:
        """The fork's name as people write it, such as ``"TangerineWhistle"``."""
        return "".join(word if word.startswith("BPO") else word.capitalize() for word in self.name.split("_"))

    @classmethod
    def from_name(cls, name: str) -> Fork:
        """The fork called ``name``: any spelling of case, spaces, dashes and underscores, and the aliases of test
        fixtures (``EIP150``, ``EIP158``, ``ConstantinopleFix``, ``Merge``, ...).

        Raises `InputError` for anything else.
        """
        if not isinstance(name, str):
            raise InputError(f"fork: expected a name or a Fork, got {type(name).__name__}")
        fork = _NAMES.get(_plain(name))
        if fork is None:
            known = ", ".join(f.title for f in cls)
            raise InputError(f"fork: unknown fork {name!r}; known are {known}")
        return fork


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


_REVISIONS: Final = {
    Fork.FRONTIER: 0,
    Fork.HOMESTEAD: 1,
    Fork.DAO: 1,
    Fork.TANGERINE_WHISTLE: 2,
    Fork.SPURIOUS_DRAGON: 3,
    Fork.BYZANTIUM: 4,
    Fork.CONSTANTINOPLE: 5,
    Fork.PETERSBURG: 6,
    Fork.ISTANBUL: 7,
    Fork.MUIR_GLACIER: 7,
    Fork.BERLIN: 8,
    Fork.LONDON: 9,
    Fork.ARROW_GLACIER: 9,
    Fork.GRAY_GLACIER: 9,
    Fork.PARIS: 10,
    Fork.SHANGHAI: 11,
    Fork.CANCUN: 12,
    Fork.PRAGUE: 13,
    Fork.OSAKA: 14,
    Fork.BPO1: 14,
    Fork.BPO2: 14,
}

_NAMES: Final = {_plain(fork.name): fork for fork in Fork} | {
    "daofork": Fork.DAO,
    "eip150": Fork.TANGERINE_WHISTLE,
    "tangerine": Fork.TANGERINE_WHISTLE,
    "eip158": Fork.SPURIOUS_DRAGON,
    "eip155": Fork.SPURIOUS_DRAGON,
    "spurious": Fork.SPURIOUS_DRAGON,
    "constantinoplefix": Fork.PETERSBURG,
    "merge": Fork.PARIS,
    "themerge": Fork.PARIS,
}

# Blocks by which the difficulty bomb's clock is set back (EIP-649, 1234, 2384, 3554, 4345, 5133), from each fork on.
BOMB_DELAYS: Final = {
    Fork.FRONTIER: 0,
    Fork.BYZANTIUM: 3_000_000,
    Fork.CONSTANTINOPLE: 5_000_000,
    Fork.MUIR_GLACIER: 9_000_000,
    Fork.LONDON: 9_700_000,
    Fork.ARROW_GLACIER: 10_700_000,
    Fork.GRAY_GLACIER: 11_400_000,
}


def bomb_delay(fork: Fork) -> int:
    """Blocks by which ``fork`` holds the difficulty bomb back."""
    return max((f, delay) for f, delay in BOMB_DELAYS.items() if f <= fork)[1]


@dataclass(frozen=True, slots=True)
class BlobSchedule:
    """Blob parameters of a block: ``target`` and ``max`` in blobs per block, and the update fraction of the blob base
    fee (EIP-4844, EIP-7840)."""

    target: int
    max: int
    base_fee_update_fraction: int


CANCUN_BLOBS: Final = BlobSchedule(3, 6, 3_338_477)
PRAGUE_BLOBS: Final = BlobSchedule(6, 9, 5_007_716)  # EIP-7691
BPO1_BLOBS: Final = BlobSchedule(10, 15, 8_346_193)
BPO2_BLOBS: Final = BlobSchedule(14, 21, 11_684_671)

# Schedules that hold where a configuration does not say otherwise.
DEFAULT_BLOB_SCHEDULES: Final = {
    Fork.CANCUN: CANCUN_BLOBS,
    Fork.PRAGUE: PRAGUE_BLOBS,
    Fork.OSAKA: PRAGUE_BLOBS,
    Fork.BPO1: BPO1_BLOBS,
    Fork.BPO2: BPO2_BLOBS,
}

DEPOSIT_CONTRACT: Final = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")


@dataclass(frozen=True, slots=True)
class Activation:
    """A fork comes into force at a block number or at a timestamp (seconds); with neither, when a later one does.

    Blob-parameter-only forks beyond BPO2 are activations of ``Fork.BPO2`` with a ``blob_schedule`` of their own.
    """

    fork: Fork
    block: int | None = None
    timestamp: int | None = None
    blob_schedule: BlobSchedule | None = None


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """A chain: its id and when each fork comes into force.

    ``activations`` are in order of coming into force. ``terminal_total_difficulty`` starts Paris where the total
    difficulty is known, `Activation.block` of Paris otherwise.
    """

    chain_id: int
    activations: tuple[Activation, ...]
    terminal_total_difficulty: int | None = None
    deposit_contract: bytes = DEPOSIT_CONTRACT
    name: str = ""

    def __post_init__(self) -> None:
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

    # ---- what holds at a block

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
        """The fork in force in block ``number`` with ``timestamp`` (seconds). ``total_difficulty``: of the parent,
        where known; it decides about Paris on a chain with a terminal total difficulty."""
        return self.activations[self._active(number, timestamp, total_difficulty)].fork

    def fork_of(self, number: int, timestamp: int, difficulty: int) -> Fork:
        """The fork of an existing block by its header alone: where the merge block is not known, a difficulty of zero
        tells a block of Paris."""
        fork = self.fork_at(number, timestamp)
        if fork < Fork.PARIS and difficulty == 0 and number > 0 and self.terminal_total_difficulty is not None:
            return Fork.PARIS
        return fork

    def blob_schedule_at(self, number: int, timestamp: int) -> BlobSchedule | None:
        """The blob schedule in force, `None` before Cancun."""
        for activation in reversed(self.activations[: self._active(number, timestamp, None) + 1]):
            if activation.blob_schedule is not None:
                return activation.blob_schedule
            if activation.fork in DEFAULT_BLOB_SCHEDULES:
                return DEFAULT_BLOB_SCHEDULES[activation.fork]
        return None

    def activation(self, fork: Fork) -> Activation | None:
        """The first activation of ``fork``, `None` where the chain does not have it."""
        return next((a for a in self.activations if a.fork == fork), None)

    @property
    def dao_block(self) -> int | None:
        """The block whose execution starts with the DAO fork's irregular state change."""
        activation = self.activation(Fork.DAO)
        return None if activation is None else activation.block

    # ---- other ways to make one

    @classmethod
    def of_fork(cls, fork: Fork, chain_id: int = 1, blob_schedule: BlobSchedule | None = None) -> ChainConfig:
        """A chain that has had the rules of ``fork`` from its first block on."""
        return cls(chain_id, (Activation(fork, block=0, blob_schedule=blob_schedule),), name=fork.title)

    @classmethod
    def from_network(
        cls, network: str, chain_id: int = 1, blob_schedules: Mapping[str, BlobSchedule] | None = None
    ) -> ChainConfig:
        """The chain a test fixture calls ``network``: a fork (``"Cancun"``, ``"EIP158"``, ``"BPO3"``) or a transition
        (``"ShanghaiToCancunAtTime15k"``, ``"HomesteadToDaoAt5"``, ``"ArrowGlacierToParisAtDiffC0000"``).

        ``blob_schedules``: the fixture's ``config.blobSchedule`` by fork name. Raises `ConfigError` for other names.
        """
        schedules = {_plain(name): schedule for name, schedule in (blob_schedules or {}).items()}
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
        """The chain of a geth-style genesis file (the whole object with its ``config``, or the ``config`` alone):
        forks by block and by time, ``terminalTotalDifficulty``, ``blobSchedule``, ``depositContractAddress``.

        Raises `ConfigError`, naming the field, for anything that does not make sense.
        """
        if not isinstance(genesis, Mapping):
            raise ConfigError(f"genesis: expected an object, got {type(genesis).__name__}")
        config = genesis.get("config", genesis) if "chainId" not in genesis else genesis
        if not isinstance(config, Mapping):
            raise ConfigError(f"genesis: config: expected an object, got {type(config).__name__}")
        return _from_geth(config)


_TRANSITION: Final = re.compile(
    r"(?P<before>\w+?)To(?P<after>[A-Z]\w*?)At"
    r"(?:Diff(?P<difficulty>[0-9A-Fa-f]+)|(?P<time>Time)?(?P<point>\d+)(?P<thousands>k)?)"
)


def _fixture_fork(name: str, schedules: Mapping[str, BlobSchedule]) -> tuple[Fork, BlobSchedule | None]:
    plain = _plain(name)
    schedule = schedules.get(plain)
    if re.fullmatch(r"bpo[3-9]", plain):
        if schedule is None:
            raise ConfigError(f"network: {name} has no blob schedule; give it as blob_schedules[{name!r}]")
        return Fork.BPO2, schedule
    try:
        return Fork.from_name(name), schedule
    except InputError as error:
        raise ConfigError(f"network: {error}") from None


# ---- geth's genesis configuration

_BLOCK_KEYS: Final = {
    "homesteadBlock": Fork.HOMESTEAD,
    "daoForkBlock": Fork.DAO,
    "eip150Block": Fork.TANGERINE_WHISTLE,
    "eip158Block": Fork.SPURIOUS_DRAGON,
    "byzantiumBlock": Fork.BYZANTIUM,
    "constantinopleBlock": Fork.CONSTANTINOPLE,
    "petersburgBlock": Fork.PETERSBURG,
    "istanbulBlock": Fork.ISTANBUL,
    "muirGlacierBlock": Fork.MUIR_GLACIER,
    "berlinBlock": Fork.BERLIN,
    "londonBlock": Fork.LONDON,
    "arrowGlacierBlock": Fork.ARROW_GLACIER,
    "grayGlacierBlock": Fork.GRAY_GLACIER,
}
_TIME_KEYS: Final = {
    "shanghaiTime": Fork.SHANGHAI,
    "cancunTime": Fork.CANCUN,
    "pragueTime": Fork.PRAGUE,
    "osakaTime": Fork.OSAKA,
    "bpo1Time": Fork.BPO1,
    "bpo2Time": Fork.BPO2,
    "bpo3Time": Fork.BPO2,
    "bpo4Time": Fork.BPO2,
    "bpo5Time": Fork.BPO2,
}
_FUTURE_KEYS: Final = ("amsterdamTime", "verkleTime", "ubtTime")
_UINT64_MAX: Final = 2**64 - 1


def _number(config: Mapping[str, Any], key: str, where: str, limit: int = _UINT64_MAX) -> int | None:
    """An unsigned number given as JSON number, decimal or 0x string; `None` where absent."""
    value = config.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = int(value, 0)
        except ValueError:
            raise ConfigError(f"{where}{key}: expected a number, got {value!r}") from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{where}{key}: expected a number, got {value!r}")
    if not 0 <= value <= limit:
        raise ConfigError(f"{where}{key}: {value} is out of range, expected 0 to {limit}")
    return value


def parse_blob_schedule(value: Any, where: str = "blobSchedule") -> BlobSchedule:
    """A `BlobSchedule` from ``{"target": ..., "max": ..., "baseFeeUpdateFraction": ...}`` (numbers or 0x strings).

    Raises `ConfigError`; ``where`` names the place in its message.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected an object with target, max and baseFeeUpdateFraction, got {value!r}")
    numbers = []
    for key in ("target", "max", "baseFeeUpdateFraction"):
        number = _number(value, key, f"{where}.")
        if number is None:
            raise ConfigError(f"{where}.{key}: missing")
        numbers.append(number)
    schedule = BlobSchedule(*numbers)
    if schedule.base_fee_update_fraction == 0:
        raise ConfigError(f"{where}.baseFeeUpdateFraction: must not be zero")
    if schedule.max < schedule.target:
        raise ConfigError(f"{where}: max {schedule.max} is below target {schedule.target}")
    if schedule.max > 1_000_000:
        raise ConfigError(f"{where}.max: {schedule.max} blobs per block is out of range, expected at most 1000000")
    return schedule


def _from_geth(config: Mapping[str, Any]) -> ChainConfig:
    where = "genesis: config."
    chain_id = _number(config, "chainId", where, 2**256 - 1)
    if chain_id is None:
        raise ConfigError(f"{where}chainId: missing")
    for key in _FUTURE_KEYS:
        if config.get(key) is not None:
            raise ConfigError(f"{where}{key}: this fork is not supported; the newest is BPO2 on Osaka")
    schedules = config.get("blobSchedule") or {}
    if not isinstance(schedules, Mapping):
        raise ConfigError(f"{where}blobSchedule: expected an object, got {schedules!r}")
    parsed = {key.lower(): parse_blob_schedule(value, f"{where}blobSchedule.{key}") for key, value in schedules.items()}

    activations = [Activation(Fork.FRONTIER, block=0)]
    last_block = 0
    for key, fork in _BLOCK_KEYS.items():
        block = _number(config, key, where)
        if block is None and fork == Fork.SPURIOUS_DRAGON:
            block = _number(config, "eip155Block", where)
        # geth's rule: a chain that does not name Petersburg gets it with Constantinople.
        if block is None and fork == Fork.PETERSBURG:
            block = _number(config, "constantinopleBlock", where)
        if block is None or (fork == Fork.DAO and not config.get("daoForkSupport")):
            continue
        if block < last_block:
            raise ConfigError(f"{where}{key}: {block} is before the fork that precedes it (block {last_block})")
        last_block = block
        activations.append(Activation(fork, block=block))

    terminal = _number(config, "terminalTotalDifficulty", where, 2**256 - 1)
    merge_block = _number(config, "mergeNetsplitBlock", where)
    times = [(key, _number(config, key, where)) for key in _TIME_KEYS]
    if terminal is not None or merge_block is not None or any(time is not None for _, time in times):
        if terminal == 0 or (terminal is None and merge_block is None):
            merge_block = last_block
        activations.append(Activation(Fork.PARIS, block=None if merge_block is None else max(merge_block, last_block)))

    last_time = 0
    for key, time in times:
        if time is None:
            continue
        if time < last_time:
            raise ConfigError(f"{where}{key}: {time} is before the fork that precedes it (time {last_time})")
        last_time = time
        name = key.removesuffix("Time").lower()
        fork = _TIME_KEYS[key]
        if name in ("bpo3", "bpo4", "bpo5") and name not in parsed:
            raise ConfigError(f"{where}blobSchedule.{name}: missing, {key} is set")
        activations.append(Activation(fork, timestamp=time, blob_schedule=parsed.get(name)))

    deposit = DEPOSIT_CONTRACT
    text = config.get("depositContractAddress")
    if text is not None:
        if not isinstance(text, str) or re.fullmatch(r"0x[0-9a-fA-F]{40}", text) is None:
            raise ConfigError(f"{where}depositContractAddress: expected 0x and 40 hex digits, got {text!r}")
        deposit = bytes.fromhex(text[2:])
    return ChainConfig(chain_id, tuple(activations), terminal, deposit)


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


def fork_of(value: Fork | str) -> Fork:
    """``value`` as a `Fork`; a string is a fork name (`Fork.from_name`). Raises `InputError`."""
    return value if isinstance(value, Fork) else Fork.from_name(value)


def chain_of(value: ChainConfig | Fork | str, chain_id: int | None = None) -> ChainConfig:
    """``value`` as a `ChainConfig`: a chain, the name of a public network, or a fork (its rules from block 0 on).

    ``chain_id`` replaces the chain's own. Raises `InputError` for anything else.
    """
    if isinstance(value, ChainConfig):
        chain = value
    elif isinstance(value, str) and value.lower() in NETWORKS:
        chain = NETWORKS[value.lower()]
    elif isinstance(value, (Fork, str)):
        try:
            chain = ChainConfig.of_fork(fork_of(value))
        except InputError:
            raise InputError(
                f"chain: unknown chain or fork {value!r}; known chains are {', '.join(NETWORKS)}, known forks are "
                f"{', '.join(fork.title for fork in Fork)}"
            ) from None
    else:
        raise InputError(f"chain: expected a ChainConfig, a Fork or a name, got {type(value).__name__}")
    return chain if chain_id is None else replace(chain, chain_id=chain_id)
