"""The table of forks: what is the same on every chain (names, rule set, difficulty bomb, blobs).

`evmcore.forks` holds when a fork comes into force on a chain; `_rules.pxd` names the rule sets for compiled modules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from evmcore.errors import InputError
from evmcore.types import UintLike, shown, to_uint

DEPOSIT_CONTRACT: Final = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")  # of mainnet (EIP-6110)
MAX_BLOBS: Final = 1_000_000  # of a block; keeps blob gas far below 2**63


class Fork(IntEnum):
    """Every fork of Ethereum mainnet, oldest first; comparable with `<`."""

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
        """Number of the rule set (`evmcore._rules.Revision`): forks that change no execution rule share one."""
        return FACTS[self].revision

    @property
    def title(self) -> str:
        """The fork's name as people write it, such as `"TangerineWhistle"`."""
        return "".join(word if word.startswith("BPO") else word.capitalize() for word in self.name.split("_"))

    @classmethod
    def from_name(cls, name: str) -> Fork:
        """The fork called `name`, whatever its case, spaces, dashes and underscores; also the aliases of test
        fixtures (`EIP150`, `EIP158`, `ConstantinopleFix`, `Merge`, ...).

        Raises `InputError` for anything else.
        """
        if not isinstance(name, str):
            raise InputError(f"fork: expected a name or a Fork, got {type(name).__name__}")
        fork = _NAMES.get(plain_name(name))
        if fork is None:
            known = ", ".join(f.title for f in cls)
            raise InputError(f"fork: unknown fork {name!r}; known are {known}")
        return fork


def plain_name(name: str) -> str:
    """A name without case, spaces, dashes and underscores, for comparing names."""
    return re.sub(r"[\s_-]", "", name).lower()


def fork_of(value: Fork | str) -> Fork:
    """`value` as a `Fork`; a string is a fork name (`Fork.from_name`). Raises `InputError`."""
    return value if isinstance(value, Fork) else Fork.from_name(value)


@dataclass(frozen=True, slots=True)
class BlobSchedule:
    """Blob parameters of a block: `target` and `max` in blobs per block, and the update fraction of the blob base
    fee (EIP-4844, EIP-7840). Fields are converted and checked when it is made.

    `max` is not below `target` and at most a million, the fraction from 1 to 2**64 - 1. Raises `InputError`.
    """

    target: int
    max: int
    base_fee_update_fraction: int

    if TYPE_CHECKING:

        def __init__(self, target: UintLike, max: UintLike, base_fee_update_fraction: UintLike) -> None: ...

    def __post_init__(self) -> None:
        for name in ("target", "max", "base_fee_update_fraction"):
            object.__setattr__(self, name, to_uint(getattr(self, name), name, 64))
        if self.max > MAX_BLOBS:
            raise InputError(f"argument 'max': expected at most {MAX_BLOBS} blobs per block, got {self.max}")
        if self.max < self.target:
            raise InputError(f"argument 'max': expected no fewer blobs than the target, {self.target}, got {self.max}")
        if self.base_fee_update_fraction == 0:
            raise InputError("argument 'base_fee_update_fraction': expected a number from 1, got 0")


CANCUN_BLOBS: Final = BlobSchedule(3, 6, 3_338_477)
PRAGUE_BLOBS: Final = BlobSchedule(6, 9, 5_007_716)  # EIP-7691
BPO1_BLOBS: Final = BlobSchedule(10, 15, 8_346_193)
BPO2_BLOBS: Final = BlobSchedule(14, 21, 11_684_671)


class Facts(NamedTuple):
    """The facts of a fork that are the same on every chain."""

    revision: int
    """Number of the rule set, an `evmcore._rules.Revision`."""
    aliases: tuple[str, ...] = ()
    """Other names, plain, that test fixtures and people use."""
    genesis_keys: tuple[str, ...] = ()
    """Keys of geth's genesis configuration for its activation; the first key that is present counts."""
    bomb_delay: int | None = None
    """Blocks by which the clock of the difficulty bomb is set back; `None`: as in the previous fork."""
    blobs: BlobSchedule | None = None
    """The blob schedule unless a configuration gives another one."""


