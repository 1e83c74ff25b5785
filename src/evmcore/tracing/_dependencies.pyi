from evmcore.tracing._hooks import Tracer

class DependencyTracer(Tracer):
    """Pass to `execute_block` as `tracer`: how long each transaction took, and the longest chain of those that touch
    a storage slot which the one before changed. The interpreter runs at full speed meanwhile.

    `times`: nanoseconds of each transaction; `critical_path`: nanoseconds of the chain that took longest, below which
    no number of cores gets if every transaction waits for the values it touches. Balances are left out: most of them
    are only added to.
    """

    times: list[int]
    critical_path: int
    def __init__(self) -> None: ...
