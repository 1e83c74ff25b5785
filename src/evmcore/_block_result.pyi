from evmcore._access_record import AccessRecord
from evmcore._diff import StateDiff
from evmcore._outcome import CommittedTransaction
from evmcore.access_lists import BlockAccessList
from evmcore.blocks import Block
from evmcore.counters import ParallelCounters
from evmcore.forks import ChainConfig, Fork
from evmcore.state import Backend
from evmcore.types import Receipt

class BlockResult:
    """The result of executing a block. Receipts, logs and roots are made on first access.

    `block` is the `Block`; `fork` is the `Fork` it was executed under. `gas_used` and `blob_gas_used` are in gas,
    `logs_bloom` has 256 bytes, `diff` is the `StateDiff` against the state before the block. `requests` lists the
    block's requests (EIP-7685; type byte and data), None before Prague.
    """

    block: Block
    fork: Fork
    diff: StateDiff
    requests: list[bytes] | None
    @property
    def access_list(self) -> BlockAccessList | None:
        """The block's `BlockAccessList` (EIP-7928): the list it was executed with, or the list recorded for
        `access_list=True`; else None."""

    @property
    def accesses(self) -> AccessRecord | None:
        """The `AccessRecord` of what each part of the block accessed; None unless `accesses` or `access_list=True`
        requested it."""

    @property
    def parallel(self) -> ParallelCounters:
        """How the transactions were executed, `ParallelCounters`."""

    @property
    def gas_used(self) -> int:
        """Gas used by all transactions, after refunds."""

    @property
    def blob_gas_used(self) -> int:
        """Blob gas of all transactions (EIP-4844)."""

    @property
    def logs_bloom(self) -> bytes:
        """The bloom of all logs, 256 bytes."""

    @property
    def requests_hash(self) -> bytes | None:
        """The 32-byte hash of the requests (EIP-7685), None before Prague."""

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """One `Receipt` per transaction."""

    @property
    def transactions(self) -> tuple[CommittedTransaction, ...]:
        """One `CommittedTransaction` per transaction."""

    def encoded_receipts(self) -> list[bytes] | None:
        """The receipts as encoded in the receipts trie; None before Byzantium if the state roots after each transaction
        are not known."""

    @property
    def receipts_root(self) -> bytes | None:
        """The 32-byte root of the receipts trie; None as in `encoded_receipts`."""

    def state_root(self) -> bytes:
        """The 32-byte root of the state after the block. The state must still be the state before the block or, after
        `commit=True`, the state after it. Raises `StateError` if the backend cannot compute a root."""

def genesis_result(block: Block, chain: ChainConfig, fork: Fork, state: Backend) -> BlockResult:
    """The result of a genesis block, which is not executed: no gas, no receipts, no changes. `state` is the state after
    the genesis block."""
