"""The precompiled contracts, one call at a time, for tests and tools."""

def run(number: int, revision: int, data: bytes, gas: int) -> tuple[bool, int, bytes]:
    """Run precompile `number` under the rules of `revision` (see `evmcore._rules.Revision`).

    Returns success, the gas left of `gas`, and the output; failure leaves no gas and no output. Raises InputError where
    the revision has no such precompile or an argument is of a wrong type or range, and ResourceError where the machine
    lacks the memory or the library that the precompile needs.
    """

def number_at(address: bytes, revision: int) -> int:
    """The number of the precompile at a 20-byte address under the rules of `revision`; 0 if there is none."""

def blst_unavailable() -> str | None:
    """The reason why precompiles 0x0a to 0x11 cannot be run in this installation; None if they can."""

def sha256_without_extensions(data: bytes) -> bytes:
    """SHA-256 computed without the processor's SHA instructions, for tests."""
