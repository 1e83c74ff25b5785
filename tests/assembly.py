"""Programs for the tests, written as mnemonics."""

from __future__ import annotations

from evmcore.ops.table import BY_NAME


def assemble(text: str) -> bytes:
    """Bytecode from mnemonics and numbers: a number (decimal or 0x) is pushed by the shortest PUSH that holds it, and
    `name:` is a JUMPDEST whose offset `@name` pushes (two bytes)."""
    code = bytearray()
    labels: dict[str, int] = {}
    uses: list[tuple[int, str]] = []
    for word in text.split():
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(0x5B)
        elif word.startswith("@"):
            uses.append((len(code) + 1, word[1:]))
            code += b"\x61\x00\x00"
        elif word[0].isdigit():
            value = int(word, 0)
            size = max(1, (value.bit_length() + 7) // 8)
            code += bytes([0x5F + size]) + value.to_bytes(size, "big")
        else:
            code.append(BY_NAME[word].number)
    for at, name in uses:
        code[at : at + 2] = labels[name].to_bytes(2, "big")
    return bytes(code)


def returning(*words: str) -> bytes:
    """A program that returns the given expressions, each one word left on the stack."""
    text = " ".join(f"{word} {32 * i} MSTORE" for i, word in enumerate(words))
    return assemble(f"{text} {32 * len(words)} 0 RETURN")


def deploying(code: bytes) -> bytes:
    """Init code that leaves `code` as the contract."""
    size = len(code).to_bytes(2, "big")
    # PUSH2 size, PUSH1 14, PUSH1 0, CODECOPY, PUSH2 size, PUSH1 0, RETURN
    return b"\x61" + size + bytes.fromhex("600e600039") + b"\x61" + size + bytes.fromhex("6000f3") + code
