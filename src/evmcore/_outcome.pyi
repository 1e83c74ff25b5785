from evmcore._results import TransactionResult
from evmcore.types import Receipt

class CommittedTransaction(TransactionResult):
    """The outcome of a transaction of a block: what a `TransactionResult` tells, but its `diff` is None (the block has
    one for all), its `index` in the block, and its `receipt`."""

    index: int
    @property
    def receipt(self) -> Receipt:
        """The `Receipt`; made when asked for."""
