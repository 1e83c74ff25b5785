"""Where calls met others; see `_meetings.pxd`.

Two swaps through one router meet if they go through one pair, which the router finds from the tokens named in the
calldata. So calls are distinguished by callee, selector and the addresses in their calldata other than the sender's.
Calls that cannot be distinguished that way share an entry by callee and selector alone, which is believed only after
many meetings.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "include/meetings.h" namespace "evmcore" nogil:
    cppclass Meetings:
        bint is_name "is"(uint64_t name)
        uint32_t trust()
        uint64_t place(int i)
        void met(uint64_t name, uint64_t place)
        void judge(int by)
        void forget()

cdef enum:
    KINDS = 4096                  # of calls that are remembered, by 12 bits of their name
    OFTEN = 48                    # the least trust in an entry by callee and selector alone
    MOST_WORDS = 32               # words of calldata that are examined

cdef Meetings[4096] exact         # by callee, selector and addresses
cdef Meetings[4096] rough         # by callee and selector


cdef inline uint64_t mixed(uint64_t name, uint64_t word) noexcept nogil:
    """Quick rather than well mixed: two kinds with one name only make a worse hint."""
    name = (name ^ word) * <uint64_t>0x9e3779b97f4a7c15
    return name ^ name >> 29


cdef inline uint64_t with_address(uint64_t name, const uint8_t* address) noexcept nogil:
    cdef uint64_t[3] words
    words[2] = 0
    memcpy(words, address, 20)
    return mixed(mixed(mixed(name, words[0]), words[1]), words[2])


cdef inline uint64_t rough_name(const TxData* tx) noexcept nogil:
    cdef uint32_t selector = 0
    if tx.data_size >= 4:
        memcpy(&selector, tx.data, 4)
    return with_address(selector, tx.to) | 1


cdef inline bint is_address(const uint8_t* word) noexcept nogil:
    """Whether a word of calldata looks like an address: amounts are smaller, and most other words larger."""
    cdef uint64_t first
    cdef uint32_t second, third
    memcpy(&first, word, 8)
    memcpy(&second, word + 8, 4)
    memcpy(&third, word + 12, 4)
    return first == 0 and second == 0 and third != 0


cdef uint64_t exact_name(const TxData* tx, uint64_t name) noexcept nogil:
    """`name`: the call's rough name."""
    cdef const uint8_t* word
    cdef size_t i, words
    if tx.data_size < 36:
        return name
    words = min((tx.data_size - 4) // 32, <size_t>MOST_WORDS)
    for i in range(words):
        word = tx.data + 4 + 32 * i
        if is_address(word) and memcmp(word + 12, tx.sender, 20) != 0:
            name = with_address(name, word + 12)
    return name | 1


cdef uint64_t call_name(const TxData* tx) noexcept nogil:
    return exact_name(tx, rough_name(tx))


cdef inline Meetings* known(const TxData* tx) noexcept nogil:
    """What is believed of a call. NULL: nothing."""
    cdef uint64_t rough_one, exact_one
    cdef Meetings* found
    if tx.is_create:
        return NULL
    rough_one = rough_name(tx)
    exact_one = exact_name(tx, rough_one)
    found = &exact[exact_one >> 52]
    if found.is_name(exact_one) and found.trust() != 0:
        return found
    found = &rough[rough_one >> 52]
    if found.is_name(rough_one) and found.trust() >= OFTEN:
        return found
    return NULL


cdef int places_met(const TxData* tx, uint64_t* places, uint32_t* trust) noexcept nogil:
    cdef Meetings* found = known(tx)
    cdef uint64_t place
    cdef int i, count = 0
    if found == NULL:
        return 0
    if trust != NULL:
        trust[0] = found.trust()
    for i in range(MOST_PLACES):
        place = found.place(i)
        if place != 0:
            places[count] = place
            count += 1
    return count


cdef void note_meeting(const TxData* tx, uint64_t place) noexcept nogil:
    cdef uint64_t rough_one, exact_one
    if tx.is_create:
        return
    rough_one = rough_name(tx)
    exact_one = exact_name(tx, rough_one)
    exact[exact_one >> 52].met(exact_one, place)
    rough[rough_one >> 52].met(rough_one, place)


cdef void note_line(const TxData* tx, int by) noexcept nogil:
    cdef Meetings* found = known(tx)
    if found != NULL:
        found.judge(by)


cdef void forget_meetings() noexcept nogil:
    cdef int i
    for i in range(KINDS):
        exact[i].forget()
        rough[i].forget()
