"""Writes handlers, dispatch tables and the switch build from the opcode table, before compilation.

Two builds of one set of bodies: tail calls (one function per opcode that jumps to the next one's through a table, with code
pointer, stack pointer and gas in registers) and a plain switch, which tracing, sanitizers and compilers without tail calls use.
"""

from __future__ import annotations

from pathlib import Path

from fusion import Sequence, fuse_source, sequences, width
from table import OPS, REVISIONS, Op

PACKAGE = Path(__file__).resolve().parent.parent
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
    """What an opcode does after its checks, for every shape that goes on with the next instruction."""
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
    elif op.shape == "frame":
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


def tail_action(op: Op) -> list[str]:
    if op.shape not in ("gas", "call"):
        return action(op)
    body, *rest = action(op)
    return [body, "if unlikely(gas < 0):", "    return f.status", *rest]


def tail_handler(op: Op) -> list[str]:
    lines = guard_lines(stack_guards(op.takes, op.gives - op.takes)) + charge(op.gas)
    if op.shape == "halt":
        lines.append(f"return {op.function}(sp, gas, f)")
    elif op.shape == "jump":
        if op.name == "JUMPI":
            lines += ["if u_is_zero(sp - 1):", "    pc += 1", "    sp -= 2", f"    {NEXT}"]
        lines += [
            "if unlikely(not u_fits64(sp) or not is_jumpdest(f.code, sp.w[0])):",
            "    return INVALID_JUMP",
            *charge(1),  # the JUMPDEST, which is not visited
            "if f.start + sp.w[0] <= pc and poll(f):",
            "    return ABORTED",
            "pc = f.start + sp.w[0] + 1",
            *move(op),
            NEXT,
        ]
    elif op.shape == "call":
        lines += tail_action(op)
        lines += ["if f.suspended:", "    f.pc = pc", "    f.sp = sp", "    f.gas = gas", "    return RUNNING", NEXT]
    else:
        lines += [*tail_action(op), NEXT]
    return [SIGNATURE.format(f"h_{op.name}"), *indent(lines), ""]


def fused_handler(sequence: Sequence) -> list[str]:
    height = needs = peak = 0
    body = list(sequence.ops)
    if sequence.jump:
        body = body[:-2]  # the constant target is read from the code, never pushed
    for op in sequence.ops:
        needs = max(needs, op.takes - height)
        height += op.gives - op.takes
        peak = max(peak, height)
    lines = guard_lines(stack_guards(needs, peak)) + charge(sum(op.gas for op in sequence.ops))
    for op in body:
        lines += tail_action(op)
    if sequence.jump:
        push = sequence.ops[-2]
        target = "pc[1]" if push.argument == 1 else "(<uint64_t>pc[1] << 8 | pc[2])"
        if sequence.jump.name == "JUMPI":
            skip = width(push) + 1
            lines += ["if u_is_zero(sp):", f"    pc += {skip}", "    sp -= 1", f"    {NEXT}", "sp -= 1"]
        lines += [
            *charge(1),  # the JUMPDEST
            f"if f.start + {target} <= pc and poll(f):",
            "    return ABORTED",
            f"pc = f.start + {target} + 1",
        ]
    return [SIGNATURE.format(f"h_{sequence.name}"), *indent([*lines, NEXT]), ""]


def fill_handlers() -> list[str]:
    lines = [
        "cdef void fill_handlers() noexcept:",
        "    cdef int revision, number",
        f"    for revision in range({REVISIONS}):",
        "        for number in range(256):",
        "            HANDLERS[revision][number] = h_UNDEFINED",
    ]
    named = [(op.since, op.number, op.name) for op in OPS] + [(s.since, s.number, s.name) for s in sequences()]
    for since, number, name in named:
        entry = f"HANDLERS[revision][{number}] = h_{name}"
        lines += [f"        if revision >= {since}:", f"            {entry}"] if since else [f"        {entry}"]
    return [*lines, ""]


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
            "elif f.start + sp.w[0] <= pc and poll(f):",
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


def write(name: str, text: str) -> None:
    path = PACKAGE / name
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


write("_fusion_generated.pxi", fuse_source())
write("_ops_generated.pxi", interpreter_source())
