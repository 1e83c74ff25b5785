"""Reads geth's genesis configuration (`config` in a genesis file): when each fork comes into force on a chain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from evmcore.errors import ConfigError, InputError
from evmcore.fork_table import DEPOSIT_CONTRACT, FACTS, Activation, BlobSchedule, Fork

_UINT64_MAX: Final = 2**64 - 1
_UINT256_MAX: Final = 2**256 - 1

_BY_BLOCK: Final = tuple(fork for fork in Fork if Fork.FRONTIER < fork < Fork.PARIS)
_BY_TIME: Final = tuple(fork for fork in Fork if fork > Fork.PARIS)
# Forks that change only the blob schedule, beyond BPO2, the last with a `Fork` of its own: they use BPO2's rules.
_LATER_BLOB_FORKS: Final = ("bpo3Time", "bpo4Time", "bpo5Time")
_FUTURE_KEYS: Final = ("amsterdamTime", "verkleTime", "ubtTime")
_WHERE: Final = "genesis: config."


class GenesisConfig(NamedTuple):
    """The contents of a configuration; the fields are those of `evmcore.forks.ChainConfig`."""

    chain_id: int
    activations: tuple[Activation, ...]
    terminal_total_difficulty: int | None
    deposit_contract: bytes


def read_genesis_config(genesis: Mapping[str, Any]) -> GenesisConfig:
    """Reads a genesis object, or its `config` alone.

    Raises `ConfigError`, naming the field, for an invalid configuration.
    """
    if not isinstance(genesis, Mapping):
        raise ConfigError(f"genesis: expected an object, got {type(genesis).__name__}")
    config = genesis.get("config", genesis) if "chainId" not in genesis else genesis
    if not isinstance(config, Mapping):
        raise ConfigError(f"genesis: config: expected an object, got {type(config).__name__}")
    chain_id = _number(config, "chainId", limit=_UINT256_MAX)
    if chain_id is None:
        raise ConfigError(f"{_WHERE}chainId: missing")
    for key in _FUTURE_KEYS:
        if config.get(key) is not None:
            raise ConfigError(f"{_WHERE}{key}: this fork is not supported; the newest is BPO2 on Osaka")
    by_block = _forks_by_block(config)
    by_time = _forks_by_time(config)
    terminal = _number(config, "terminalTotalDifficulty", limit=_UINT256_MAX)
    paris = _paris(config, terminal, by_block[-1].block or 0, bool(by_time))
    return GenesisConfig(chain_id, (*by_block, *paris, *by_time), terminal, _deposit_contract(config))


def _forks_by_block(config: Mapping[str, Any]) -> list[Activation]:
    """Frontier, and the forks before Paris that are in the configuration."""
    activations = [Activation(Fork.FRONTIER, block=0)]
    last = 0
    for fork in _BY_BLOCK:
        numbers = ((key, _number(config, key)) for key in FACTS[fork].genesis_keys)
        key, block = next((pair for pair in numbers if pair[1] is not None), ("", None))
        if block is None or (fork == Fork.DAO and not config.get("daoForkSupport")):
            continue
        if block < last:
            raise ConfigError(f"{_WHERE}{key}: {block} is before the fork that precedes it (block {last})")
        last = block
        activations.append(Activation(fork, block=block))
    return activations


def _paris(config: Mapping[str, Any], terminal: int | None, last_block: int, later: bool) -> list[Activation]:
    """Paris, if the chain has it: by total difficulty, by block, or, with `later` forks, before them."""
    block = _number(config, "mergeNetsplitBlock")
    if terminal is None and block is None and not later:
        return []
    if terminal == 0 or (terminal is None and block is None):
        block = last_block
    return [Activation(Fork.PARIS, block=None if block is None else max(block, last_block))]


def _forks_by_time(config: Mapping[str, Any]) -> list[Activation]:
    """The forks after Paris that are in the configuration, with their blob schedules if given."""
    given = config.get("blobSchedule") or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{_WHERE}blobSchedule: expected an object, got {given!r}")
    schedules = {key.lower(): parse_blob_schedule(value, f"{_WHERE}blobSchedule.{key}") for key, value in given.items()}
    keys = {FACTS[fork].genesis_keys[0]: fork for fork in _BY_TIME} | dict.fromkeys(_LATER_BLOB_FORKS, Fork.BPO2)
    activations = []
    last = 0
    for key, fork in keys.items():
        time = _number(config, key)
        if time is None:
            continue
        if time < last:
            raise ConfigError(f"{_WHERE}{key}: {time} is before the fork that precedes it (time {last})")
        last = time
        name = key.removesuffix("Time").lower()
        if key in _LATER_BLOB_FORKS and name not in schedules:
            raise ConfigError(f"{_WHERE}blobSchedule.{name}: missing, {key} is set")
        activations.append(Activation(fork, timestamp=time, blob_schedule=schedules.get(name)))
    return activations


def _deposit_contract(config: Mapping[str, Any]) -> bytes:
    text = config.get("depositContractAddress")
    if text is None:
        return DEPOSIT_CONTRACT
    if not isinstance(text, str) or re.fullmatch(r"0x[0-9a-fA-F]{40}", text) is None:
        raise ConfigError(f"{_WHERE}depositContractAddress: expected 0x and 40 hex digits, got {text!r}")
    return bytes.fromhex(text[2:])


def parse_blob_schedule(value: Any, where: str = "blobSchedule") -> BlobSchedule:
    """A `BlobSchedule` from `{"target": ..., "max": ..., "baseFeeUpdateFraction": ...}` (numbers or 0x strings).

    Raises `ConfigError`; `where` names the place in its message.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected an object with target, max and baseFeeUpdateFraction, got {value!r}")
    numbers = []
    for key in ("target", "max", "baseFeeUpdateFraction"):
        number = _number(value, key, f"{where}.")
        if number is None:
            raise ConfigError(f"{where}.{key}: missing")
        numbers.append(number)
    try:
        return BlobSchedule(*numbers)
    except InputError as error:
        raise ConfigError(f"{where}: {error}") from None


def _number(config: Mapping[str, Any], key: str, where: str = _WHERE, limit: int = _UINT64_MAX) -> int | None:
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
