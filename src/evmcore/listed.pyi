from evmcore._block_run import Executor
from evmcore.access_lists import BlockAccessList
from evmcore.threads import Threads

class ListedExecutor(Executor):
    """Executes one block with its access list given, on `threads` native threads. Every transaction runs once, by
    itself: it reads the state that the list gives for its place, and its changes are compared with the list.

    `limit_size`: the list may have at most one address or slot for every 2,000 gas of the block's limit, as the EIP
    says.
    """

    access_list: BlockAccessList
    threads: int
    delays: int
    """For tests: seed of delays at the points where threads meet; 0: none."""

    def __init__(
        self, access_list: BlockAccessList | bytes, threads: Threads = 1, limit_size: bool = False
    ) -> None: ...
