"""Reading for speculative runs; see `_stm_read.pxd`."""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from evmcore._code cimport Code, code_retain
from evmcore._hints cimport SHARES_SLOTS
from evmcore._state cimport ABSENT, FOUND, READ_FAILED, AccountData, Found
from evmcore._stm cimport (
    EMPTY_CODE_HASH, Base, Location, Seen, account_roughly_before, balance_before, delay_point, is_written, kCode, kLife, kNonce,
    kParts, latest, new_apart, slot_before,
)
from evmcore._stm_block cimport RECENT_CODES, Worker
from evmcore._u256 cimport u256


cdef bint account_base(Worker* w, const uint8_t* address, Base* base) noexcept nogil:
    """An account before the block. False: the state cannot be read."""
    cdef AccountData data
    cdef Found found = w.block.base.account(w.block.base.self, address, &data)
    base.exists = found == FOUND
    if found == FOUND:
        base.balance = data.balance
        base.nonce = data.nonce
        base.has_storage = data.has_storage
        memcpy(base.code_hash, data.code_hash, 32)
    else:
        memset(&base.balance, 0, sizeof(u256))
        base.nonce = 0
        base.has_storage = False
        memcpy(base.code_hash, EMPTY_CODE_HASH, 32)
    return found != READ_FAILED


cdef bint slot_base(Worker* w, const uint8_t* address, const u256* key, const u256* known, Base* base) noexcept nogil:
    """A slot before the block. False: the state cannot be read, or there is no room."""
    cdef Location* account
    if known != NULL:
        base.balance = known[0]
        return True
    memset(&base.balance, 0, sizeof(u256))
    account = account_location(w, address)
    if account == NULL:
        return False
    return not account.base.exists or w.block.base.storage(w.block.base.self, address, key, &base.balance) != READ_FAILED


cdef Location* account_location(Worker* w, const uint8_t* address) noexcept nogil:
    cdef Location* location = w.last_account
    cdef Base base
    if location != NULL and memcmp(location.address, address, 20) == 0:
        return location
    if w.apart:
        location = new_apart(w.records[0], address, NULL)
        if location != NULL and not account_base(w, address, &location.base):
            location = NULL
    else:
        location = w.block.store.find(address, NULL)
        if location == NULL:
            w.full = True
        elif not location.base_known():
            if not account_base(w, address, &base):
                return NULL
            location.set_base(base)
    w.last_account = location
    return location


cdef Location* slot_location(Worker* w, const uint8_t* address, const u256* key, const u256* known) noexcept nogil:
    cdef Location* location
    cdef Base base
    if w.apart:
        location = new_apart(w.records[0], address, key)
        return location if location != NULL and slot_base(w, address, key, known, &location.base) else NULL
    location = w.block.store.find(address, key)
    if location == NULL:
        w.full = True
    elif not location.base_known():
        memset(&base, 0, sizeof(Base))
        if not slot_base(w, address, key, known, &base):
            return NULL
        location.set_base(base)
    return location


cdef bint met_estimate(Worker* w, const Location* location, int part) noexcept nogil:
    cdef Seen seen = latest(location.cells[part], w.tx)
    if seen.estimate:
        w.blocked_on = seen.writer
        return True
    return False


cdef bint met_lasting_estimate(Worker* w, const Location* slot) noexcept nogil:
    """Like `met_estimate`, but passes an estimated delta: the next incarnation will likely write a delta again, and it
    matters little which."""
    cdef Seen seen = latest(slot.cells[0], w.tx)
    if seen.estimate and not seen.value.delta:
        w.blocked_on = seen.writer
        return True
    return False


cdef Found read_account(void* self, const uint8_t* address, AccountData* out) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef Location* location = account_location(w, address)
    cdef const Base* found
    cdef Base now
    cdef bint exists
    cdef int part
    if location == NULL:
        return READ_FAILED
    if w.apart:
        w.reader.rough = False
        found = &location.base
    else:
        if is_written(location):
            for part in range(<int>kNonce, <int>kParts):
                if met_estimate(w, location, part):
                    return READ_FAILED
        w.reader.rough = account_roughly_before(location[0], w.tx, &now)
        found = &now
    exists = found.exists
    out.balance = found.balance
    out.nonce = found.nonce
    out.has_storage = found.has_storage
    memcpy(out.code_hash, found.code_hash, 32)
    # The sender's nonce is assumed to be that of the transaction; the committer validates it.
    if memcmp(address, w.block.txs[w.tx - 1].sender, 20) == 0:
        out.nonce = w.block.txs[w.tx - 1].nonce
        exists = True
    w.reader.origin = location
    w.reader.known_code = w.recent_codes[out.code_hash[0] % RECENT_CODES] if w.apart else <Code*>location.code()
    if w.reader.known_code != NULL and memcmp(out.code_hash, w.reader.known_code.hash, 32) != 0:
        w.reader.known_code = NULL
    delay_point(w.delays)
    return FOUND if exists else ABSENT


cdef void read_balance(void* self, void* origin, u256* balance) noexcept nogil:
    cdef Worker* w = <Worker*>self
    delay_point(w.delays)
    balance_before((<Location*>origin)[0], w.tx, balance)


cdef Found read_storage(void* self, const uint8_t* address, const u256* key, u256* value) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef Location* location = slot_location(w, address, key, NULL)
    cdef Location* account
    if location != NULL and w.apart:
        w.reader.contended = False
        w.reader.origin = location
        value[0] = location.base.balance
        return FOUND
    account = account_location(w, address)
    if account == NULL or location == NULL or met_lasting_estimate(w, location) or met_estimate(w, account, <int>kLife):
        return READ_FAILED
    w.reader.contended = w.watches and (w.block.sharing[w.tx] >= SHARES_SLOTS or is_written(location))
    slot_before(location[0], account[0], w.tx, value)
    delay_point(w.delays)
    w.reader.origin = location
    return FOUND


cdef Code* read_code(void* self, const uint8_t* address, const uint8_t* code_hash) noexcept nogil:
    cdef Worker* w = <Worker*>self
    cdef Location* location = account_location(w, address)
    cdef Seen seen
    if location == NULL:
        return NULL
    if w.apart:
        return w.block.base.code(w.block.base.self, address, code_hash)
    delay_point(w.delays)
    seen = latest(location.cells[<int>kCode], w.tx)
    if seen.value != NULL and seen.value.code != NULL and memcmp(&seen.value.word, code_hash, 32) == 0:
        code_retain(<Code*>seen.value.code)
        return <Code*>seen.value.code
    if seen.value != NULL:
        w.blocked_on = seen.writer               # changed since the account was read; run again when it is settled
        return NULL
    return w.block.base.code(w.block.base.self, address, code_hash)


cdef Found read_block_hash(void* self, uint64_t number, uint8_t* out) noexcept nogil:
    cdef Worker* w = <Worker*>self
    if w.block.base.block_hash == NULL:
        return ABSENT
    return w.block.base.block_hash(w.block.base.self, number, out)


cdef void reader_init(Worker* w) noexcept nogil:
    w.reader.self = w
    w.reader.account = read_account
    w.reader.balance = read_balance
    w.reader.storage = read_storage
    w.reader.code = read_code
    w.reader.block_hash = read_block_hash
