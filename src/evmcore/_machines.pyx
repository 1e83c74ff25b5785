"""Pools of machines and arenas; see `_machines.pxd`."""
from evmcore._asking cimport ask_in_time
from evmcore._interp cimport Machine, machine_free, machine_neutral, machine_new
from evmcore._state cimport ws_reset

from evmcore.errors import ResourceError

cdef extern from "include/spares.h" namespace "evmcore" nogil:
    cppclass Spares:
        pass
    void* spares_take(Spares* spares)
    bint spares_give(Spares* spares, void* item)

cdef extern from *:
    """
    #include <new>
    static inline evmcore::stm::Arena* new_arena() { return new (std::nothrow) evmcore::stm::Arena(); }
    """
    Arena* new_arena() noexcept nogil

cdef Spares[<int>MACHINE_USES] machines
cdef Spares arenas


cdef Machine* machine_take(MachineUse use) noexcept nogil:
    cdef Machine* machine = <Machine*>spares_take(&machines[<int>use])
    if machine == NULL:
        machine = machine_new()
    else:
        machine_neutral(machine)
    if machine != NULL and use != FOR_CALLS:
        machine.interrupted = ask_for_block
    return machine


cdef bint ask_for_block(Machine* machine) noexcept nogil:
    """For `Machine.interrupted`: polls; the callback sets the abort flag of all machines that run the same block."""
    ask_in_time()
    return False


cdef Machine* machine_or_error(MachineUse use) except NULL:
    cdef Machine* machine = machine_take(use)
    if machine == NULL:
        raise ResourceError("no memory for another machine (stack, memory and journal of a call)")
    return machine


cdef void machine_give(Machine* machine, MachineUse use) noexcept nogil:
    if use != FOR_CALLS:                         # the next call resets it; doing so twice takes a tenth of an empty call
        ws_reset(machine.ws, NULL, 0)
    if not spares_give(&machines[<int>use], machine):
        machine_free(machine)


cdef Arena* arena_take() noexcept nogil:
    cdef Arena* arena = <Arena*>spares_take(&arenas)
    return arena if arena != NULL else new_arena()


cdef void arena_give(Arena* arena) noexcept nogil:
    arena.reset()
    if not spares_give(&arenas, arena):
        del arena
