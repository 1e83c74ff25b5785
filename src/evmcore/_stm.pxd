"""Declarations of `include/stm/`: store, scheduler and worker loop of the parallel executor, which use no Python."""
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from evmcore._machines cimport Arena
from evmcore._u256 cimport u256

cdef extern from "include/keyed_hash.h" nogil:
    ctypedef struct HashKey:
        pass

cdef extern from "include/empty_code.h" namespace "evmcore" nogil:
    const uint8_t* EMPTY_CODE_HASH

cdef extern from "include/stm/shared.h" namespace "evmcore::stm" nogil:
    unsigned int pause(unsigned int turn)
    void do_meanwhile(void (*what)() noexcept nogil)

cdef extern from "include/stm/baton.h" namespace "evmcore::stm" nogil:
    cppclass Baton:
        Baton(uint32_t count, uint64_t seed) except +
        void take(uint32_t worker)
        void leave(uint32_t worker)
    bint run_on_fresh_threads(unsigned int count, void (*task)(void*) noexcept nogil, void* context)

cdef extern from "include/stm/delays.h" namespace "evmcore::stm" nogil:
    ctypedef struct Delays:
        uint64_t random
        Baton* baton
        uint32_t worker
    void delay_point(Delays& delays)
    void wait_for_all(uint32_t* arrived, uint32_t count)

cdef extern from "include/stm/store.h" namespace "evmcore::stm" nogil:
    ctypedef uint32_t TxIndex
    enum Part:
        kBalance, kNonce, kCode, kLife, kParts
    cppclass Value:
        u256 word
        void* code
        bint delta
    cppclass Version:
        Value first
    cppclass Cell:
        pass
    cppclass Seen:
        const Value* value
        TxIndex writer
        bint estimate
    cppclass Base:
        u256 balance
        uint64_t nonce
        uint8_t[32] code_hash
        bint exists
        bint has_storage
    cppclass Location:
        uint64_t hash             # a location apart has none
        uint8_t[20] address
        bint is_slot
        bint apart
        u256 slot
        Base base
        Cell[4] cells
        bint base_known()
        void set_base(const Base& value)
        void* code() const
        bint keep_code(void* code)
    cppclass Store:
        Store() except +
        bint prepare(size_t locations, const HashKey& key)
        Location* find(const uint8_t* address, const u256* slot)
        uint32_t main_number(const Location* location) const
        void set_main_number(Location* location, uint32_t number)
        uint64_t hash(const uint8_t* address, const u256* slot) const
        void ask_for(const Location* location) const
        size_t used()
        size_t bytes_used()
    ctypedef struct Write:
        Location* location
        Location* account         # of a slot
        Version* version
        const Value* value
        int part
        Value own
    Seen latest(const Cell& cell, TxIndex before)
    bint is_written(const Location* location)
    bint account_roughly_before(const Location& account, TxIndex before, Base* found)
    void balance_before(const Location& account, TxIndex before, u256* balance)
    void slot_before(const Location& slot, const Location& account, TxIndex before, u256* value)
    Location* new_apart(Arena& arena, const uint8_t* address, const u256* slot)     # NULL: no memory
    Version* new_version(Arena& arena)     # NULL: no memory
    Version* publish(Location& location, int part, TxIndex tx, Version* fresh)
    void publish_writes(TxIndex tx, const Write* before, uint32_t before_count, Write* fresh, uint32_t fresh_count, Delays& delays)
    void replace(Version* version, const Value* value)

cdef extern from "include/stm/scheduler.h" namespace "evmcore::stm" nogil:
    cppclass Scheduler:
        Scheduler() except +
        bint prepare(TxIndex count)
        void hint(TxIndex tx, int which, TxIndex after)
        TxIndex hinted(TxIndex tx, int which) const
        bint has_run(TxIndex tx) const
        void offer(TxIndex first, TxIndex end, bint brief)
        TxIndex frontier() const
        bint finished() const

cdef extern from "include/stm/watch.h" namespace "evmcore::stm" nogil:
    uint64_t ticks()
    enum Doing:
        kWaiting, kRunning, kCommitting, kDoings
    enum Deed:
        kRanAhead, kRanInVain, kRanAgain, kRanAtFrontier, kMadeFinal, kRefused, kWaited, kRanInBin
    ctypedef struct Event:
        uint64_t begin            # ticks
        uint64_t end
        TxIndex tx
        uint32_t deed
        uint32_t detail
    cppclass Events:
        Events(size_t capacity) except +
        size_t count()
        size_t lost()
        const Event& at(size_t index)
    cppclass Watch:
        uint64_t* spent           # ticks, by Doing
        uint64_t since            # 0: the worker never came
        uint64_t came
        Events* events
        void start()
        void turn_to(Doing next)
        void begin()
        void end(Deed deed, TxIndex tx)

cdef extern from "include/stm/engine.h" namespace "evmcore::stm" nogil:
    ctypedef struct Tasks:
        void* self
        TxIndex (*run)(void* self, TxIndex tx, cbool final) noexcept nogil
        cbool (*stands)(void* self, TxIndex tx) noexcept nogil
        cbool (*conclude)(void* self, TxIndex tx) noexcept nogil
        void (*skip "pass")(void* self, TxIndex tx) noexcept nogil
    enum Cause:
        kStands, kNonceChanged, kBalanceChanged, kBalanceTooLow, kCodeChanged, kExistenceChanged, kSlotChanged
        kSlotOutOfBounds, kBlockGasGone, kEndedInvalid, kEngineFailed, kCauses
    ctypedef struct Tally:
        uint64_t runs
        uint64_t reruns
        uint64_t waits
        uint64_t validations
        uint64_t* aborts          # by Cause
        uint64_t settled
        uint32_t cause
        Watch watch
    void commit_alone(Scheduler& scheduler, const Tasks& tasks, uint32_t* stop, Tally& tally)
    void engine_work "evmcore::stm::work"(Scheduler& scheduler, const Tasks& tasks, Arena& arena, uint32_t* stop, Tally& tally, Delays& delays)
    void raise_flag "evmcore::stm::raise"(uint32_t* flag)
