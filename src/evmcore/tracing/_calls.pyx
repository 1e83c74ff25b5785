"""The tree of calls, in the shape of geth's callTracer."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from evmcore._interp cimport (
    CALL, CALLCODE, CREATE, CREATE2, DELEGATECALL, Machine, Message, Outcome, REVERT, RUNNING, STATICCALL, SUCCESS,
    Status, Step,
)
from evmcore._state cimport WorkingSet, ws_account
from evmcore._u256 cimport u256, u256_to_int, u_sat64, u_to_address, u_to_be
from evmcore.tracing._hooks cimport Tracer, hex_bytes, status_text

from evmcore.reverts import decode_revert

cdef enum:
    OP_LOG0 = 0xa0
    OP_LOG4 = 0xa4
    OP_SELFDESTRUCT = 0xff
    CALL_TEXT = 250               # approximate text size of a call without its data
    LOG_TEXT = 400

cdef dict KINDS = {
    <int>CALL: "CALL",
    <int>CALLCODE: "CALLCODE",
    <int>DELEGATECALL: "DELEGATECALL",
    <int>STATICCALL: "STATICCALL",
    <int>CREATE: "CREATE",
    <int>CREATE2: "CREATE2",
}


cdef class CallTracer(Tracer):
    """Collects the tree of calls; `result` is the answer of geth's callTracer, a dict of 0x-hex strings.

    Each call has type, from, to, gas, gasUsed, input, and where they apply value, output, error, revertReason, calls and
    logs. The gas of the top call is the gas of the whole transaction. `with_logs` adds the logs of calls that were not
    reverted; `only_top_call` leaves out the calls below the top call. `result` is None until a run has ended.
    """

    def __init__(self, *, with_logs=False, only_top_call=False):
        self.with_logs = bool(with_logs)
        self.only_top_call = bool(only_top_call)
        self.result = None

    cdef int start(self) except -1:
        self.open = []
        self.gas_given = []
        self.addresses = []
        self.result = None
        return 0

    cdef int enter(self, const Message* message) except -1:
        cdef bint delegated = message.kind == DELEGATECALL
        cdef bint creates = message.kind >= CREATE
        self.collect(CALL_TEXT + 2 * message.input_size)
        cdef dict frame = {
            "type": KINDS[<int>message.kind],
            "from": hex_bytes(<const uint8_t*>message.target if delegated else <const uint8_t*>message.caller, 20),
            "to": hex_bytes(<const uint8_t*>message.target if creates else <const uint8_t*>message.code_address, 20),
            "gas": hex(message.gas),
            "gasUsed": "0x0",
            "input": hex_bytes(message.input, message.input_size),
        }
        if message.kind != STATICCALL:
            frame["value"] = hex(u256_to_int(&message.value))
        self.open.append(frame)
        self.gas_given.append(message.gas)
        self.addresses.append(PyBytes_FromStringAndSize(<const char*>message.target, 20))
        return 0

    cdef int leave(self, const Message* message, const Outcome* outcome) except -1:
        cdef dict frame = self.open.pop()
        cdef object given = self.gas_given.pop()
        self.collect(2 * outcome.output_size)
        self.addresses.pop()
        frame["gasUsed"] = hex(given - outcome.gas_left)
        describe_end(frame, outcome.status, PyBytes_FromStringAndSize(<const char*>outcome.output, outcome.output_size))
        if not self.open:
            self.result = frame
        elif not self.only_top_call:
            self.open[len(self.open) - 1].setdefault("calls", []).append(frame)
        self.note_balance()
        return 0

    cdef int step(self, const Step* step) except -1:
        if step.error == RUNNING:
            if self.with_logs and OP_LOG0 <= step.op <= OP_LOG4 and not (self.only_top_call and step.depth > 1):
                self.log(step)
            elif step.op == OP_SELFDESTRUCT and not self.only_top_call:
                self.selfdestruct(step)
        self.note_balance()
        return 0

    cdef int note_balance(self) except -1:
        """SELFDESTRUCT is reported after the balance has moved: so remember the balance after each earlier event."""
        cdef WorkingSet* ws = self.machine.ws
        if self.addresses:
            memcpy(self.running, PyBytes_AS_STRING(self.addresses[len(self.addresses) - 1]), 20)
            self.balance = ws.accounts[ws_account(ws, self.running)].balance
        return 0

    cdef int log(self, const Step* step) except -1:
        cdef const u256* top = &step.stack[step.stack_size - 1]
        cdef uint64_t offset = u_sat64(top), size = u_sat64(top - 1), known
        cdef uint8_t[32] topic
        cdef int i
        cdef list topics = []
        self.collect(LOG_TEXT + 2 * <size_t>size)
        for i in range(step.op - OP_LOG0):
            u_to_be(topic, top - 2 - i)
            topics.append(hex_bytes(topic, 32))
        # Memory as it was before the instruction; the instruction extended it by zeros.
        known = min(step.memory_size - offset, size) if size and offset < step.memory_size else 0
        data = PyBytes_FromStringAndSize(<const char*>step.memory + offset, known) if known else b""
        data += bytes(size - known)
        frame = self.open[len(self.open) - 1]
        frame.setdefault("logs", []).append({
            "address": hex_bytes(step.address, 20),
            "topics": topics,
            "data": "0x" + data.hex(),
            "position": hex(len(frame.get("calls", ()))),
        })
        return 0

    cdef int selfdestruct(self, const Step* step) except -1:
        cdef uint8_t[20] heir
        u_to_address(heir, &step.stack[step.stack_size - 1])
        self.open[len(self.open) - 1].setdefault("calls", []).append({
            "type": "SELFDESTRUCT",
            "from": hex_bytes(step.address, 20),
            "to": hex_bytes(heir, 20),
            "gas": "0x0",
            "gasUsed": "0x0",
            "input": "0x",
            "value": hex(u256_to_int(&self.balance)),
        })
        return 0

    cdef int finish(self, Machine* machine, int64_t gas_limit, int64_t gas_used, Status status, bytes output) except -1:
        if self.result is not None:
            self.result["gas"] = hex(gas_limit)
            self.result["gasUsed"] = hex(gas_used)
            if self.with_logs:
                drop_failed_logs(self.result, False)
        return 0


cdef int describe_end(dict frame, Status status, bytes output) except -1:
    """Output and error in geth's wording."""
    if status == SUCCESS:
        if output:
            frame["output"] = "0x" + output.hex()
        return 0
    frame["error"] = status_text(status)
    if frame["type"] in ("CREATE", "CREATE2"):
        del frame["to"]
    if status == REVERT and output:
        frame["output"] = "0x" + output.hex()
        reason = decode_revert(output)
        if reason.kind in ("error", "panic"):
            frame["revertReason"] = reason.message
    return 0


def drop_failed_logs(dict frame, bint parent_failed):
    """Removes the logs of failed calls and of their callees."""
    cdef bint failed = parent_failed or "error" in frame
    if failed:
        frame.pop("logs", None)
    for call in frame.get("calls", ()):
        drop_failed_logs(call, failed)
