"""Which transactions of a block belong together; see `_grouping.pxd`."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from evmcore._growing cimport free_array, grow_array
from evmcore._hints cimport expected_worth, holders_of
from evmcore._keyed_hash cimport HashKey, draw_key, hash_address, hash_words4
from evmcore._meetings cimport call_name
from evmcore._pace cimport Estimate

cdef extern from "include/bonds.h" namespace "evmcore" nogil:
    cppclass Bonds:
        bint is_name "is"(uint64_t name)
        uint64_t place(int i)
        void add(uint64_t name, uint64_t place)
        void forget()

cdef extern from "include/prefetch.h" namespace "evmcore" nogil:
    void prefetch(const void* at, size_t size)

cdef enum:
    PLACES = 7                    # of Bonds; a transaction names three others at most
    KINDS = 4096                  # of calls whose bonds are remembered, by 12 bits of their name
    FAMILIAR = 1 << 15            # calls that have been seen, by 15 bits of their name
    CALLEES = 1 << 12             # callees of calls with bonds, by hash
    UNKNOWN_PART = 32             # at most one part in this of the work may be calls of which nothing is known
    UNEVEN_PART = 8               # a bin may exceed its share by one part in this of the work
    LARGE = 8                     # groups larger than one part in this of a bin's share are dealt out first
    LOOSE_PART = 4                # one part in this of the work is left to whichever thread is ready first ...
    PORTIONS = 64                 # ... at most one part in this of the work at a time
    AHEAD = 8                     # how many transactions later than the one examined are prefetched
    LOOKED_AT = 68                # bytes of their data

cdef Bonds[4096] bonds
cdef Estimate[32768] familiar     # 16 bits of a call's name, and of the number of the block where it was seen first
cdef Estimate blocks
cdef Estimate[4096] bonded        # by callee: 1, some call of it has bonds
cdef HashKey key
draw_key(&key)


# ---------------------------------------------------------------------------------------------------- groups

cdef inline uint32_t root_of(uint32_t* parent, uint32_t tx) noexcept nogil:
    while parent[tx] != tx:
        parent[tx] = parent[parent[tx]]
        tx = parent[tx]
    return tx


cdef inline bint join(uint32_t* parent, uint32_t a, uint32_t b) noexcept nogil:
    """Merges two groups; the earlier root stands for both. False: they were one group already."""
    a = root_of(parent, a)
    b = root_of(parent, b)
    if a == b:
        return False
    if a < b:
        parent[b] = a
    else:
        parent[a] = b
    return True


cdef inline void join_by(Groups* groups, uint64_t name, uint32_t tx) noexcept nogil:
    cdef uint64_t mask = groups.mask, at = name & mask
    cdef NamedPlace* place = &groups.places[at]
    while place.block == groups.block:
        if place.name == name:
            join(groups.parent, place.tx, tx)
            return
        at = (at + 1) & mask
        place = &groups.places[at]
    place.block = groups.block
    place.name = name
    place.tx = tx
    groups.named += 1


cdef inline uint32_t callee(const TxData* tx) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, tx.to, 8)
    return <uint32_t>(word * <uint64_t>0x9e3779b97f4a7c15 >> 52)


cdef inline bint is_familiar(uint64_t name, uint32_t block) noexcept nogil:
    """Whether a similar call was seen in an earlier block. Marks the call as seen in this block."""
    cdef Estimate* seen = &familiar[name >> 49]
    cdef uint32_t tag = <uint32_t>name >> 16, known = seen.value()
    if known >> 16 != tag:
        known = tag << 16 | block
        seen.set(known)
    return <uint16_t>known != block


cdef inline bint look_at(Groups* groups, const TxData* tx, uint32_t number, uint32_t block) noexcept nogil:
    """Joins a transaction to the earlier ones with which it belongs. False: nothing is known of similar calls."""
    cdef uint64_t[2] holders
    cdef uint64_t name = 0, place
    cdef Bonds* known
    cdef bint seen = True
    cdef int i, found
    join_by(groups, hash_address(key, tx.sender) | 1, number)
    if tx.is_create:
        return True
    found = holders_of(tx, holders)
    for i in range(found):
        join_by(groups, holders[i], number)
    if found == 0 and tx.data_size:
        name = call_name(tx)
        seen = is_familiar(name, block)
    if bonded[callee(tx)].value():
        if name == 0:
            name = call_name(tx)
        known = &bonds[name >> 52]
        if known.is_name(name):
            for i in range(PLACES):
                place = known.place(i)
                if place == 0:
                    break
                join_by(groups, place, number)
    return seen


cdef bint room(Groups* groups, uint32_t count, uint32_t bins) noexcept nogil:
    cdef size_t places = 1024
    while places < 3 * <size_t>count:
        places *= 2
    groups.block += 1
    groups.named = 0
    groups.portion_count = 0
    if places > groups.place_count or groups.block == 0:
        free_array(groups.places)
        groups.places = NULL
        groups.place_count = 0
        groups.block = 1
        if not grow_array(<void**>&groups.places, &groups.place_count, places, sizeof(NamedPlace), True, NULL):
            return False
    groups.mask = places - 1
    return (
        grow_array(<void**>&groups.parent, &groups.parent_count, count, sizeof(uint32_t), False, NULL)
        and grow_array(<void**>&groups.worth, &groups.worth_count, count, sizeof(uint32_t), False, NULL)
        and grow_array(<void**>&groups.load, &groups.load_count, count, sizeof(uint64_t), False, NULL)
        and grow_array(<void**>&groups.bin_of, &groups.bin_of_count, count, sizeof(uint32_t), False, NULL)
        and grow_array(<void**>&groups.order, &groups.order_count, count, sizeof(uint32_t), False, NULL)
        and grow_array(<void**>&groups.first, &groups.first_count, 2 * (bins + 2), sizeof(uint32_t), False, NULL)
        and grow_array(<void**>&groups.portions, &groups.portions_capacity, count, sizeof(Portion), False, NULL)
    )


cdef size_t groups_bytes(const Groups* groups, size_t count) noexcept nogil:
    return (groups.mask + 1) * sizeof(NamedPlace) + count * (4 * sizeof(uint32_t) + sizeof(uint64_t) + sizeof(Portion))


cdef void groups_free(Groups* groups) noexcept nogil:
    free_array(groups.places)
    free_array(groups.parent)
    free_array(groups.worth)
    free_array(groups.load)
    free_array(groups.bin_of)
    free_array(groups.order)
    free_array(groups.first)
    free_array(groups.portions)
    memset(groups, 0, sizeof(Groups))


# ---------------------------------------------------------------------------------------------------- bins

cdef enum:
    NO_BIN = 0xffffffff


cdef uint32_t emptiest(const uint64_t* loads, uint32_t bins) noexcept nogil:
    cdef uint32_t b, found = 0
    for b in range(1, bins):
        if loads[b] < loads[found]:
            found = b
    return found


cdef void deal_large(Groups* groups, uint32_t count, uint64_t* loads, uint32_t bins, uint64_t share) noexcept nogil:
    """Deals out, the largest first, the groups that would not fit just anywhere."""
    cdef uint32_t tx, b, largest
    while True:
        largest = count
        for tx in range(count):
            if (
                groups.parent[tx] == tx and groups.bin_of[tx] == NO_BIN and groups.load[tx] * LARGE > share
                and (largest == count or groups.load[tx] > groups.load[largest])
            ):
                largest = tx
        if largest == count:
            return
        b = emptiest(loads, bins)
        groups.bin_of[largest] = b
        loads[b] += groups.load[largest]


cdef uint64_t set_loose(Groups* groups, uint32_t count, uint32_t bins, uint64_t share) noexcept nogil:
    """Leaves transactions near the end of the block that belong to no group to whichever thread is ready first. Returns
    their worth."""
    cdef uint64_t loose = 0, most = share * bins // LOOSE_PART
    cdef uint32_t tx = count
    while tx and loose < most:
        tx -= 1
        # A transaction is a group of one if the group's load is its own worth.
        if groups.parent[tx] == tx and groups.bin_of[tx] == NO_BIN and groups.load[tx] == groups.worth[tx]:
            groups.bin_of[tx] = bins
            loose += groups.worth[tx]
    return loose


cdef void deal_small(Groups* groups, uint32_t count, uint64_t* loads, uint32_t bins, uint64_t share) noexcept nogil:
    """Fills one bin after the other with the remaining groups, so that neighbours stay together."""
    cdef uint32_t tx, b = 0
    for tx in range(count):
        if groups.parent[tx] == tx and groups.bin_of[tx] == NO_BIN:
            while b < bins and loads[b] + groups.load[tx] // 2 > share:
                b += 1
            groups.bin_of[tx] = b if b < bins else emptiest(loads, bins)
            loads[groups.bin_of[tx]] += groups.load[tx]


cdef void put_in_order(Groups* groups, uint32_t count, uint32_t bins) noexcept nogil:
    """Sorts the transactions by bin; those in no bin come last."""
    cdef uint32_t* first = groups.first
    cdef uint32_t* next = first + bins + 2
    cdef uint32_t tx, b
    memset(first, 0, (bins + 2) * sizeof(uint32_t))
    for tx in range(count):
        first[groups.bin_of[tx] + 1] += 1
    for b in range(1, bins + 2):
        first[b] += first[b - 1]
    for b in range(bins + 1):
        next[b] = first[b]
    for tx in range(count):
        b = groups.bin_of[tx]
        groups.order[next[b]] = tx
        next[b] += 1
    groups.loose = groups.order + first[bins]


cdef void make_portions(Groups* groups, uint32_t count, uint32_t bins, uint64_t most) noexcept nogil:
    """Makes portions of loose transactions such that none of a bin lies within one: the bin that runs a portion then
    runs it in block order."""
    cdef Portion* portion = NULL
    cdef uint32_t tx, at = 0
    for tx in range(count):
        if groups.bin_of[tx] != bins:
            portion = NULL
            continue
        if portion == NULL or portion.worth + groups.worth[tx] > most:
            portion = &groups.portions[groups.portion_count]
            groups.portion_count += 1
            portion.first = at
            portion.worth = 0
            portion.state = 0
        at += 1
        portion.end = at
        portion.worth += groups.worth[tx]


cdef bint group(Groups* groups, TxData** txs, uint32_t count, uint32_t bins, uint32_t begun) noexcept nogil:
    cdef uint64_t[64] loads
    cdef uint64_t total = 0, unknown = 0, share, loose
    cdef bint known
    cdef uint32_t tx, b, large = 0, block = <uint16_t>(blocks.value() + 1)
    blocks.set(block)
    groups.strange = False
    if not room(groups, count, bins):
        return False
    for tx in range(count):
        groups.parent[tx] = tx
        groups.load[tx] = 0
        groups.bin_of[tx] = NO_BIN
    for tx in range(count):
        if tx + AHEAD < count:
            prefetch(txs[tx + AHEAD], sizeof(TxData))
        if tx + AHEAD // 2 < count:
            prefetch(txs[tx + AHEAD // 2].data, min(txs[tx + AHEAD // 2].data_size, <size_t>LOOKED_AT))
        groups.worth[tx] = expected_worth(txs[tx])
        known = look_at(groups, txs[tx], tx, block)
        if tx >= begun:
            total += groups.worth[tx]
            unknown += 0 if known else groups.worth[tx]
        if groups.named * 4 > groups.mask * 3:
            return False
    groups.strange = unknown * UNKNOWN_PART > total
    if groups.strange:
        return False
    share = total // bins
    for b in range(bins):
        loads[b] = 0
    for tx in range(count):
        groups.parent[tx] = root_of(groups.parent, tx)
        if tx >= begun:
            groups.load[groups.parent[tx]] += groups.worth[tx]
        else:
            groups.bin_of[groups.parent[tx]] = 0
    for tx in range(count):
        if groups.parent[tx] == tx:
            if groups.bin_of[tx] == 0:
                loads[0] += groups.load[tx]
            else:
                large += groups.load[tx] * LARGE > share
    if large:
        deal_large(groups, count, loads, bins, share)
    for b in range(bins):
        if loads[b] > share + total // UNEVEN_PART:
            return False
    loose = set_loose(groups, count, bins, share)
    deal_small(groups, count, loads, bins, (total - loose) // bins)
    for tx in range(count):
        groups.bin_of[tx] = groups.bin_of[groups.parent[tx]]
    put_in_order(groups, count, bins)
    make_portions(groups, count, bins, total // PORTIONS)
    return True


cdef bint group_at_random(Groups* groups, uint32_t count, uint32_t bins, uint32_t begun, uint64_t seed) noexcept nogil:
    cdef uint32_t tx
    if not room(groups, count, bins):
        return False
    for tx in range(count):
        seed = seed * <uint64_t>6364136223846793005 + <uint64_t>1442695040888963407
        groups.parent[tx] = tx
        groups.worth[tx] = 1
        groups.bin_of[tx] = <uint32_t>(seed >> 33) % (bins + 1) if tx >= begun else 0
    put_in_order(groups, count, bins)
    make_portions(groups, count, bins, 4)
    return True


# ---------------------------------------------------------------------------------------------------- learning

cdef bint note_bond(
    Groups* groups, TxData** txs, const uint32_t* met, size_t count, const uint8_t* address, const u256* slot
) noexcept nogil:
    cdef uint64_t place = hash_address(key, address), name
    cdef size_t i
    cdef bint news = False
    for i in range(1, count):
        news |= join(groups.parent, met[0], met[i])
    if not news:
        return False                             # other places have put them together already
    if slot != NULL:
        place = (place * <uint64_t>0x9e3779b97f4a7c15) ^ hash_words4(key, slot.w)
    place |= 1
    for i in range(count):
        if not txs[met[i]].is_create:
            name = call_name(txs[met[i]])
            bonds[name >> 52].add(name, place)
            bonded[callee(txs[met[i]])].set(1)
    return True


cdef void forget_bonds() noexcept nogil:
    cdef int i
    for i in range(KINDS):
        bonds[i].forget()
    for i in range(FAMILIAR):
        familiar[i].set(0)
    for i in range(CALLEES):
        bonded[i].set(0)
