from evmcore.access_lists import BlockAccessList

class AccessRecord:
    """What a block's execution accessed and changed, part by part.

    Part 0 comes before the transactions, 1 to n are the transactions, n + 1 comes after them.
    """

    @property
    def access_list(self) -> BlockAccessList:
        """The list of the whole block."""

    def part(self, index: int) -> BlockAccessList:
        """What one part accessed and changed, as a list of that part alone."""
