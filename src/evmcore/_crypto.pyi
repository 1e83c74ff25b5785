"""secp256k1 keys and signatures as Ethereum uses them."""

def recover_address(digest: bytes, r: int, s: int, parity: int) -> bytes | None:
    """The 20-byte address whose key signed the 32-byte `digest`; None where there is none.

    `parity` is 0 or 1 (the y parity of typed transactions, v - 27 of legacy ones). High `s` values are accepted: EIP-2
    is the caller's rule. Raises InputError for a wrong type, length or range.
    """

def sign(digest: bytes, private_key: bytes) -> tuple[int, int, int]:
    """(r, s, parity) of the deterministic (RFC 6979), low-s signature of a 32-byte digest by a 32-byte key."""

def address_of(private_key: bytes) -> bytes:
    """The 20-byte address of a 32-byte private key. Raises InputError if the key is zero or not below the group
    order."""
