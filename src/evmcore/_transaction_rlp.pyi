def read_transaction(transaction: object, data: bytes) -> bool:
    """Gives a `Transaction` that was made without its fields those that `data`, its canonical encoding, has.

    False, with the transaction as it was, for types other than 0 to 3, and for anything that is not the canonical
    encoding of one: `transaction_rlp.decode_fields` then says what is wrong with it.
    """

def split_transactions(data: bytes) -> list[bytes] | None:
    """The canonical encodings of the transactions in a block's list of transactions; None if the list is malformed."""
