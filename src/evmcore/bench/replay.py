"""Real blocks with the state they read and the receipts they gave: loading, and comparing what an execution gives."""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evmcore.blocks import Block
from evmcore.errors import InputError
from evmcore.forks import Activation, BlobSchedule, ChainConfig, Fork
from evmcore.types import Account, Receipt, to_address, to_bytes, to_hash, to_uint

SUFFIX = ".json.xz"


@dataclass(frozen=True)
class RealBlock:
    """A block, the state before it as far as it is read, and the receipts it has to give."""

    name: str
    chain: ChainConfig
    block: Block
    alloc: dict[bytes, Account]
    block_hashes: dict[int, bytes]
    receipts: tuple[dict[str, Any], ...]

    @property
    def gas_used(self) -> int:
        return self.block.header.gas_used


def load(path: Path) -> RealBlock:
    """Reads a block file. Raises InputError for one that is not in that form, OSError for one that cannot be read."""
    return parse(path, read(path))


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a block file. Raises as `load` does."""
    try:
        with lzma.open(path) as file:
            fields: Any = json.load(file)
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not JSON packed by xz: {error}") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path}: an object is needed, got {type(fields).__name__}")
    return fields


def parse(path: Path, fields: dict[str, Any]) -> RealBlock:
    """The block in what `read` gave. Raises as `load` does."""
    try:
        return _read(path.name.removesuffix(SUFFIX), fields)
    except KeyError as error:
        raise InputError(f"{path}: {error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a block with its state: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(name: str, fields: dict[str, Any]) -> RealBlock:
    blobs = fields["blobSchedule"]
    schedule = blobs and BlobSchedule(blobs["target"], blobs["max"], blobs["baseFeeUpdateFraction"])
    activation = Activation(Fork.from_name(fields["fork"]), block=0, timestamp=0, blob_schedule=schedule)
    alloc = {
        to_address(address, "preState"): Account(
            nonce=to_uint(account["nonce"], "nonce"),
            balance=to_uint(account["balance"], "balance"),
            # Unknown code is never read.
            code=to_bytes(account["code"] or b"", "code"),
            storage={
                to_uint(slot, "storage slot"): to_uint(value, "storage value")
                for slot, value in account["storage"].items()
            },
        )
        for address, account in fields["preState"].items()
    }
    return RealBlock(
        name=name,
        chain=ChainConfig(to_uint(fields["chainId"], "chainId"), (activation,)),
        block=Block.from_json(fields["block"]),
        alloc=alloc,
        block_hashes={
            to_uint(number, "blockHashes"): to_hash(h, "blockHashes") for number, h in fields["blockHashes"].items()
        },
        receipts=tuple(fields["receipts"]),
    )


def paths(directory: Path) -> list[Path]:
    """The block files of a directory by block number, or the one file. Raises InputError where there is none."""
    if directory.is_file():
        return [directory]
    if not directory.is_dir():
        raise InputError(f"{directory}: not a directory, nor a file")
    found = sorted(directory.glob(f"*{SUFFIX}"), key=lambda path: (len(path.name), path.name))
    if not found:
        raise InputError(f"{directory}: no *{SUFFIX} in it")
    return found


def difference(expected: Sequence[dict[str, Any]], given: Sequence[Receipt]) -> str | None:
    """The first thing in which receipts differ from those of the file, in words; None if nothing."""
    if len(expected) != len(given):
        return f"{len(expected)} receipts expected, got {len(given)}"
    for index, (want, have) in enumerate(zip(expected, given, strict=True)):
        pairs = {
            "gasUsed": (to_uint(want["gasUsed"], "gasUsed"), have.gas_used),
            "cumulativeGasUsed": (to_uint(want["cumulativeGasUsed"], "cumulativeGasUsed"), have.cumulative_gas_used),
            "status": (None if want["status"] is None else to_uint(want["status"], "status"), have.status),
            "logsBloom": (want["logsBloom"], "0x" + have.bloom.hex()),
            "logs": (
                [(log["address"], log["topics"], log["data"]) for log in want["logs"]],
                [
                    ("0x" + log.address.hex(), ["0x" + topic.hex() for topic in log.topics], "0x" + log.data.hex())
                    for log in have.logs
                ],
            ),
        }
        for field, (wanted, got) in pairs.items():
            if wanted != got:
                return f"transaction {index}: {field}: {wanted} expected, got {got}"
    return None
