from evmcore._access import AccessRecord
from evmcore._diff import StateDiff
from evmcore._results import TransactionResult
from evmcore.access_lists import BlockAccessList
from evmcore.block_request import BlockRequest
from evmcore.blocks import Block
from evmcore.counters import ParallelCounters
from evmcore.forks import Fork
from evmcore.types import Receipt

class BlockResult:
    """What executing a block gave. Receipts, logs and roots are made when asked for."""

    block: Block
    fork: Fork
    diff: StateDiff
    requests: list[bytes] | None
    @property
    def access_list(self) -> BlockAccessList | None: ...
    @property
    def accesses(self) -> AccessRecord | None: ...
    @property
    def parallel(self) -> ParallelCounters:
        """How the transactions were executed."""

    @property
    def gas_used(self) -> int: ...
    @property
    def blob_gas_used(self) -> int: ...
    @property
    def logs_bloom(self) -> bytes: ...
    @property
    def requests_hash(self) -> bytes | None: ...
    @property
    def receipts(self) -> tuple[Receipt, ...]: ...
    @property
    def transactions(self) -> tuple[TransactionResult, ...]: ...
    def encoded_receipts(self) -> list[bytes] | None:
        """The receipts as the receipts trie holds them; None before Byzantium when the state roots are not known."""

    @property
    def receipts_root(self) -> bytes | None: ...
    def state_root(self) -> bytes:
        """Root of the state after the block. `StateError` where the backend cannot compute one."""

class Executor:
    """Executes a block's transactions one after the other; the base of other ways to do it."""

def execute(request: BlockRequest, executor: Executor = ...) -> BlockResult:
    """Executes a block on the state after its parent, by ``executor`` whatever threads the request asks for; without
    one, sequentially. Raises `InvalidBlock`; the state is then as before."""
