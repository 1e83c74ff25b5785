# Frames of running messages, and the arenas that the frames of one machine share.

cdef enum:
    STACK_WORDS = 1024
    FRAMES = 1025                 # depth 0 to 1,024
    CHUNKS = 48                   # each at least twice its predecessor
    FIRST_CHUNK = 1 << 18
    KEPT_CHUNK = 1 << 26          # larger chunks are freed after the message
    HASH_MEMOS = 1024
    TAGS_MARGIN = 32
    POLL_INTERVAL = 2048          # backward jumps between two checks of the clock and the abort flag
    ASKED_AT = 64                 # `interrupted` is called at one in this many of those checks and of frame beginnings


cdef struct HashMemo:
    uint8_t[64] data
    u256 digest
    bint used

cdef struct Chunk:
    uint8_t* data
    size_t size

cdef struct Frame:
    # read by handlers all the time
    u256* bottom                  # of the stack
    u256* last                    # the 1,024th word
    uint8_t* memory
    uint64_t memory_size          # bytes, a multiple of 32
    const uint8_t* start          # of the code being run: analysed (tail calls) or raw (switch)
    const Code* code
    const uint8_t* input
    size_t input_size
    WorkingSet* ws
    Machine* machine
    const Prices* prices
    uint32_t account              # the account whose storage is used
    uint32_t polls                # backward jumps left before the next poll
    bint is_static
    bint suspended                # a callee was started
    Status status                 # the reason why the last body failed
    int32_t depth
    u256 value
    u256 address_word
    u256 caller_word
    uint8_t[20] address
    uint8_t[20] caller
    # saved when the dispatch loop is left
    const uint8_t* pc
    u256* sp
    int64_t gas
    int64_t traced_gas            # calls: the gas left after the callee's gas was taken
    # the region for the callee's output
    uint64_t output_offset
    uint64_t output_size
    # of the message
    MessageKind kind
    Checkpoint checkpoint
    Code* init_code               # to be released; NULL for calls
    uint64_t memory_cost          # gas paid for memory so far
    int chunk
    size_t chunk_offset
    size_t input_total

cdef struct Scratch:
    Frame* frames
    int32_t top                   # index of the running frame, -1 when idle
    u256* stack
    uint8_t* tags                 # of the words of the stack, see ops/symbolic.pxi; NULL unless the machine was symbolic
    uint32_t tagged               # number of tags; all are in the running frame
    Chunk[CHUNKS] chunks
    HashMemo* hashes
    # the state before an instruction, as shown to a tracer
    Step step
    u256* step_stack
    uint8_t* step_memory
    size_t step_memory_capacity
    uint8_t* step_return_data
    size_t step_return_data_capacity


cdef inline Scratch* scratch(Machine* machine) noexcept nogil:
    return <Scratch*>machine.private
