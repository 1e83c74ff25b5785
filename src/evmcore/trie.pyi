from collections.abc import Iterable, Mapping

def root_of(items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]], secure: bool = False) -> bytes:
    """The 32-byte root of the Merkle-Patricia trie with these keys and values.

    The last of several values for a key counts; an empty value removes the key. `secure`: keys are hashed first, as in
    the state and storage tries; else they have at most 64 bytes. Raises InputError for keys or values that are no bytes
    or are too long.
    """

def ordered_root(values: Iterable[bytes], threads: int = 1) -> bytes:
    """The 32-byte root of a list: of the encoded transactions, receipts or withdrawals of a block.

    The keys are the RLP encodings of the indices. `threads`: native threads that may hash. Raises InputError for a
    value that is not bytes, or is empty.
    """

def proof(
    items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]], key: bytes, secure: bool = False
) -> list[bytes]:
    """The RLP of the nodes from the root to where `key` is, or to where it would be, as eth_getProof gives them.

    Nodes shorter than 32 bytes are inside their parents. The empty trie has an empty proof. Items as for `root_of`.
    """
