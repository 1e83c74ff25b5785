from evmcore._results import TransactionResult
from evmcore.access_lists import BlockAccessList
from evmcore.types import Receipt

class CommittedTransaction(TransactionResult):
    """The outcome of a transaction of a block: the fields of `TransactionResult`, and more.

    `index`: its index in the block, from 0. `receipt` and `accesses`: see there. `diff` is None, because the block has
    one diff for all transactions. `gas_used` is the gas that the sender paid for, refunds subtracted. A transaction
    from `execute_block_stream` is final, but the block may still turn out to be invalid. It stays valid when the stream
    has ended.
    """

    index: int
    @property
    def receipt(self) -> Receipt:
        """The `Receipt`, made on each access."""

    @property
    def accesses(self) -> BlockAccessList | None:
        """The accesses and changes of this transaction alone, as a `BlockAccessList` (EIP-7928; the transaction's index
        there is `index + 1`), made on each access. None unless `accesses` or `access_list=True` was given.
        `BlockAccessList.joined` joins the lists of all parts of a block."""