FACTS: Final = {
    Fork.FRONTIER: Facts(0, bomb_delay=0),
    Fork.HOMESTEAD: Facts(1, (), ("homesteadBlock",)),
    Fork.DAO: Facts(1, ("daofork",), ("daoForkBlock",)),
    Fork.TANGERINE_WHISTLE: Facts(2, ("eip150", "tangerine"), ("eip150Block",)),
    Fork.SPURIOUS_DRAGON: Facts(3, ("eip158", "eip155", "spurious"), ("eip158Block", "eip155Block")),
    Fork.BYZANTIUM: Facts(4, (), ("byzantiumBlock",), bomb_delay=3_000_000),  # EIP-649
    Fork.CONSTANTINOPLE: Facts(5, (), ("constantinopleBlock",), bomb_delay=5_000_000),  # EIP-1234
    # geth's rule: a chain that does not name Petersburg gets it with Constantinople.
    Fork.PETERSBURG: Facts(6, ("constantinoplefix",), ("petersburgBlock", "constantinopleBlock")),
    Fork.ISTANBUL: Facts(7, (), ("istanbulBlock",)),
    Fork.MUIR_GLACIER: Facts(7, (), ("muirGlacierBlock",), bomb_delay=9_000_000),  # EIP-2384
    Fork.BERLIN: Facts(8, (), ("berlinBlock",)),
    Fork.LONDON: Facts(9, (), ("londonBlock",), bomb_delay=9_700_000),  # EIP-3554
    Fork.ARROW_GLACIER: Facts(9, (), ("arrowGlacierBlock",), bomb_delay=10_700_000),  # EIP-4345
    Fork.GRAY_GLACIER: Facts(9, (), ("grayGlacierBlock",), bomb_delay=11_400_000),  # EIP-5133
    Fork.PARIS: Facts(10, ("merge", "themerge")),  # begins by total difficulty
    Fork.SHANGHAI: Facts(11, (), ("shanghaiTime",)),
    Fork.CANCUN: Facts(12, (), ("cancunTime",), blobs=CANCUN_BLOBS),
    Fork.PRAGUE: Facts(13, (), ("pragueTime",), blobs=PRAGUE_BLOBS),
    Fork.OSAKA: Facts(14, (), ("osakaTime",), blobs=PRAGUE_BLOBS),
    Fork.BPO1: Facts(14, (), ("bpo1Time",), blobs=BPO1_BLOBS),
    Fork.BPO2: Facts(14, (), ("bpo2Time",), blobs=BPO2_BLOBS),
}

_NAMES: Final = {plain_name(name): fork for fork, facts in FACTS.items() for name in (fork.name, *facts.aliases)}


def bomb_delay(fork: Fork) -> int:
    """Blocks by which `fork` holds the difficulty bomb back."""
    return next(facts.bomb_delay for f in range(fork, -1, -1) if (facts := FACTS[Fork(f)]).bomb_delay is not None)


@dataclass(frozen=True, slots=True)
class Activation:
    """A fork, or the name of one, comes into force at a block number or at a timestamp (seconds); with neither,
    together with the next later fork. Fields are converted and checked when it is made.

    Blob-parameter-only forks beyond BPO2 are activations of `Fork.BPO2` with a `blob_schedule` of their own. Raises
    `InputError`.
    """

    fork: Fork
    block: int | None = None
    timestamp: int | None = None
    blob_schedule: BlobSchedule | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            fork: Fork | str,
            block: UintLike | None = ...,
            timestamp: UintLike | None = ...,
            blob_schedule: BlobSchedule | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "fork", fork_of(self.fork))
        for name in ("block", "timestamp"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, to_uint(value, name, 64))
        if not isinstance(self.blob_schedule, (BlobSchedule, type(None))):
            raise InputError(f"argument 'blob_schedule': expected a BlobSchedule, got {shown(self.blob_schedule)}")
