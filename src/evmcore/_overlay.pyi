class Overlay:
    """The overrides of a call, checked and sorted. For compiled code; made by `EVM.call` and its like."""
