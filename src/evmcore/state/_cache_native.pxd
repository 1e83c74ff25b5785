"""The declarations of `include/cache/`, for the modules that use it: `_cache`, `_fetch`, `_prefetch`."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector
from evmcore._u256 cimport u256
from evmcore.state._wire cimport Bytes, Io, Wire

cdef extern from "<mutex>" namespace "std" nogil:
    cdef cppclass mutex:
        void lock()
        void unlock()

cdef extern from "<atomic>" namespace "std" nogil:
    cdef cppclass atomic_u64 "std::atomic<uint64_t>":
        uint64_t load() noexcept
        uint64_t fetch_add(uint64_t value) noexcept
    cdef cppclass atomic_i64 "std::atomic<int64_t>":
        int64_t load() noexcept
        void store(int64_t value) noexcept
    cdef cppclass atomic_bool "std::atomic<bool>":
        cbool load() noexcept
        void store(cbool value) noexcept

cdef extern from "include/keyed_hash.h" nogil:
    ctypedef struct HashKey:
        pass

cdef extern from "include/cache/state_cache.h" namespace "evmcore::cache" nogil:
    cdef enum Presence:
        EXISTS
        IS_ABSENT
        NO_KEY
    cdef struct AccountRecord:
        u256 balance
        uint64_t nonce
        uint64_t slot_count
        uint8_t* code_hash
        uint32_t generation
        Presence presence
        bint storage_complete
    cdef enum class Added:
        ADDED
        THERE
        OUTSIDE
        NO_MEMORY
    cdef cppclass View:
        uint64_t seq
        bint usable
    cdef cppclass StateCache:
        StateCache(const HashKey& key, uint64_t seq, uint64_t ring, uint64_t slack, size_t limit) except +
        mutex editing
        uint64_t latest() noexcept
        uint64_t oldest() noexcept
        bint wait_for(uint64_t seq, int64_t deadline) noexcept
        void give_up() noexcept
        bint given_up() noexcept
        bint open(View* view, uint64_t seq) noexcept
        void close(View* view) noexcept
        void begin(View* view) noexcept
        void end(View* view) noexcept
        bint account(uint64_t seq, const uint8_t* address, AccountRecord* out) noexcept
        Added add_account(uint64_t seq, const uint8_t* address, const AccountRecord& record) noexcept
        Added add_slot(uint64_t seq, const uint8_t* address, const u256* key, const u256* value) noexcept
        size_t slot_count() noexcept
        size_t account_count() noexcept
        size_t version_count() noexcept
        size_t view_count() noexcept
        uint64_t evictions() noexcept
        size_t bytes_in_use() noexcept
        size_t bytes_taken() noexcept

cdef extern from "include/cache/layout.h" namespace "evmcore::cache" nogil:
    bint parse_record(const char* data, size_t size, AccountRecord* out, const char** problem) noexcept
    bint read_value(const uint8_t* data, size_t size, u256* out) noexcept
    AccountRecord record_without_account(Presence presence) noexcept

cdef extern from "include/cache/reader.h" namespace "evmcore::cache" nogil:
    cdef cppclass Hash:
        uint8_t* data() noexcept
    cdef cppclass StateKey:
        uint8_t* address_data "address.data"() noexcept
        bint is_slot
        u256 slot
        @staticmethod
        StateKey of_account(const uint8_t* address) noexcept
        @staticmethod
        StateKey of_slot(const uint8_t* address, const u256* slot) noexcept
    cdef enum class Answer:
        KNOWN
        MISSING
        UNKNOWN
        EXPIRED
    cdef cppclass Reader:
        View view
        bint complete_state
        bint has_upstream
        bint unknown_first
        bint speculating
        int64_t stop_at
        int64_t guess_ns
        size_t most_missing
        atomic_u64 reads
        int rounds
        atomic_bool surprised
        atomic_bool by_name
        atomic_bool strange
        bint at_once
        vector[StateKey] chased
        vector[StateKey] followed
        vector[StateKey] missing
        vector[StateKey] guesses
        vector[StateKey] unknown
        vector[Hash] missing_codes
        atomic_bool incomplete
        void* owner
        Answer account(const uint8_t* address, AccountRecord* out) noexcept
        Answer slot(const uint8_t* address, const u256* key, u256* out) noexcept
        bint note(const StateKey& key, bint known_to_nobody) noexcept
        bint note_code(const uint8_t* code_hash) noexcept
        bint begin_call() noexcept
        void end_call() noexcept
        bint in_call() noexcept
        void begin_work(bint learn) noexcept
        bint join_guesses() noexcept
        void forget_missing() noexcept
        # for values from another source, which hold at the reader's step
        void own_account(const uint8_t* address, const AccountRecord& record) except +
        void own_slot(const uint8_t* address, const u256* key, const u256& value) except +

cdef extern from "include/cache/info.h" namespace "evmcore::cache" nogil:
    int64_t evicted_keys(const char* text, size_t size) noexcept

cdef extern from "include/cache/round.h" namespace "evmcore::cache" nogil:
    cdef enum class Fault:
        NONE
        RECORD
        COUNT
        LOST
        VALUE
        TYPE
    cdef cppclass Ask:
        uint8_t* address_data "address.data"() noexcept
        uint32_t generation
        size_t first
        size_t count
        bint answered
        bint settled
        Fault fault
        AccountRecord record
        uint64_t stored
        string problem
    cdef struct SlotAsk:
        u256 key
        u256 value
        bint stored
        bint damaged
    cdef cppclass CodeAsk:
        Hash hash
        const char* data
        size_t size
    cdef struct HeadSeen:
        uint64_t seq
        uint64_t stored
    cdef enum class RoundOutcome:
        DONE
        REFUSED
        NO_HEAD
        BAD_HEAD
        MALFORMED
        NO_MEMORY
    cdef cppclass KeyNames:
        KeyNames() noexcept
        KeyNames(const string& prefix) except +
    cdef cppclass Round:
        vector[Ask] asks
        vector[SlotAsk] slots
        vector[CodeAsk] codes
        HeadSeen head
        string error
        bint count_evictions
        int64_t evicted
        bint gather(vector[StateKey]& keys, vector[Hash]& hashes, const StateCache& cache) noexcept
        size_t write(Wire& wire, const KeyNames& names) noexcept
        void make_ready(const StateCache& cache) noexcept
        RoundOutcome read(const Wire& wire, size_t replies, bint complete_state) noexcept
        bint to_be_continued() noexcept
        bint faulty() noexcept
        bint lacks_accounts() noexcept
        bint may_lack_accounts() noexcept
        bint precedes_load(Reader& reader, bint complete_state) noexcept
        @staticmethod
        void write_evictions(Bytes& out) noexcept
        Added settle(StateCache& cache, Reader& reader, bint complete_state) noexcept

cdef extern from "include/cache/follow.h" namespace "evmcore::cache" nogil:
    cdef cppclass Label:
        uint64_t seq
        char kind
        uint8_t* hash
        string header
        int64_t published_us
        int64_t seen_us
    cdef enum class Followed:
        GOING_ON
        STOPPED
        IO
        REFUSED
        MALFORMED
        NO_HEAD
        REBUILT
        DIVERGED
        GAP
        DAMAGED
        NO_MEMORY
        EVICTED
        MAY_EVICT
    cdef cppclass Follower:
        Io io
        string problem
        atomic_i64 confirmed
        atomic_u64 seen_seq
        atomic_bool caught_up
        atomic_bool behind
        atomic_u64 entries
        atomic_u64 entry_bytes
        atomic_i64 evicted
        int64_t whole
        Follower(StateCache& cache, string prefix, const uint8_t* feed,
                 void (*hasher)(const uint8_t*, size_t, uint8_t*) noexcept nogil,
                 bint (*take_code)(const uint8_t*, const uint8_t*, size_t) noexcept nogil) except +
        void start(Label label) except +
        bint copy_label(uint64_t seq, Label* out) except +
        Followed check(const HeadSeen& head) noexcept
        Followed run(Wire& wire, int fd, const uint32_t* stop, int64_t block_ms, int64_t timeout_ns) except +
        size_t replies() noexcept
        void write(Wire& wire, int64_t block_ms) except +
        Followed take(const Wire& wire) noexcept

cdef extern from "include/cache/access.h" namespace "evmcore::cache" nogil:
    cdef struct CallSeen:
        const uint8_t* target
        const uint8_t* sender
        const uint8_t* coinbase
        const uint8_t* data
        size_t size
    cdef enum class Basis:
        FUNCTION
        NAMESAKE
        NOTHING
    cdef cppclass AccessBook:
        AccessBook(void (*hasher)(const uint8_t*, size_t, uint8_t*) noexcept nogil) except +
        bint knows(const CallSeen& call, const uint8_t* code_hash) except +
        size_t functions() noexcept
        atomic_u64 predicted
        atomic_u64 came_true
        atomic_u64 read
    cdef cppclass Lesson:
        void account(const uint8_t* address, const uint8_t* code_hash) noexcept
        void slot(const uint8_t* address, const u256* key) noexcept
        void hashed(const uint8_t* data, const u256* digest) noexcept
        size_t slots() noexcept
        void learn(AccessBook& book, const CallSeen& call, const uint8_t* code_hash) noexcept

cdef extern from "include/cache/guesses.h" namespace "evmcore::cache" nogil:
    Basis expect(Reader& reader, AccessBook& book, void (*hasher)(const uint8_t*, size_t, uint8_t*) noexcept nogil,
                const CallSeen& call, void (*pair)(void*, const uint8_t*, u256*) noexcept nogil, void* machine,
                int (*have_code)(const uint8_t*) noexcept nogil) noexcept
    void foresee(Reader& reader, AccessBook& book, void (*hasher)(const uint8_t*, size_t, uint8_t*) noexcept nogil,
                 const CallSeen& call, int (*have_code)(const uint8_t*) noexcept nogil) noexcept
    bint expect_all(Reader& reader, AccessBook& book, const CallSeen& call,
                    void (*pair)(void*, const uint8_t*, u256*) noexcept nogil, void* machine,
                    int (*have_code)(const uint8_t*) noexcept nogil, const StateKey& missed) noexcept
    void follow_up(Reader& reader, void (*hasher)(const uint8_t*, size_t, uint8_t*) noexcept nogil,
                   const vector[StateKey]& asked) noexcept
