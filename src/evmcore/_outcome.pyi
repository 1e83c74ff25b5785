from evmcore._results import TransactionResult
from evmcore.access_lists import BlockAccessList
from evmcore.types import Receipt

class CommittedTransaction(TransactionResult):
    """The outcome of a transaction of a block: what a `TransactionResult` tells, but its `diff` is None (the block has
    one for all), its `index` in the block, its `receipt`, and its `accesses`."""

    index: int
    @property
    def receipt(self) -> Receipt:
        """The `Receipt`; made when asked for."""

    @property
    def accesses(self) -> BlockAccessList | None:
        """What it accessed and changed, as a `BlockAccessList` of it alone (EIP-7928; its place in the block is
        ``index + 1``), made each time that it is asked for. None unless ``accesses`` or ``access_list=True`` was given.
        `BlockAccessList.joined` puts those of all parts of a block together."""
