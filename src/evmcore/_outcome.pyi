from evmcore._results import TransactionResult
from evmcore.access_lists import BlockAccessList
from evmcore.types import Receipt

class CommittedTransaction(TransactionResult):
    """The outcome of a transaction of a block: what a `TransactionResult` tells, and besides:

    `index`: its place in the block, from 0. `receipt` and `accesses`: see there. `diff` is None: the block has one for
    all. `gas_used` is what its sender paid for, in gas, refunds subtracted. One of `execute_block_stream` is final, but
    the block may still turn out to be invalid. It stays valid when the stream has ended.
    """

    index: int
    @property
    def receipt(self) -> Receipt:
        """The `Receipt`, made each time that it is asked for."""

    @property
    def accesses(self) -> BlockAccessList | None:
        """What it accessed and changed, as a `BlockAccessList` of it alone (EIP-7928; its place in the block is
        `index + 1`), made each time that it is asked for. None unless `accesses` or `access_list=True` was given.
        `BlockAccessList.joined` puts those of all parts of a block together."""
