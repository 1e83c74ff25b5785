from evmcore._block_result import BlockResult
from evmcore._block_run import Executor
from evmcore.block_request import BlockRequest

def execute(request: BlockRequest, executor: Executor = ...) -> BlockResult:
    """Executes a block on the state after its parent, by `executor`, whatever `threads` the request has; sequentially
    by default. Raises `InvalidBlock`; the state is then unchanged."""
