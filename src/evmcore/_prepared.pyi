from evmcore.transactions import Transaction

class PreparedTransaction:
    """A `Transaction` as native code needs it: numbers converted, authorities recovered. Immutable."""

    def __init__(self, transaction: Transaction, sender: bytes | None = None) -> None:
        """`sender` (20 bytes) replaces the transaction's own. `InputError` for numbers that do not fit."""

    @property
    def transaction(self) -> Transaction: ...

def intrinsic_gas_of(transaction: Transaction, revision: int) -> tuple[int, int]:
    """(intrinsic gas, EIP-7623 floor or 0) under rule set `revision` (`Fork.revision`)."""
