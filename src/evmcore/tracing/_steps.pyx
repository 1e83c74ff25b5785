"""Tracers of every instruction: EIP-3155 lines and struct logs."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp.string cimport string
from cpython.bytes cimport PyBytes_FromStringAndSize
from evmcore._interp cimport Machine, Message, Outcome, REVERT, RUNNING, SUCCESS, Status, Step
from evmcore._rules cimport BYZANTIUM
from evmcore._state cimport WorkingSet, ws_account, ws_slot
from evmcore._u256 cimport u256, u_to_be
from evmcore.tracing._hooks cimport Tracer, hex_bytes, status_text

from evmcore.errors import InputError
from evmcore.ops.table import name_of
from evmcore.types import to_uint

cdef enum:
    OP_SLOAD = 0x54
    OP_SSTORE = 0x55
    STEP_TEXT = 80                # approximate text size of an entry without its lists

cdef const char* DIGITS = b"0123456789abcdef"


cdef tuple op_names(int revision):
    return tuple([name_of(number, revision) for number in range(256)])


cdef void add_number(string* line, uint64_t value) noexcept nogil:
    """Decimal."""
    cdef char[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char>(48 + value % 10)
        value //= 10
        if value == 0:
            break
    line.append(digits + at, 20 - at)


cdef void add_hex(string* line, uint64_t value) noexcept nogil:
    """0x and no leading zeros."""
    cdef char[18] digits
    cdef int at = 18
    while True:
        at -= 1
        digits[at] = DIGITS[value & 15]
        value >>= 4
        if value == 0:
            break
    digits[at - 1] = b"x"
    digits[at - 2] = b"0"
    line.append(digits + at - 2, 20 - at)


cdef void add_word(string* line, const u256* word) noexcept nogil:
    """0x and no leading zeros."""
    cdef int top = 3, shift
    while top and word.w[top] == 0:
        top -= 1
    add_hex(line, word.w[top])
    for top in range(top - 1, -1, -1):
        for shift in range(60, -4, -4):
            line.push_back(DIGITS[(word.w[top] >> shift) & 15])


cdef void add_bytes(string* line, const uint8_t* data, size_t size) noexcept nogil:
    """0x and two digits a byte."""
    cdef size_t i
    line.append(b"0x", 2)
    for i in range(size):
        line.push_back(DIGITS[data[i] >> 4])
        line.push_back(DIGITS[data[i] & 15])


cdef class EIP3155Tracer(Tracer):
    """Writes a JSON line for each instruction and one at the end of the run (EIP-3155) to a text stream, during the run.

    `stream` is any object with `write(str)`. `stack`, `memory` and `return_data` say which of these the lines contain.
    Fields have their values before the instruction, except `refund`, which includes the instruction's own refund, as in
    geth and the executable specification. The last line has the top message's output and the gas its execution used.
    """

    def __init__(self, stream, *, stack=True, memory=False, return_data=False):
        if not callable(getattr(stream, "write", None)):
            raise InputError(f"argument 'stream': expected a text stream, got {type(stream).__name__}")
        self.stream = stream
        self.with_stack = bool(stack)
        self.with_memory = bool(memory)
        self.with_return_data = bool(return_data)

    cdef int start(self) except -1:
        self.names = None
        return 0

    cdef int step(self, const Step* step) except -1:
        cdef string* line = &self.line
        cdef size_t i
        if self.names is None:
            self.names = tuple([text.encode() for text in op_names(self.machine.revision)])
        cdef bytes name = self.names[step.op]
        line.clear()
        line.append(b'{"pc":')
        add_number(line, step.pc)
        line.append(b',"op":')
        add_number(line, step.op)
        line.append(b',"gas":"')
        add_hex(line, step.gas)
        line.append(b'","gasCost":"')
        add_hex(line, step.cost)
        line.append(b'"')
        if self.with_memory and step.memory_size:
            line.append(b',"memory":"')
            add_bytes(line, step.memory, step.memory_size)
            line.append(b'"')
        line.append(b',"memSize":')
        add_number(line, step.memory_size)
        if self.with_stack:
            line.append(b',"stack":[')
            for i in range(step.stack_size):
                line.append(b',"' if i else b'"')
                add_word(line, &step.stack[i])
                line.append(b'"')
            line.append(b']')
        if self.with_return_data and self.machine.revision >= BYZANTIUM:
            line.append(b',"returnData":"')
            add_bytes(line, step.return_data, step.return_data_size)
            line.append(b'"')
        line.append(b',"depth":')
        add_number(line, step.depth)
        line.append(b',"refund":')
        add_number(line, <uint64_t>max(self.machine.ws.refund, <int64_t>0))
        line.append(b',"opName":"')
        line.append(<const char*>name, len(name))
        line.append(b'"')
        if step.error != RUNNING:
            line.append(b',"error":"')
            name = status_text(step.error).encode()
            line.append(<const char*>name, len(name))
            line.append(b'"')
        line.append(b'}\n')
        self.stream.write(PyBytes_FromStringAndSize(line.data(), line.size()).decode("ascii"))
        return 0

    cdef int enter(self, const Message* message) except -1:
        if message.depth == 0:
            self.gas = message.gas
        return 0

    cdef int leave(self, const Message* message, const Outcome* outcome) except -1:
        if message.depth == 0:
            error = "" if outcome.status == SUCCESS else f',"error":"{status_text(outcome.status)}"'
            output = PyBytes_FromStringAndSize(<const char*>outcome.output, outcome.output_size).hex()
            self.stream.write(f'{{"output":"{output}","gasUsed":"{self.gas - outcome.gas_left:#x}"{error}}}\n')
        return 0


cdef class StructLogTracer(Tracer):
    """Collects the instructions in the shape of geth's struct logger; `result` is the answer of debug_traceTransaction.

    `stack`, `memory`, `storage` and `return_data` say what the entries contain; `limit` is the maximum number of entries.
    All entries are kept in memory: for long runs prefer `EIP3155Tracer`, or set `size_limit`.
    """

    def __init__(self, *, stack=True, memory=False, storage=True, return_data=False, limit=None):
        self.most = 0 if limit is None else to_uint(limit, "limit", 62)
        self.with_stack = bool(stack)
        self.with_memory = bool(memory)
        self.with_storage = bool(storage)
        self.with_return_data = bool(return_data)
        self.result = None

    cdef int start(self) except -1:
        self.names = None
        self.logs = []
        self.storage = {}
        self.result = None
        return 0

    cdef int step(self, const Step* step) except -1:
        cdef size_t i
        cdef string word
        cdef list words
        if self.most and self.logs is not None and <size_t>len(self.logs) >= self.most:
            return 0
        self.collect(STEP_TEXT)
        if self.names is None:
            self.names = op_names(self.machine.revision)
        cdef dict entry = {
            "pc": step.pc,
            "op": self.names[step.op],
            "gas": step.gas,
            "gasCost": step.cost,
            "depth": step.depth,
        }
        if step.error != RUNNING:
            entry["error"] = status_text(step.error)
        if self.with_stack:
            words = []
            for i in range(step.stack_size):
                word.clear()
                add_word(&word, &step.stack[i])
                words.append(PyBytes_FromStringAndSize(word.data(), word.size()).decode("ascii"))
                self.collect(word.size() + 3)
            entry["stack"] = words
        if self.with_return_data and step.return_data_size:
            self.collect(2 * step.return_data_size)
            entry["returnData"] = hex_bytes(step.return_data, step.return_data_size)
        if self.with_memory and step.memory_size:
            self.collect(69 * step.memory_size // 32)
            entry["memory"] = [hex_bytes(step.memory + i, 32) for i in range(0, step.memory_size, 32)]
        if self.with_storage and (step.op == OP_SLOAD or step.op == OP_SSTORE) and step.error == RUNNING:
            entry["storage"] = self.seen(step)
        if self.machine.ws.refund > 0:
            entry["refund"] = self.machine.ws.refund
        self.logs.append(entry)
        return 0

    cdef dict seen(self, const Step* step):
        """The slots of the executing account that were read or written so far, with their current values."""
        cdef WorkingSet* ws = self.machine.ws
        cdef const u256* key = &step.stack[step.stack_size - 1]
        cdef uint32_t slot = ws_slot(ws, ws_account(ws, step.address), key)
        address = PyBytes_FromStringAndSize(<const char*>step.address, 20)
        cdef uint8_t[32] key_bytes, value_bytes
        u_to_be(key_bytes, key)
        u_to_be(value_bytes, &ws.slots[slot].current)
        slots = self.storage.setdefault(address, {})
        slots[hex_bytes(key_bytes, 32)] = hex_bytes(value_bytes, 32)
        self.collect(138 * <size_t>len(slots))
        return dict(slots)

    cdef int finish(self, Machine* machine, int64_t gas_limit, int64_t gas_used, Status status, bytes output) except -1:
        self.result = {
            "gas": gas_used,
            "failed": status != SUCCESS,
            "returnValue": "0x" + output.hex() if status == SUCCESS or status == REVERT else "0x",
            "structLogs": self.logs,
        }
        return 0
