from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evmcore._results import CallResult, TransactionResult
from evmcore._time_limit import TimeLimit
from evmcore.estimates import AccessEstimate, GasEstimate
from evmcore.forks import ChainConfig, Fork
from evmcore.state import Backend, State
from evmcore.threads import Threads
from evmcore.tracing import Tracer
from evmcore.transactions import Transaction
from evmcore.types import Account, BlockEnv, BytesLike, FixedLike

_Number = int | str
_Overrides = Mapping[Any, Account | Mapping[str, Any]]

class EVM:
    """Answers calls and runs transactions on `state`, as if in `block`, by the rules of `fork`.

    - `state`: a `MemoryState`, a `State` of your own, or a geth-style alloc for a new `MemoryState`.
    - `fork`: a `Fork` or its name; or a chain (`ChainConfig`, "mainnet", ...), of which the fork at `block` is used.
    - `block`: the block environment that code sees, and the gas limit of transactions; by default an empty `BlockEnv`.
    - `chain_id`: for CHAINID and signatures; by default the chain's own, 1 for a fork.
    - `unlimited_code_size`: lifts the limits of EIP-170 and EIP-3860, as development chains do.
    - `switch_dispatch`: runs the interpreter's switch build, which is slower (for debugging; same results).

    Raises `InputError` for a bad argument. An EVM is immutable; any number of threads may use it at once.
    """

    def __init__(
        self,
        state: Backend | State | Mapping[Any, Any],
        fork: Fork | ChainConfig | str = "osaka",
        block: BlockEnv | None = None,
        chain_id: _Number | None = None,
        *,
        unlimited_code_size: bool = False,
        switch_dispatch: bool = False,
    ) -> None: ...
    @property
    def state(self) -> Any:
        """The state as it was given; if an alloc was given, the `MemoryState` made from it."""

    @property
    def fork(self) -> Fork: ...
    @property
    def block(self) -> BlockEnv: ...
    @property
    def chain_id(self) -> int: ...
    def with_block(self, block: BlockEnv | Mapping[str, Any]) -> EVM:
        """The same EVM in another block; the fork stays."""

    def call(
        self,
        to: FixedLike | None,
        data: BytesLike = b"",
        *,
        sender: FixedLike | None = None,
        value: _Number = 0,
        gas: _Number | None = None,
        gas_price: _Number = 0,
        access_list: Sequence[Any] = (),
        blob_hashes: Sequence[Any] = (),
        authorization_list: Sequence[Any] = (),
        overrides: _Overrides | None = None,
        block: BlockEnv | Mapping[str, Any] | None = None,
        precompile_moves: Mapping[Any, Any] | None = None,
        timeout: float | TimeLimit | None = None,
        tracer: Tracer | None = None,
    ) -> CallResult:
        """Run an unsigned transaction and return its outcome (eth_call); the state stays unchanged."""

    def message(
        self,
        to: FixedLike | None,
        data: BytesLike = b"",
        *,
        sender: FixedLike | None = None,
        value: _Number = 0,
        gas: _Number | None = None,
        gas_price: _Number = 0,
        code: BytesLike | None = None,
        is_static: bool = False,
        overrides: _Overrides | None = None,
        timeout: float | TimeLimit | None = None,
        tracer: Tracer | None = None,
    ) -> CallResult:
        """Run one message call or creation by itself, without intrinsic gas; the state stays unchanged."""

    def call_many(
        self,
        calls: Iterable[Any],
        *,
        threads: Threads = None,
        overrides: _Overrides | None = None,
        block: BlockEnv | Mapping[str, Any] | None = None,
        timeout: float | TimeLimit | None = None,
    ) -> list[CallResult]:
        """Run many calls on native threads without the GIL; each call runs independently on the current state."""

    def estimate_gas(self, to: FixedLike | None, data: BytesLike = b"", **arguments: Any) -> GasEstimate:
        """The least gas limit with which a call succeeds."""

    def create_access_list(self, to: FixedLike | None, data: BytesLike = b"", **arguments: Any) -> AccessEstimate:
        """The accounts and slots that a call accesses, as an access list (EIP-2930)."""

    def transact(
        self,
        tx: Transaction | BytesLike,
        *,
        timeout: float | TimeLimit | None = None,
        tracer: Tracer | None = None,
    ) -> TransactionResult:
        """Run a transaction with all checks and apply it to the state."""

    def deploy(
        self,
        init_code: BytesLike,
        *,
        sender: FixedLike | None = None,
        value: _Number = 0,
        gas: _Number | None = None,
        timeout: float | TimeLimit | None = None,
        tracer: Tracer | None = None,
    ) -> TransactionResult:
        """Create a contract by running init code, and apply the creation to the state."""

    def snapshot(self) -> int:
        """Remember the current state; returns the snapshot to pass to `revert`."""

    def revert(self, snapshot: int) -> None:
        """Restore the state of `snapshot`."""
