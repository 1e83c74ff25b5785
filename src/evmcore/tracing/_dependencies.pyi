from evmcore.tracing._hooks import Tracer

class DependencyTracer(Tracer):
    """Pass to `execute_block` as `tracer`: measures each transaction, and the longest chain of transactions of which
    each accesses a storage slot that the one before changed. The interpreter runs at full speed meanwhile.

    `times`: nanoseconds of each transaction. `critical_path`: nanoseconds of the slowest chain, a lower bound for any
    number of cores if every transaction waits for the values it accesses. Balances are left out, because most of them
    are only added to.
    """

    times: list[int]
    critical_path: int
    def __init__(self) -> None: ...
