"""Asks a node for values that an incomplete state lacks. See `_upstream_fetch.pxd`."""
cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING
from evmcore._code cimport Code, code_find, code_intern
from evmcore._u256 cimport u256, u256_from_int
from evmcore.state._cache_native cimport (
    AccountRecord, Added, Answer, EXISTS, IS_ABSENT, StateKey, record_without_account,
)
from evmcore.state._cache_reader cimport CacheReader, Fetcher

from evmcore.errors import ResourceError, StateUnknown
from evmcore.state.base import EMPTY_CODE_HASH
from evmcore.blocks import EMPTY_TRIE_ROOT


@cython.auto_pickle(False)
cdef class UpstreamFetcher(Fetcher):
    """Asks `upstream` (see `upstream.Upstream`) for values that are not in the state."""

    cdef int ask_upstream(self, CacheReader view, vector[StateKey]& keys) except -1:
        """Asks the upstream, if there is one, for all values that Redis does not have, at once; raises StateUnknown
        without an upstream. The answers hold at the reader's step; see `keep_slot` for those that hold longer."""
        cdef dict wanted = {}
        cdef set accounts = set()
        cdef bytes address
        cdef size_t i
        if self.upstream is None:
            address, slot = view.key_of(&keys[0])
            what = f"account 0x{address.hex()}" if slot is None else f"slot {slot:#x} of 0x{address.hex()}"
            raise StateUnknown(
                f"{what} was not loaded into this incomplete state, and no node is configured to ask for it"
            )
        for i in range(keys.size()):
            address, slot = view.key_of(&keys[i])
            slots = wanted.setdefault(address, [])
            if slot is None:
                accounts.add(address)
            elif slot not in slots:
                slots.append(slot)
        header = view.header()
        self.upstream_questions += 1
        found = self.upstream.accounts(header, wanted)
        self.keep_codes_of(view, header, {address: found[address].code_hash for address in accounts})
        for i in range(keys.size()):
            address, slot = view.key_of(&keys[i])
            if slot is None:
                self.keep_account(view, keys[i], found[address])
            else:
                self.keep_slot(view, keys[i], found[address].slots[slot])
        return 0

    cdef int keep_codes_of(self, CacheReader view, object header, dict hashes) except -1:
        """Gets the codes of accounts, given by their hashes, unless they are in this process already."""
        cdef bytes code_hash, code
        cdef Code* known
        cdef dict needed = {}
        for address, code_hash in hashes.items():
            if code_hash == EMPTY_CODE_HASH:
                continue
            known = code_find(<const uint8_t*>PyBytes_AS_STRING(code_hash))
            if known == NULL:
                needed[address] = code_hash
            else:
                view.keep_code(known)
        if needed:
            for address, code in self.upstream.codes(header, needed).items():
                code_hash = needed[address]
                view.keep_code(code_intern(
                    <const uint8_t*>PyBytes_AS_STRING(code_hash), <const uint8_t*>PyBytes_AS_STRING(code), len(code)
                ))
        return 0

    cdef int keep_account(self, CacheReader view, StateKey& key, object account) except -1:
        """Keeps an account that Redis does not have: no feed entry will tell its changes, so it holds only at this step."""
        cdef AccountRecord record
        cdef bytes code_hash
        if not account.exists:
            record = record_without_account(IS_ABSENT)
        else:
            code_hash = account.code_hash
            record = record_without_account(EXISTS)
            record.nonce = account.nonce
            record.balance = u256_from_int(account.balance, "upstream balance")
            memcpy(record.code_hash, PyBytes_AS_STRING(code_hash), 32)
            record.storage_complete = account.storage_root == EMPTY_TRIE_ROOT
            record.slot_count = account.storage_root is not None and not record.storage_complete
        view.view.own_account(key.address_data(), record)
        return 0

    cdef int keep_slot(self, CacheReader view, StateKey& key, object given) except -1:
        """Puts a slot of an account known in part into the shared cache: the feed tells its changes."""
        cdef u256 value = u256_from_int(given, "upstream storage")
        cdef u256 here
        cdef Added added = Added.OUTSIDE
        cdef AccountRecord record
        view.begin_read()
        try:
            if view.cache.cache.account(view.view.view.seq, key.address_data(), &record) and record.presence == EXISTS:
                view.cache.cache.editing.lock()
                added = view.cache.cache.add_slot(view.view.view.seq, key.address_data(), &key.slot, &value)
                view.cache.cache.editing.unlock()
            if added == Added.NO_MEMORY:
                raise ResourceError("no memory for the state cache")
            if view.view.slot(key.address_data(), &key.slot, &here) != Answer.KNOWN:
                view.view.own_slot(key.address_data(), &key.slot, value)
        finally:
            view.end_read()
        return 0
