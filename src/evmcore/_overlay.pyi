class Overlay:
    """The overrides of a call, checked and sorted. For compiled code; made by `EVM.call` and similar methods."""

def account_fields(override: object, name: str) -> dict[str, object]:
    """An override (an `Account`, or a mapping of eth_call field names) as a dict of these names, without None."""
