from evmcore.access_lists import BlockAccessList

class AccessRecord:
    """The accesses and changes of a block's execution, part by part.

    Part 0 comes before the transactions, 1 to n are the transactions, n + 1 comes after them.
    """

    @property
    def access_list(self) -> BlockAccessList:
        """The list of the whole block."""

    def part(self, index: int) -> BlockAccessList:
        """The list of one part alone."""
