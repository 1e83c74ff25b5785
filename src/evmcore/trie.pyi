from collections.abc import Iterable, Mapping

def root_of(items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]], secure: bool = False) -> bytes:
    """The 32-byte root of the Merkle-Patricia trie with these keys and values.

    If a key has several values, the last one counts; an empty value removes the key. `secure`: keys are hashed first,
    as in the state and storage tries; without it keys have at most 64 bytes. Raises `InputError` for keys or values
    that are not bytes or are too long.
    """

def ordered_root(values: Iterable[bytes], threads: int = 1) -> bytes:
    """The 32-byte root of a list, as of the encoded transactions, receipts or withdrawals of a block.

    The keys are the RLP encodings of the indices. `threads`: the maximum number of native threads that hash. Raises
    `InputError` for a value that is not bytes, or is empty.
    """

def proof(
    items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]], key: bytes, secure: bool = False
) -> list[bytes]:
    """The RLP of the nodes from the root to `key`, or to where `key` would be, as in eth_getProof.

    Nodes shorter than 32 bytes are inside their parents. The empty trie has an empty proof. Items as for `root_of`.
    """
