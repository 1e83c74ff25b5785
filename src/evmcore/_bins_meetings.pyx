"""Meetings between bins; see `_bins_meetings.pxd`."""
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint32_t
from libcpp cimport bool as cbool
from libcpp.algorithm cimport sort

from evmcore._bins_block cimport Bin, Bins, Meeting
from evmcore._grouping cimport note_bond
from evmcore._growing cimport grow_array
from evmcore._state cimport (
    PART_BALANCE, PART_CODE, PART_EXISTS, PART_NONCE, PART_WIPED, USE_BALANCE, USE_CODE, USE_EXISTS, USE_NONCE, USE_NONCE_SET,
    AccountEntry, SlotEntry, WorkingSet, ws_account_changed_first, ws_ask_for_account, ws_find_account, ws_find_slot,
    ws_least_balance, ws_slot_changed_first,
)
from evmcore._sync cimport atomic_add32
from evmcore._u256 cimport u256, u_is_zero, u_lt, u_sub

cdef enum:
    MOST_MEETINGS = 256           # that are examined; with more, no transaction counts
    PIECE = 128                   # accounts or slots that one thread looks up at a time
    AHEAD = 8                     # entries that are prefetched before their lookup
    NOBODY = 0xffffffff


cdef bint meetings_open(Bins* bins) noexcept nogil:
    bins.may_know = True
    bins.meeting_count = 0
    return (
        grow_array(<void**>&bins.meetings, &bins.meetings_count, MOST_MEETINGS, sizeof(Meeting), False, NULL)
        and grow_array(<void**>&bins.met, &bins.met_count, bins.tx_count, sizeof(uint32_t), False, NULL)
    )


# ---------------------------------------------------------------------------------------------------- lookup

cdef inline bint was_touched(const Bins* bins, uint32_t seen) noexcept nogil:
    return seen > bins.first_epoch


cdef inline bint paid_too_much(const Bins* bins, const WorkingSet* one, uint32_t a, const AccountEntry* other) noexcept nogil:
    """Whether what one bin takes from an account may be part of what another bin relied on, if every other bin took as
    much."""
    cdef u256 start, least, spare, paid
    cdef uint32_t past = one.accounts[a].past, i
    if u_is_zero(&other.balance_floor):
        return False
    while one.past_accounts[past].previous:
        past = one.past_accounts[past].previous
    start = one.past_accounts[past].balance
    least = ws_least_balance(one, a)
    u_sub(&paid, &start, &least)
    u_sub(&spare, &other.base.balance, &other.balance_floor)
    for i in range(1, bins.count):
        if u_lt(&spare, &paid):
            return True
        u_sub(&spare, &spare, &paid)
    return False


cdef bint disturbs(const Bins* bins, const WorkingSet* one, uint32_t a, const AccountEntry* other) noexcept nogil:
    """Whether a bin's changes to an account mattered, or may have mattered, in another bin that touched the account."""
    cdef const AccountEntry* entry = &one.accounts[a]
    cdef int parts = entry.all_parts
    if entry.past == 0:
        return False
    if parts & PART_WIPED:
        return True
    if parts & PART_NONCE and (
        other.uses & USE_NONCE or (other.past and other.all_parts & PART_NONCE)
        or (other.uses & USE_NONCE_SET and entry.base.nonce == 0)
    ):
        return True
    if parts & PART_CODE and (other.uses & USE_CODE or (other.past and other.all_parts & PART_CODE)):
        return True
    if parts & PART_EXISTS and (other.uses & USE_EXISTS or not entry.exists):
        return True
    return parts & PART_BALANCE and (other.uses & USE_BALANCE or paid_too_much(bins, one, a, other))


cdef void note_who_met(
    Bins* bins, uint32_t earlier, uint32_t later, uint32_t in_earlier, uint32_t in_later, bint is_slot
) noexcept nogil:
    cdef int32_t number = atomic_add32(&bins.meeting_count, 1) - 1
    cdef Meeting* meeting
    if number < <int32_t>MOST_MEETINGS:
        meeting = &bins.meetings[number]
        meeting.earlier = earlier
        meeting.later = later
        meeting.in_earlier = in_earlier
        meeting.in_later = in_later
        meeting.is_slot = is_slot


cdef void look_up_account(Bins* bins, uint32_t later, uint32_t number) noexcept nogil:
    cdef const WorkingSet* mine = bins.bins[later].machine.ws
    cdef WorkingSet* theirs
    cdef const AccountEntry* entry = &mine.accounts[number]
    cdef uint32_t b, twin
    for b in range(later):
        theirs = bins.bins[b].machine.ws
        if number + AHEAD < mine.account_count:
            ws_ask_for_account(theirs, mine.accounts[number + AHEAD].address)
        twin = ws_find_account(theirs, entry.address)
        bins.bins[later].twins[b * mine.account_count + number] = twin
        if twin and was_touched(bins, entry.seen) and was_touched(bins, theirs.accounts[twin].seen) and (
            disturbs(bins, mine, number, &theirs.accounts[twin]) or disturbs(bins, theirs, twin, entry)
        ):
            note_who_met(bins, b, later, twin, number, False)


