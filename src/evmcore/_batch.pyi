class Batch:
    """Calls that share everything but what is in their jobs. For compiled code; made by `EVM.call_many`."""
