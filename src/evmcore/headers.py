"""Rules of a header and an ommer list, given the parent: gas limit, base fee, difficulty, blob gas, kinship.

Nothing here reads the state or runs code. Proof-of-work seals are not checked. Every violation raises `InvalidBlock`
with its reason and the numbers that disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

from evmcore.blocks import EMPTY_OMMERS_HASH, Block, Header
from evmcore.dao import DAO_EXTRA_DATA
from evmcore.errors import BlockReason, InvalidBlock
from evmcore.forks import BlobSchedule, ChainConfig, Fork, bomb_delay

GAS_LIMIT_DIVISOR: Final = 1024
MIN_GAS_LIMIT: Final = 5000
MAX_GAS_LIMIT: Final = 2**63 - 1
MAX_EXTRA_DATA: Final = 32
MIN_DIFFICULTY: Final = 131_072
DIFFICULTY_DIVISOR: Final = 2048
BOMB_PERIOD: Final = 100_000

INITIAL_BASE_FEE: Final = 1_000_000_000
ELASTICITY: Final = 2
BASE_FEE_CHANGE_DENOMINATOR: Final = 8

GAS_PER_BLOB: Final = 2**17
MIN_BLOB_BASE_FEE: Final = 1
BLOB_BASE_COST: Final = 2**13  # EIP-7918

MAX_OMMERS: Final = 2
MAX_OMMER_DEPTH: Final = 6
MAX_BLOCK_SIZE: Final = 10_485_760 - 2_097_152  # bytes of RLP, EIP-7934

BLOCK_HASH_WINDOW: Final = 256  # blocks back that BLOCKHASH can reach

_U256_MAX: Final = 2**256 - 1


def _refuse(reason: BlockReason, detail: str) -> NoReturn:
    raise InvalidBlock(reason, detail)


# ---- difficulty


def next_difficulty(
    fork: Fork, number: int, timestamp: int, parent_timestamp: int, parent_difficulty: int, parent_has_ommers: bool
) -> int:
    """Difficulty of proof-of-work block `number` under `fork` (EIP-2 from Homestead, EIP-100 from Byzantium), with the
    difficulty bomb, as far as the fork delays it. Timestamps in seconds."""
    step = parent_difficulty // DIFFICULTY_DIVISOR
    elapsed = timestamp - parent_timestamp
    if fork < Fork.HOMESTEAD:
        difficulty = parent_difficulty + (step if elapsed < 13 else -step)
    elif fork < Fork.BYZANTIUM:
        difficulty = parent_difficulty + step * max(1 - elapsed // 10, -99)
    else:
        difficulty = parent_difficulty + step * max((2 if parent_has_ommers else 1) - elapsed // 9, -99)
    periods = max(number - bomb_delay(fork), 0) // BOMB_PERIOD - 2
    if periods >= 0:
        difficulty += 2**periods
    return max(difficulty, MIN_DIFFICULTY)


# ---- fees


def next_base_fee(parent: Header) -> int:
    """Base fee (wei per gas) of the block after `parent` from London on (EIP-1559)."""
    if parent.base_fee_per_gas is None:
        return INITIAL_BASE_FEE
    base_fee, used = parent.base_fee_per_gas, parent.gas_used
    target = parent.gas_limit // ELASTICITY
    if used == target or target == 0:
        return base_fee
    change = base_fee * abs(used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
    return base_fee + max(change, 1) if used > target else base_fee - change


def fake_exponential(factor: int, numerator: int, denominator: int) -> int:
    """`factor * e ** (numerator / denominator)` by EIP-4844's integer series; results of 2**256 and more become
    2**256 - 1, which no transaction can pay."""
    if numerator // denominator > 178:  # e ** 178 > 2 ** 256
        return _U256_MAX
    total, term, index = 0, factor * denominator, 1
    while term > 0:
        total += term
        term = term * numerator // (denominator * index)
        index += 1
    return min(total // denominator, _U256_MAX)


def blob_base_fee(excess_blob_gas: int, schedule: BlobSchedule) -> int:
    """Blob base fee (wei per blob gas) of a block with `excess_blob_gas`."""
    return fake_exponential(MIN_BLOB_BASE_FEE, excess_blob_gas, schedule.base_fee_update_fraction)


def next_excess_blob_gas(parent: Header, fork: Fork, schedule: BlobSchedule) -> int:
    """Excess blob gas of the block after `parent`, whose own fork and schedule are `fork` and `schedule`
    (EIP-4844; EIP-7918's reserve price from Osaka on)."""
    excess, used = parent.excess_blob_gas or 0, parent.blob_gas_used or 0
    target = schedule.target * GAS_PER_BLOB
    if excess + used < target:
        return 0
    if fork >= Fork.OSAKA and schedule.max:
        reserve = BLOB_BASE_COST * (parent.base_fee_per_gas or 0)
        if reserve > GAS_PER_BLOB * blob_base_fee(excess, schedule):
            return excess + used * (schedule.max - schedule.target) // schedule.max
    return excess + used - target


# ---- headers


def check_header(header: Header, parent: Header, chain: ChainConfig, fork: Fork | None = None) -> None:
    """Checks `header` as the child of `parent`; `fork` is the fork in force, by default the chain's.

    Raises `InvalidBlock`.
    """
    if fork is None:
        fork = chain.fork_at(header.number, header.timestamp)
    if header.parent_hash != parent.hash:
        _refuse(
            BlockReason.UNKNOWN_PARENT, f"parent hash 0x{header.parent_hash.hex()}, the parent is 0x{parent.hash.hex()}"
        )
    if header.number != parent.number + 1:
        _refuse(BlockReason.INVALID_BLOCK_NUMBER, f"number {header.number} after {parent.number}")
    _check_fields(header, parent, fork)
    if header.timestamp <= parent.timestamp:
        _refuse(
            BlockReason.INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT,
            f"timestamp {header.timestamp} is not after the parent's {parent.timestamp}",
        )
    if len(header.extra_data) > MAX_EXTRA_DATA:
        _refuse(
            BlockReason.EXTRA_DATA_TOO_BIG, f"{len(header.extra_data)} bytes of extra data, {MAX_EXTRA_DATA} allowed"
        )
    dao_block = chain.dao_block
    if dao_block is not None and dao_block <= header.number < dao_block + 10 and header.extra_data != DAO_EXTRA_DATA:
        _refuse(BlockReason.EXTRA_DATA_INVALID_DAO, f"extra data {header.extra_data!r}, expected {DAO_EXTRA_DATA!r}")
    if fork >= Fork.PARIS:
        _check_paris(header, parent)
    else:
        _check_difficulty(header, parent, fork)
    _check_gas(header, parent, fork)
    if fork >= Fork.CANCUN:
        schedule = chain.blob_schedule_at(header.number, header.timestamp)
        assert schedule is not None  # every fork from Cancun on has one
        expected = next_excess_blob_gas(parent, fork, schedule)
        if header.excess_blob_gas != expected:
            _refuse(
                BlockReason.INCORRECT_EXCESS_BLOB_GAS, f"excess blob gas {header.excess_blob_gas}, expected {expected}"
            )


def _check_fields(header: Header, parent: Header, fork: Fork) -> None:
    """Checks that a header has exactly the fields of its fork."""
    if (header.base_fee_per_gas is not None) != (fork >= Fork.LONDON):
        if fork >= Fork.LONDON:
            wrong_parent = parent.base_fee_per_gas is not None
            reason = (
                BlockReason.IMPORT_IMPOSSIBLE_LEGACY_WRONG_PARENT
                if wrong_parent
                else BlockReason.IMPORT_IMPOSSIBLE_LEGACY
            )
            _refuse(reason, f"no base fee in a header of {fork.title}")
        _refuse(BlockReason.IMPORT_IMPOSSIBLE_LONDON_WRONG_PARENT, f"a base fee in a header of {fork.title}")
    if (header.withdrawals_root is not None) != (fork >= Fork.SHANGHAI):
        if fork >= Fork.SHANGHAI:
            _refuse(
                BlockReason.IMPORT_IMPOSSIBLE_PARIS_OVER_SHANGHAI, f"no withdrawals root in a header of {fork.title}"
            )
        _refuse(BlockReason.IMPORT_IMPOSSIBLE_SHANGHAI, f"a withdrawals root in a header of {fork.title}")
    for name, since in (
        ("blob_gas_used", Fork.CANCUN),
        ("excess_blob_gas", Fork.CANCUN),
        ("parent_beacon_block_root", Fork.CANCUN),
        ("requests_hash", Fork.PRAGUE),
    ):
        present = getattr(header, name) is not None
        if present != (fork >= since):
            _refuse(
                BlockReason.INCORRECT_BLOCK_FORMAT,
                f"{'a' if present else 'no'} field {name} in a header of {fork.title}",
            )


def _check_paris(header: Header, parent: Header) -> None:
    if header.difficulty != 0:
        reason = (
            BlockReason.IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS
            if parent.difficulty == 0
            else BlockReason.IMPORT_IMPOSSIBLE_PARIS_WRONG_POW
        )
        _refuse(reason, f"difficulty {header.difficulty} after the merge")
    if header.nonce != bytes(8):
        _refuse(BlockReason.INCORRECT_BLOCK_FORMAT, f"nonce 0x{header.nonce.hex()} after the merge, expected zero")
    if header.ommers_hash != EMPTY_OMMERS_HASH:
        _refuse(BlockReason.IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS, "ommers after the merge")


def _check_difficulty(header: Header, parent: Header, fork: Fork) -> None:
    if header.difficulty == 0:
        _refuse(BlockReason.IMPORT_IMPOSSIBLE_PARIS_WRONG_POS, "no difficulty before the merge")
    expected = next_difficulty(
        fork,
        header.number,
        header.timestamp,
        parent.timestamp,
        parent.difficulty,
        parent.ommers_hash != EMPTY_OMMERS_HASH,
    )
    if header.difficulty != expected:
        _refuse(BlockReason.INVALID_DIFFICULTY, f"difficulty {header.difficulty}, expected {expected}")


def _check_gas(header: Header, parent: Header, fork: Fork) -> None:
    limit, previous = header.gas_limit, parent.gas_limit
    if fork >= Fork.LONDON and parent.base_fee_per_gas is None:
        previous *= ELASTICITY
    if limit > MAX_GAS_LIMIT:
        _refuse(BlockReason.GASLIMIT_TOO_BIG, f"gas limit {limit}, at most {MAX_GAS_LIMIT}")
    bound = previous // GAS_LIMIT_DIVISOR
    if not previous - bound < limit < previous + bound or limit < MIN_GAS_LIMIT:
        _refuse(
            BlockReason.INVALID_GASLIMIT,
            f"gas limit {limit}, expected at least {MIN_GAS_LIMIT} and less than {bound} away from {previous}",
        )
    if header.gas_used > limit:
        _refuse(BlockReason.INVALID_GAS_USED_ABOVE_LIMIT, f"gas used {header.gas_used} with a gas limit of {limit}")
    if fork >= Fork.LONDON:
        expected = next_base_fee(parent)
        if header.base_fee_per_gas != expected:
            _refuse(
                BlockReason.INVALID_BASEFEE_PER_GAS,
                f"base fee {header.base_fee_per_gas}, expected {expected} wei per gas",
            )


# ---- ommers


def check_ommers(block: Block, ancestors: Sequence[Block], chain: ChainConfig) -> None:
    """Checks the ommers of a proof-of-work block: at most two, from the last six generations, not ancestors, not
    included before. `ancestors`: the block's ancestors with bodies, oldest first, the parent last; seven are enough.

    Raises `InvalidBlock`.
    """
    header, ommers = block.header, block.ommers
    if not ommers:
        return
    if len(ommers) > MAX_OMMERS:
        _refuse(BlockReason.TOO_MANY_UNCLES, f"{len(ommers)} ommers, at most {MAX_OMMERS}")
    recent = ancestors[-(MAX_OMMER_DEPTH + 1) :]
    family = {ancestor.header.hash: ancestor.header for ancestor in recent}
    included = {ommer.hash for ancestor in recent for ommer in ancestor.ommers}
    for ommer in ommers:
        shown = f"ommer 0x{ommer.hash.hex()}"
        if ommer.hash in included:
            _refuse(BlockReason.UNCLE_IN_CHAIN, f"{shown} is already included")
        if ommer.hash in family or ommer.hash == header.hash:
            _refuse(BlockReason.UNCLE_IS_ANCESTOR, f"{shown} is an ancestor")
        parent = family.get(ommer.parent_hash)
        if parent is None:
            _refuse(
                BlockReason.UNCLE_UNKNOWN_PARENT, f"the parent of {shown} is none of the last {MAX_OMMER_DEPTH + 1}"
            )
        if ommer.parent_hash == header.parent_hash:
            _refuse(BlockReason.UNCLE_IS_BROTHER, f"{shown} has the block's own parent")
        check_header(ommer, parent, chain)
        included.add(ommer.hash)
