"""All static facts about every opcode, as data: the one table for handlers, dispatch, disassembly and traces.

`gas` is the part that depends neither on operands nor on state nor on the fork. Opcodes priced by what they access
(SLOAD, CALL, BALANCE, ...) have 0 here; their bodies charge the fork's prices in `ops/prices.pxi`.

Shapes define how a body is called; `generate.py` writes one handler per opcode and shape:

========  =================================================================================================
shape     body
========  =================================================================================================
pure      `void op(u256* sp)`: operands to result, on the stack
frame     `void op(u256* sp, Frame* f)`: also reads the frame; cannot fail
gas       `int64_t op(u256* sp, int64_t gas, Frame* f)`: the gas left, or -1 with `f.status` set
memory    `void op(u256* sp, Frame* f)`, once memory holds `argument` bytes at the offset on top of the stack
jump      JUMP, JUMPI: written out by the generator
halt      `Status op(u256* sp, int64_t gas, Frame* f)`: ends the frame, sets `f.gas`
call      like gas; may start a callee: then `f.machine` has a new top frame and the handler returns to the driver
push      PUSH0 to PUSH32: the value follows in the code
stack     DUP1 to DUP16, SWAP1 to SWAP16, POP, JUMPDEST, PC: written out by the generator
========  =================================================================================================

"""

from __future__ import annotations

from dataclasses import dataclass, field

(
    FRONTIER,
    HOMESTEAD,
    TANGERINE_WHISTLE,
    SPURIOUS_DRAGON,
    BYZANTIUM,
    CONSTANTINOPLE,
    PETERSBURG,
    ISTANBUL,
    BERLIN,
    LONDON,
    PARIS,
    SHANGHAI,
    CANCUN,
    PRAGUE,
    OSAKA,
) = range(15)
REVISIONS = 15


@dataclass(frozen=True)
class Op:
    number: int
    name: str
    takes: int
    gives: int
    gas: int
    shape: str
    since: int = FRONTIER
    body: str = field(default="")
    argument: int | None = None

    @property
    def function(self) -> str:
        return f"op_{self.body or self.name.lower()}"


