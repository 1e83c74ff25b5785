"""Writes handlers, dispatch tables and the switch build from the opcode table, before compilation.

The same bodies are built twice: with tail calls (one function per opcode, which jumps to the next one's through a
table, with code pointer, stack pointer and gas in registers), and as a plain switch, for tracing, sanitizers and
compilers without tail calls.
"""

from __future__ import annotations

from pathlib import Path

from .fusion import UNREACHED, Sequence, fuse_source, sequences, width
from .table import OPS, REVISIONS, Op

SIGNATURE = "cdef int {}(const uint8_t* pc, u256* sp, int64_t gas, Frame* f, const void* table) noexcept nogil:"
NEXT = "return (<const Handler*>table)[pc[0]](pc, sp, gas, f, table)"


def indent(lines: list[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]


def stack_guards(takes: int, growth: int) -> list[tuple[str, str]]:
    """(condition, failing status) pairs for code that takes `takes` words and grows the stack by up to `growth`."""
    guards = []
    if takes:
        guards.append((f"sp - {takes - 1} < f.bottom", "STACK_UNDERFLOW"))
    if growth == 1:
        guards.append(("sp >= f.last", "STACK_OVERFLOW"))
    elif growth > 1:
        guards.append((f"sp + {growth - 1} >= f.last", "STACK_OVERFLOW"))
    return guards


def move(op: Op) -> list[str]:
    delta = op.gives - op.takes
    return [f"sp {'+' if delta > 0 else '-'}= {abs(delta)}"] if delta else []


def action(op: Op) -> list[str]:
    """The action of an opcode after its checks, for every shape that continues with the next instruction."""
    n = op.argument
    if op.shape == "push":
        return [f"u_push{n}(sp + 1, pc + 1)", "sp += 1", f"pc += {width(op)}"]
    if op.name.startswith("DUP"):
        body = [f"u_copy(sp + 1, sp - {n - 1 if n else 0})"]
    elif op.name.startswith("SWAP"):
        body = [f"u_swap(sp, sp - {n})"]
    elif op.name == "PC":
        body = ["u_set64(sp + 1, <uint64_t>(pc - f.start))"]
    elif op.name in ("POP", "JUMPDEST"):
        body = []
    elif op.shape in ("frame", "memory"):
        body = [f"{op.function}(sp, f)"]
    elif op.shape == "pure":
        body = [f"{op.function}(sp)"]
    else:
        body = [f"gas = {op.function}(sp, gas, f{'' if n is None else f', {n}'})"]
    return [*body, *move(op), "pc += 1"]


def charge(gas: int) -> list[str]:
    return [f"gas -= {gas}", "if unlikely(gas < 0):", "    return OUT_OF_GAS"] if gas else []


def guard_lines(guards: list[tuple[str, str]]) -> list[str]:
    return [line for condition, status in guards for line in (f"if unlikely({condition}):", f"    return {status}")]


def tail_action(op: Op, height: int = 0, offset: int = 0, charged: int = 0) -> list[str]:
    """`action` with its failing exits. An instruction that finds too little memory is restarted after allocation:
    `height`, `offset` and `charged` say how far the handler has come."""
    if op.shape == "memory":
        start = ["f.pc = pc" + (f" - {offset}" if offset else ""), "f.sp = sp" + (f" - {height}" if height else "")]
        grow = f"return grow_memory_{op.argument}(pc, sp, gas + {charged or op.gas}, f, table)"
        check = f"if unlikely(not within_memory(sp, {op.argument}, f)):"
        return [check, *indent([*start, grow]), *action(op)]
    if op.shape in ("gas", "call"):
        body, *rest = action(op)
        return [body, "if unlikely(gas < 0):", "    return f.status", *rest]
    return action(op)


def go_to(target: str) -> list[str]:
    """Continues after the JUMPDEST at `target`, whose gas is charged here; polls now and then whether to stop."""
    return [
        *charge(1),
        f"to = f.start + {target} + 1",
        "if to <= pc:",
        "    f.polls -= 1",
        "    if unlikely(f.polls == 0):",
        "        return poll_and_go(to, sp, gas, f, table)",
        "pc = to",
        NEXT,
    ]


def dynamic_jump(op: Op) -> list[str]:
    """JUMP or JUMPI to the destination on top of the stack."""
    lines = ["if u_is_zero(sp - 1):", "    pc += 1", "    sp -= 2", f"    {NEXT}"] if op.name == "JUMPI" else []
    return [
        *lines,
        "if unlikely(not u_fits64(sp) or not is_jumpdest(f.code, sp.w[0])):",
        "    return INVALID_JUMP",
        *move(op),
        *go_to(f"(sp + {op.takes}).w[0]"),
    ]


def define(name: str, lines: list[str]) -> list[str]:
    if any("to = " in line for line in lines):
        lines = ["cdef const uint8_t* to", *lines]
    return [SIGNATURE.format(f"h_{name}"), *indent(lines), ""]


def tail_handler(op: Op) -> list[str]:
    lines = guard_lines(stack_guards(op.takes, op.gives - op.takes)) + charge(op.gas)
    if op.shape == "halt":
        lines.append(f"return {op.function}(sp, gas, f)")
    elif op.shape == "jump":
        lines += dynamic_jump(op)
    elif op.shape == "call":
        lines += tail_action(op)
        lines += ["if f.suspended:", "    f.pc = pc", "    f.sp = sp", "    f.gas = gas", "    return RUNNING", NEXT]
    else:
        lines += [*tail_action(op), NEXT]
    return define(op.name, lines)


def fused_handler(sequence: Sequence) -> list[str]:
    height = needs = peak = 0
    for op in sequence.ops:
        needs = max(needs, op.takes - height)
        height += op.gives - op.takes
        peak = max(peak, height)
    charged = sum(op.gas for op in sequence.ops)
    lines = guard_lines(stack_guards(needs, peak)) + charge(charged)
    height = offset = 0
    push = sequence.constant_target
    for op in sequence.ops[: -2 if push else -1 if sequence.jump else None]:
        lines += tail_action(op, height, offset, charged)
        height += op.gives - op.takes
        offset += width(op)
    if sequence.jump is None:
        return define(sequence.name, [*lines, NEXT])
    if push is None:
        return define(sequence.name, [*lines, *dynamic_jump(sequence.jump)])
    # The constant target is read from the code, never pushed.
    target = "pc[1]" if push.argument == 1 else "(<uint64_t>pc[1] << 8 | pc[2])"
    if sequence.jump.name == "JUMPI":
        lines += ["sp -= 1", "if u_is_zero(sp + 1):", f"    pc += {width(push) + 1}", f"    {NEXT}"]
    return define(sequence.name, [*lines, *go_to(target)])


def fill_handlers() -> list[str]:
    lines = [
        "cdef void fill_handlers() noexcept:",
        "    cdef int revision, number",
        f"    for revision in range({REVISIONS}):",
        "        for number in range(256):",
        "            HANDLERS[revision][number] = h_UNDEFINED",
    ]
    named = [(op.since, op.number, op.name) for op in OPS] + [(s.since, s.number, s.name) for s in sequences()]
    named.append((0, UNREACHED, "UNREACHED"))
    for since, number, name in named:
        entry = f"HANDLERS[revision][{number}] = h_{name}"
        lines += [f"        if revision >= {since}:", f"            {entry}"] if since else [f"        {entry}"]
    return [*lines, ""]


# The handlers of ops/symbolic.pxi by opcode. All other opcodes evaluate their operands.
TRACKED = {
    **dict.fromkeys(("LT", "GT", "SLT", "SGT", "EQ"), "t_compare"),
    **dict.fromkeys(("OR", "MUL", "DIV", "SHL", "SHR", "SAR"), "t_unchanged"),
    **{name: f"t_{name}" for name in ("ADD", "SUB", "ISZERO", "NOT", "AND", "POP", "JUMPI", "SLOAD", "SSTORE")},
}
WATCHED = {"SLOAD", "SSTORE", "PUSH1_SLOAD"}


def tracking_handler(op: Op) -> str:
    if op.name in TRACKED:
        return TRACKED[op.name]
    if op.shape == "stack" and op.name.startswith(("DUP", "SWAP")):
        return "t_DUP" if op.name.startswith("DUP") else "t_SWAP"
    if op.shape == "call":
        return "t_use_all"
    if op.takes == 0:
        return f"h_{op.name}"
    return "t_use"


def symbolic_source() -> str:
    """The code that fills the dispatch tables for symbols; see ops/symbolic.pxi, which needs a handler for every fused
    sequence that reads or writes storage."""
    lines = [
        "# Generated by ops/generate.py from ops/table.py.",
        "",
        "cdef void fill_symbolic() noexcept:",
        "    cdef int revision, number",
        f"    for revision in range({REVISIONS}):",
        "        for number in range(256):",
        "            WATCHING[revision][number] = HANDLERS[revision][number]",
        "            TRACKING[revision][number] = h_UNDEFINED",
    ]
    for op in OPS:
        entry = f"TRACKING[revision][{op.number}] = {tracking_handler(op)}"
        lines += [f"        if revision >= {op.since}:", f"            {entry}"] if op.since else [f"        {entry}"]
    parts = [(op.number, op.name, (op,)) for op in OPS] + [(s.number, s.name, s.ops) for s in sequences()]
    for number, name, ops in parts:
        if any(op.name in WATCHED for op in ops):
            assert name in WATCHED, name
            lines.append(f"        WATCHING[revision][{number}] = w_{name}")
    lines += [f"    OPERANDS[{op.number}] = {op.takes}" for op in OPS if tracking_handler(op) == "t_use"]
    return "\n".join([*lines, ""])


def switch_case(op: Op, keyword: str) -> list[str]:
    guards = [(f"f.machine.revision < {op.since}", "INVALID_OPCODE")] if op.since else []
    guards += stack_guards(op.takes, op.gives - op.takes)
    body: list[str]
    if op.shape == "halt":
        body = [f"status = {op.function}(sp, gas, f)"]
    elif op.shape == "jump":
        go = [
            "if not u_fits64(sp) or not is_jumpdest(f.code, sp.w[0]):",
            "    status = INVALID_JUMP",
            "elif f.start + sp.w[0] <= pc and must_poll(f) and must_stop(f.machine):",
            "    status = ABORTED",
            "else:",
            "    pc = f.start + sp.w[0]",
            *indent(move(op)),
        ]
        stay = ["if u_is_zero(sp - 1):", "    pc += 1", *indent(move(op))]
        body = [*stay, "el" + go[0], *go[1:]] if op.name == "JUMPI" else go
    elif op.shape in ("gas", "call"):
        call, *rest = action(op)
        body = [call, "if gas < 0:", "    status = <Status>f.status", "else:", *indent(rest)]
    elif op.shape == "memory":
        body = [f"if not within_memory(sp, {op.argument}, f):", f"    gas = expand_memory(sp, {op.argument}, gas, f)"]
        body += ["if gas < 0:", "    status = <Status>f.status", "else:", *indent(action(op))]
    else:
        body = action(op)
    if op.gas:
        body = [f"gas -= {op.gas}", "if gas < 0:", "    status = OUT_OF_GAS", "else:", *indent(body)]
    lines = [f"{keyword} op == {op.number}:      # {op.name}"]
    chain = "if"
    for condition, status in guards:
        lines += [f"    {chain} {condition}:", f"        status = {status}"]
        chain = "elif"
    lines += ["    else:", *indent(body, 2)] if guards else indent(body)
    return lines


def switch_build() -> list[str]:
    lines = [
        "cdef int run_switch(Frame* f) noexcept nogil:",
        "    cdef const uint8_t* pc = f.pc",
        "    cdef u256* sp = f.sp",
        "    cdef int64_t gas = f.gas",
        "    cdef int status = RUNNING",
        "    cdef uint8_t op",
        "    cdef Tracer* tracer = <Tracer*>f.machine.tracer",
        "    while True:",
        "        op = pc[0]",
        "        if tracer != NULL:",
        "            trace_before(f, pc, sp, gas)",
    ]
    for number, op in enumerate(OPS):
        lines += indent(switch_case(op, "elif" if number else "if"), 2)
    lines += [
        "        else:",
        "            status = INVALID_OPCODE",
        "        if tracer != NULL:",
        "            trace_after(f, tracer, f.gas if status == SUCCESS or status == REVERT else gas, status)",
        "        if status != RUNNING:",
        "            return status",
        "        if f.suspended:",
        "            f.pc = pc",
        "            f.sp = sp",
        "            f.gas = gas",
        "            return RUNNING",
        "",
    ]
    return lines


def interpreter_source() -> str:
    lines = ["# Generated by ops/generate.py from ops/table.py and ops/fusion.py.", ""]
    for op in OPS:
        lines += tail_handler(op)
    for sequence in sequences():
        lines += fused_handler(sequence)
    return "\n".join([*lines, *fill_handlers(), *switch_build()])


def write_sources(package: Path) -> None:
    """Writes the generated files into the package's folder; a file with unchanged content keeps its time stamp."""
    sources = {
        "_fusion_generated.pxi": fuse_source(),
        "_ops_generated.pxi": interpreter_source(),
        "_symbolic_generated.pxi": symbolic_source(),
    }
    for name, text in sources.items():
        path = package / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
