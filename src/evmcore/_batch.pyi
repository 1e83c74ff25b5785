class Batch:
    """Calls with the same settings. For compiled code; made by `EVM.call_many`."""