def _ops() -> list[Op]:
    ops = [
        Op(0x00, "STOP", 0, 0, 0, "halt"),
        Op(0x01, "ADD", 2, 1, 3, "pure"),
        Op(0x02, "MUL", 2, 1, 5, "pure"),
        Op(0x03, "SUB", 2, 1, 3, "pure"),
        Op(0x04, "DIV", 2, 1, 5, "pure"),
        Op(0x05, "SDIV", 2, 1, 5, "pure"),
        Op(0x06, "MOD", 2, 1, 5, "pure"),
        Op(0x07, "SMOD", 2, 1, 5, "pure"),
        Op(0x08, "ADDMOD", 3, 1, 8, "pure"),
        Op(0x09, "MULMOD", 3, 1, 8, "pure"),
        Op(0x0A, "EXP", 2, 1, 10, "gas"),
        Op(0x0B, "SIGNEXTEND", 2, 1, 5, "pure"),
        Op(0x10, "LT", 2, 1, 3, "pure"),
        Op(0x11, "GT", 2, 1, 3, "pure"),
        Op(0x12, "SLT", 2, 1, 3, "pure"),
        Op(0x13, "SGT", 2, 1, 3, "pure"),
        Op(0x14, "EQ", 2, 1, 3, "pure"),
        Op(0x15, "ISZERO", 1, 1, 3, "pure"),
        Op(0x16, "AND", 2, 1, 3, "pure"),
        Op(0x17, "OR", 2, 1, 3, "pure"),
        Op(0x18, "XOR", 2, 1, 3, "pure"),
        Op(0x19, "NOT", 1, 1, 3, "pure"),
        Op(0x1A, "BYTE", 2, 1, 3, "pure"),
        Op(0x1B, "SHL", 2, 1, 3, "pure", CONSTANTINOPLE),
        Op(0x1C, "SHR", 2, 1, 3, "pure", CONSTANTINOPLE),
        Op(0x1D, "SAR", 2, 1, 3, "pure", CONSTANTINOPLE),
        Op(0x1E, "CLZ", 1, 1, 5, "pure", OSAKA),
        Op(0x20, "KECCAK256", 2, 1, 30, "gas"),
        Op(0x30, "ADDRESS", 0, 1, 2, "frame"),
        Op(0x31, "BALANCE", 1, 1, 0, "gas"),
        Op(0x32, "ORIGIN", 0, 1, 2, "frame"),
        Op(0x33, "CALLER", 0, 1, 2, "frame"),
        Op(0x34, "CALLVALUE", 0, 1, 2, "frame"),
        Op(0x35, "CALLDATALOAD", 1, 1, 3, "frame"),
        Op(0x36, "CALLDATASIZE", 0, 1, 2, "frame"),
        Op(0x37, "CALLDATACOPY", 3, 0, 3, "gas"),
        Op(0x38, "CODESIZE", 0, 1, 2, "frame"),
        Op(0x39, "CODECOPY", 3, 0, 3, "gas"),
        Op(0x3A, "GASPRICE", 0, 1, 2, "frame"),
        Op(0x3B, "EXTCODESIZE", 1, 1, 0, "gas"),
        Op(0x3C, "EXTCODECOPY", 4, 0, 0, "gas"),
        Op(0x3D, "RETURNDATASIZE", 0, 1, 2, "frame", BYZANTIUM),
        Op(0x3E, "RETURNDATACOPY", 3, 0, 3, "gas", BYZANTIUM),
        Op(0x3F, "EXTCODEHASH", 1, 1, 0, "gas", CONSTANTINOPLE),
        Op(0x40, "BLOCKHASH", 1, 1, 20, "gas"),
        Op(0x41, "COINBASE", 0, 1, 2, "frame"),
        Op(0x42, "TIMESTAMP", 0, 1, 2, "frame"),
        Op(0x43, "NUMBER", 0, 1, 2, "frame"),
        Op(0x44, "PREVRANDAO", 0, 1, 2, "frame"),
        Op(0x45, "GASLIMIT", 0, 1, 2, "frame"),
        Op(0x46, "CHAINID", 0, 1, 2, "frame", ISTANBUL),
        Op(0x47, "SELFBALANCE", 0, 1, 5, "frame", ISTANBUL),
        Op(0x48, "BASEFEE", 0, 1, 2, "frame", LONDON),
        Op(0x49, "BLOBHASH", 1, 1, 3, "frame", CANCUN),
        Op(0x4A, "BLOBBASEFEE", 0, 1, 2, "frame", CANCUN),
        Op(0x50, "POP", 1, 0, 2, "stack"),
        Op(0x51, "MLOAD", 1, 1, 3, "memory", argument=32),
        Op(0x52, "MSTORE", 2, 0, 3, "memory", argument=32),
        Op(0x53, "MSTORE8", 2, 0, 3, "memory", argument=1),
        Op(0x54, "SLOAD", 1, 1, 0, "gas"),
        Op(0x55, "SSTORE", 2, 0, 0, "gas"),
        Op(0x56, "JUMP", 1, 0, 8, "jump"),
        Op(0x57, "JUMPI", 2, 0, 10, "jump"),
        Op(0x58, "PC", 0, 1, 2, "stack"),
        Op(0x59, "MSIZE", 0, 1, 2, "frame"),
        Op(0x5A, "GAS", 0, 1, 2, "gas"),
        Op(0x5B, "JUMPDEST", 0, 0, 1, "stack"),
        Op(0x5C, "TLOAD", 1, 1, 100, "frame", CANCUN),
        Op(0x5D, "TSTORE", 2, 0, 100, "gas", CANCUN),
        Op(0x5E, "MCOPY", 3, 0, 3, "gas", CANCUN),
        Op(0x5F, "PUSH0", 0, 1, 2, "push", SHANGHAI, argument=0),
        Op(0xF0, "CREATE", 3, 1, 32000, "call"),
        Op(0xF1, "CALL", 7, 1, 0, "call"),
        Op(0xF2, "CALLCODE", 7, 1, 0, "call"),
        Op(0xF3, "RETURN", 2, 0, 0, "halt"),
        Op(0xF4, "DELEGATECALL", 6, 1, 0, "call", HOMESTEAD),
        Op(0xF5, "CREATE2", 4, 1, 32000, "call", CONSTANTINOPLE),
        Op(0xFA, "STATICCALL", 6, 1, 0, "call", BYZANTIUM),
        Op(0xFD, "REVERT", 2, 0, 0, "halt", BYZANTIUM),
        Op(0xFE, "INVALID", 0, 0, 0, "halt"),
        Op(0xFF, "SELFDESTRUCT", 1, 0, 0, "halt"),
    ]
    ops += [Op(0x5F + n, f"PUSH{n}", 0, 1, 3, "push", argument=n) for n in range(1, 33)]
    ops += [Op(0x7F + n, f"DUP{n}", n, n + 1, 3, "stack", argument=n) for n in range(1, 17)]
    ops += [Op(0x8F + n, f"SWAP{n}", n + 1, n + 1, 3, "stack", argument=n) for n in range(1, 17)]
    ops += [Op(0xA0 + n, f"LOG{n}", n + 2, 0, 0, "gas", body="log", argument=n) for n in range(5)]
    return sorted(ops, key=lambda op: op.number)


OPS = _ops()
BY_NUMBER = {op.number: op for op in OPS}
BY_NAME = {op.name: op for op in OPS}


def name_of(number: int, revision: int = OSAKA) -> str:
    """The mnemonic of an opcode byte at a revision; if there is none, geth's text `opcode 0x.. not defined`."""
    op = BY_NUMBER.get(number)
    if op is None or op.since > revision:
        return f"opcode 0x{number:x} not defined"
    if op.name == "PREVRANDAO" and revision < PARIS:
        return "DIFFICULTY"
    return op.name
