from collections.abc import Mapping
from typing import Any

from evmcore._block_result import BlockResult
from evmcore._diff import StateDiff
from evmcore._prepared import PreparedTransaction
from evmcore._results import TransactionResult
from evmcore._time_limit import TimeLimit
from evmcore.blocks import Block
from evmcore.forks import ChainConfig, Fork
from evmcore.state import Backend, State
from evmcore.tracing import Tracer
from evmcore.transactions import Transaction
from evmcore.types import Account

class Session:
    """A state on which transactions are run and blocks are made without changing it."""

    def __init__(
        self,
        state: Backend | State,
        chain: ChainConfig | Fork | str = "mainnet",
        *,
        timeout: float | TimeLimit | None = None,
    ) -> None: ...
    def account(self, address: bytes | str | int) -> tuple[int, int]:
        """(nonce, balance in wei) of an account as the session sees it."""

    def code(self, address: bytes | str | int) -> bytes:
        """The code of an account as the session sees it."""

    def diff(self) -> StateDiff:
        """All changes made by the session, as a diff against the state."""

    def state_root(self) -> bytes:
        """The state root with all changes of the session. `StateError` if the backend cannot compute a root."""

    def override(self, overrides: Mapping[Any, Account | Mapping[str, Any]]) -> None:
        """Changes accounts between blocks."""

    def move_precompiles(self, moves: Mapping[bytes, bytes | None]) -> None:
        """Moves precompiles to other addresses, None for nowhere, until the next call of this method."""

    def begin_block(
        self,
        block: Block,
        *,
        fork: Fork | str | None = None,
        block_hashes: Mapping[int, bytes] | None = None,
        blob_base_fee: int | None = None,
        reward: int | None = None,
        lax_requests: bool = False,
        system_calls: bool = True,
    ) -> None:
        """Begins a block and runs the system calls."""

    @property
    def gas_left(self) -> int: ...
    @property
    def logs_seen(self) -> int: ...
    @property
    def blob_gas_used(self) -> int: ...
    def run(
        self,
        tx: Transaction | PreparedTransaction | bytes | str,
        *,
        nonce: bool = True,
        fees: bool = True,
        blob_fee: bool = True,
        eoa: bool = True,
        gas_cap: bool = True,
        blob_limit: bool = True,
        show_transfers: bool = False,
        tracer: Tracer | None = None,
    ) -> TransactionResult:
        """Runs a transaction as the block's next one. Raises `InvalidTransaction`; the block is then unchanged."""

    def end_block(self, block: Block) -> BlockResult:
        """Ends the block: withdrawals or rewards, requests. Raises `InvalidBlock`."""
