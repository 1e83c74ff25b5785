"""The accounts and slots a run accesses, as an EIP-2930 access list."""
from libc.stdint cimport uint8_t
from cpython.bytes cimport PyBytes_FromStringAndSize
from evmcore._interp cimport Step
from evmcore._precompiles cimport precompile_at
from evmcore._u256 cimport u256, u256_to_int, u_to_address
from evmcore.tracing._hooks cimport Tracer

from evmcore.transactions import to_access_list
from evmcore.types import to_address

cdef enum:
    OP_BALANCE = 0x31
    OP_EXTCODESIZE = 0x3b
    OP_EXTCODECOPY = 0x3c
    OP_EXTCODEHASH = 0x3f
    OP_SLOAD = 0x54
    OP_SSTORE = 0x55
    OP_CALL = 0xf1
    OP_CALLCODE = 0xf2
    OP_DELEGATECALL = 0xf4
    OP_STATICCALL = 0xfa
    OP_SELFDESTRUCT = 0xff


cdef class AccessListTracer(Tracer):
    """Collects the accounts and slots a run accesses, also in reverted calls, in addition to those in `access_list`.
    Precompiles and the addresses in `warm`, which are warm anyway, are left out unless one of their slots is accessed."""

    def __init__(self, warm=(), access_list=()):
        self.warm = frozenset([to_address(address, "warm") for address in warm])
        self.given = to_access_list(access_list)
        self.touched = {}

    @property
    def access_list(self):
        """Pairs of a 20-byte address and its slots, in ascending order."""
        return tuple([(address, tuple(sorted(self.touched[address]))) for address in sorted(self.touched)])

    cdef int start(self) except -1:
        cdef bytes address
        self.touched = {}
        for address, slots in self.given:
            self.touch(address)
            if slots:
                self.touched.setdefault(address, set()).update(slots)
        return 0

    cdef int touch(self, const uint8_t* address) except -1:
        known = PyBytes_FromStringAndSize(<const char*>address, 20)
        if known not in self.warm and precompile_at(address, self.machine.revision) == 0:
            self.touched.setdefault(known, set())
        return 0

    cdef int step(self, const Step* step) except -1:
        cdef const u256* top
        cdef uint8_t[20] address
        cdef uint8_t op = step.op
        if step.stack_size == 0:
            return 0
        top = &step.stack[step.stack_size - 1]
        if op == OP_SLOAD or op == OP_SSTORE:
            executing = PyBytes_FromStringAndSize(<const char*>step.address, 20)
            self.touched.setdefault(executing, set()).add(u256_to_int(top))
        elif op in (OP_BALANCE, OP_EXTCODESIZE, OP_EXTCODECOPY, OP_EXTCODEHASH, OP_SELFDESTRUCT):
            u_to_address(address, top)
            self.touch(address)
        elif op in (OP_CALL, OP_CALLCODE, OP_DELEGATECALL, OP_STATICCALL) and step.stack_size > 1:
            u_to_address(address, top - 1)
            self.touch(address)
        return 0