cdef void look_up_slot(Bins* bins, uint32_t later, uint32_t number) noexcept nogil:
    cdef const WorkingSet* mine = bins.bins[later].machine.ws
    cdef const SlotEntry* slot = &mine.slots[number]
    cdef WorkingSet* theirs
    cdef uint32_t b, account, twin
    if not was_touched(bins, slot.seen):
        return
    for b in range(later):
        account = bins.bins[later].twins[b * mine.account_count + slot.account]
        if account == 0:
            continue
        theirs = bins.bins[b].machine.ws
        twin = ws_find_slot(theirs, account, &slot.key)
        if twin and was_touched(bins, theirs.slots[twin].seen) and (slot.past or theirs.slots[twin].past):
            note_who_met(bins, b, later, twin, number, True)


cdef inline uint32_t pieces_of(const WorkingSet* ws, bint slots) noexcept nogil:
    return ((ws.slot_count if slots else ws.account_count) + PIECE - 1) // PIECE


cdef void prepare_looking_up(void* self, uint32_t* accounts, uint32_t* slots) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef WorkingSet* ws
    cdef size_t wanted = 0
    cdef uint32_t b
    for b in range(1, bins.count):
        wanted += <size_t>b * bins.bins[b].machine.ws.account_count
    bins.may_know = grow_array(<void**>&bins.twins, &bins.twins_count, wanted, sizeof(uint32_t), False, NULL)
    accounts[0] = slots[0] = 0
    if not bins.may_know:
        return
    wanted = 0
    for b in range(1, bins.count):
        ws = bins.bins[b].machine.ws
        bins.bins[b].twins = bins.twins + wanted
        wanted += <size_t>b * ws.account_count
        accounts[0] += pieces_of(ws, False)
        slots[0] += pieces_of(ws, True)


cdef void look_up(void* self, uint32_t piece, cbool slots) noexcept nogil:
    cdef Bins* bins = <Bins*>self
    cdef const WorkingSet* ws
    cdef uint32_t b = 1, number, end
    while piece >= pieces_of(bins.bins[b].machine.ws, slots):
        piece -= pieces_of(bins.bins[b].machine.ws, slots)
        b += 1
    ws = bins.bins[b].machine.ws
    end = min((piece + 1) * PIECE, ws.slot_count if slots else ws.account_count)
    for number in range(max(piece * PIECE, <uint32_t>1), end):
        if slots:
            look_up_slot(bins, b, number)
        else:
            look_up_account(bins, b, number)


# ---------------------------------------------------------------------------------------------------- what came first

cdef uint32_t touching(const Bin* bin, uint32_t number, bint is_slot, uint32_t* places) noexcept nogil:
    """The places of a bin's transactions that touched an account or slot, ascending. Returns how many there are."""
    cdef const WorkingSet* ws = bin.machine.ws
    cdef const uint32_t* seen = ws.seen_slots if is_slot else ws.seen_accounts
    cdef const uint32_t* ends = bin.slot_ends if is_slot else bin.account_ends
    cdef uint32_t tx, at = 0, found = 0
    for tx in range(bin.done):
        while at < ends[tx]:
            if seen[at] == number and (found == 0 or places[found - 1] != bin.places[tx]):
                places[found] = bin.places[tx]
                found += 1
            at += 1
    return found


cdef uint32_t changed_first(const Bins* bins, const WorkingSet* ws, uint32_t number, bint is_slot) noexcept nogil:
    """The place of the first transaction that changed an account or slot; NOBODY: none did."""
    cdef uint32_t epoch = ws_slot_changed_first(ws, number) if is_slot else ws_account_changed_first(ws, number)
    return epoch - bins.first_epoch - 1 if epoch else <uint32_t>NOBODY


cdef uint32_t first_after(const uint32_t* places, uint32_t count, uint32_t changed) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if places[i] > changed:
            return places[i]
    return NOBODY


cdef uint32_t judge(Bins* bins, const Meeting* meeting) noexcept nogil:
    """The transaction from which on a meeting makes the outcome doubtful; NOBODY: none. A meeting that does is
    remembered."""
    cdef const Bin* earlier = &bins.bins[meeting.earlier]
    cdef const Bin* later = &bins.bins[meeting.later]
    cdef const WorkingSet* ws = later.machine.ws
    cdef uint32_t* met = bins.met
    cdef uint32_t in_earlier = touching(earlier, meeting.in_earlier, meeting.is_slot, met)
    cdef uint32_t in_later = touching(later, meeting.in_later, meeting.is_slot, met + in_earlier)
    cdef uint32_t doubtful = min(
        first_after(
            met + in_earlier, in_later, changed_first(bins, earlier.machine.ws, meeting.in_earlier, meeting.is_slot)
        ),
        first_after(met, in_earlier, changed_first(bins, ws, meeting.in_later, meeting.is_slot)),
    )
    if doubtful == NOBODY:
        return NOBODY
    sort(met, met + in_earlier + in_later)
    if meeting.is_slot:
        bins.news += note_bond(
            &bins.groups, bins.txs, met, in_earlier + in_later, ws.accounts[ws.slots[meeting.in_later].account].address,
            &ws.slots[meeting.in_later].key,
        )
    else:
        bins.news += note_bond(
            &bins.groups, bins.txs, met, in_earlier + in_later, ws.accounts[meeting.in_later].address, NULL
        )
    return doubtful


cdef uint32_t first_doubtful(Bins* bins, uint32_t limit) noexcept nogil:
    cdef int32_t i
    cdef uint32_t first = limit
    if not bins.may_know or bins.meeting_count > <int32_t>MOST_MEETINGS:
        first = 0
    for i in range(min(bins.meeting_count, <int32_t>MOST_MEETINGS)):
        first = min(first, judge(bins, &bins.meetings[i]))
    return first
