from collections.abc import Iterable

from evmcore.forks import Fork
from evmcore.transactions import Transaction

def recover_senders(
    transactions: Iterable[Transaction], threads: int = 1, fork: Fork | str | None = None
) -> list[bytes]:
    """The 20-byte addresses that signed, in order, by the rules of `fork` or of the newest one.

    What was signed is hashed, and the signatures are recovered, on up to `threads` native threads without the GIL.
    Raises what `Transaction.recover_sender` raises for the first transaction whose signature is not valid.
    """
