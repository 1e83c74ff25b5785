"""Records what the executable specification accesses and changes, and makes a block access list of it (EIP-7928).

Run by the interpreter of the environment that has the specification; knows nothing of evmcore. The specification's
older forks look at the state before they charge for it; the EIP says which charges come first, so those are checked
here, in the EIP's words, before an instruction runs, and what it looks at without having paid for it does not count.
"""

import contextlib
import sys

COLD_ACCOUNT, COLD_SLOT, WARM = 2600, 2100, 100
CALL_VALUE, CALL_STIPEND, COPY_WORD = 9000, 2300, 3
DELEGATION = b"\xef\x01\x00"
OLD = ("frontier", "homestead", "dao_fork")
EARLY = (*OLD, "tangerine_whistle")
MIDDLE = (*EARLY, "spurious_dragon", "byzantium", "constantinople")


def fixed_prices(fork_name):
    """The forks' prices before accesses were priced as warm or cold (EIP-2929); None from then on."""
    if fork_name in OLD:
        return {"SLOAD": 50, "BALANCE": 20, "EXT": 20, "EXTCODEHASH": 0, "CALL": 40, "SELFDESTRUCT": 0, "SSTORE": 0}
    if fork_name in MIDDLE:
        return {
            "SLOAD": 200,
            "BALANCE": 400,
            "EXT": 700,
            "EXTCODEHASH": 400,
            "CALL": 700,
            "SELFDESTRUCT": 5000,
            "SSTORE": 0,
        }
    if fork_name in ("istanbul", "muir_glacier"):
        return {
            "SLOAD": 800,
            "BALANCE": 700,
            "EXT": 700,
            "EXTCODEHASH": 700,
            "CALL": 700,
            "SELFDESTRUCT": 5000,
            "SSTORE": CALL_STIPEND + 1,
        }
    return None


class Recorder:
    """Stands between a fork's modules and its state while one block is executed."""

    def __init__(self, t8n):
        fork = t8n.fork
        self.t8n = t8n
        self.state_module = fork._module("state")
        self.package = self.state_module.__name__.rpartition(".")[0]
        self.prices = fixed_prices(self.package.rpartition(".")[2])
        self.instructions = fork._module("vm.instructions")
        self.memory_gas = fork._module("vm.gas").calculate_gas_extend_memory
        self.paused = 0
        self.state = None
        self.index = 0
        self.now_accounts, self.now_slots = set(), set()
        self.listed_accounts, self.listed_slots = set(), set()
        self.accounts, self.slots = {}, {}  # value as of the end of the last part that accessed it
        self.changes, self.slot_changes = {}, {}
        self.parts = {}  # accounts and slots of each part, by its index
        self.undo = []

    # ---- in between

    def replace(self, module, name, function):
        old = getattr(module, name)
        for other in [m for n, m in sys.modules.items() if n.startswith(self.package + ".") and m is not None]:
            if getattr(other, name, None) is old:
                self.undo.append((other, name, old))
                setattr(other, name, function)

    def __enter__(self):
        self.read_account = self.state_module.get_account_optional
        self.read_slot = self.state_module.get_storage
        read_account, read_slot = self.read_account, self.read_slot

        def get_account_optional(state, address):
            self.see_account(state, bytes(address))
            return read_account(state, address)

        def get_storage(state, address, key):
            self.see_slot(state, bytes(address), bytes(key))
            return read_slot(state, address, key)

        self.replace(self.state_module, "get_account_optional", get_account_optional)
        self.replace(self.state_module, "get_storage", get_storage)
        fork_module = sys.modules[self.package + ".fork"]
        self.follow_transactions(fork_module)
        for name in ("process_withdrawals", "process_general_purpose_requests"):
            if hasattr(fork_module, name):
                self.follow_end(fork_module, name)
        pay_block_rewards = self.t8n.pay_block_rewards

        def pay(*arguments):
            self.start_end()
            pay_block_rewards(*arguments)

        self.t8n.pay_block_rewards = pay
        self.implementations = dict(self.instructions.op_implementation)
        for op, implementation in self.implementations.items():
            check = CHECKS.get(op.name)
            if check is not None:
                self.instructions.op_implementation[op] = self.guarded(op.name, check, implementation)
        return self

    def follow_transactions(self, fork_module):
        function = fork_module.process_transaction

        def process_transaction(*arguments, **named):
            self.end_part()
            self.started += 1
            self.index = self.started
            try:
                return function(*arguments, **named)
            except BaseException:  # rejected: as if it had not been there
                self.started -= 1
                self.now_accounts, self.now_slots = set(), set()
                raise

        self.replace(fork_module, "process_transaction", process_transaction)

    def follow_end(self, fork_module, name):
        function = getattr(fork_module, name)

        def wrapped(*arguments, **named):
            self.start_end()
            return function(*arguments, **named)

        self.replace(fork_module, name, wrapped)

    def __exit__(self, *_):
        for module, name, old in reversed(self.undo):
            setattr(module, name, old)
        self.instructions.op_implementation.update(self.implementations)

    # ---- parts of the block

    started = 0
    ended = False

    def start_end(self):
        if not self.ended:
            self.ended = True
            self.end_part()
            self.index = self.started + 1

    def end_part(self):
        """Compares what was accessed with what it was before this part."""
        for address in self.now_accounts:
            before, after = self.accounts[address], self.account_now(address)
            changes = self.changes.setdefault(address, ([], [], []))
            for kind in range(3):
                if before[kind] != after[kind]:
                    changes[kind].append((self.index, after[kind]))
            self.accounts[address] = after
        for address, key in self.now_slots:
            after = int(self.read_slot(self.state, *self.typed(address, key)))
            if self.slots[address, key] != after:
                self.slot_changes.setdefault((address, key), []).append((self.index, after))
            self.slots[address, key] = after
        self.listed_accounts |= self.now_accounts
        self.listed_slots |= self.now_slots
        accounts, slots = self.parts.setdefault(self.index, (set(), set()))
        accounts |= self.now_accounts
        slots |= self.now_slots
        self.now_accounts, self.now_slots = set(), set()

    # ---- the state

    def typed(self, address, key):
        from ethereum_types.bytes import Bytes20, Bytes32

        return Bytes20(address), Bytes32(key)

    def account_now(self, address):
        from ethereum_types.bytes import Bytes20

        account = self.read_account(self.state, Bytes20(address))
        return (0, 0, b"") if account is None else (int(account.balance), int(account.nonce), bytes(account.code))

    def see_account(self, state, address):
        self.state = state
        if self.paused:
            return
        if address not in self.accounts:
            self.accounts[address] = self.account_now(address)
        self.now_accounts.add(address)

    def see_slot(self, state, address, key):
        self.state = state
        if self.paused:
            return
        if (address, key) not in self.slots:
            self.slots[address, key] = int(self.read_slot(state, *self.typed(address, key)))
        self.now_slots.add((address, key))

    # ---- instructions

    def guarded(self, name, check, implementation):
        def run(evm):
            allowed = True
            # With too few words on the stack the instruction says so itself, before it looks at anything.
            with contextlib.suppress(IndexError):
                allowed = check(self, name, evm)
            if allowed:
                return implementation(evm)
            self.paused += 1
            try:
                implementation(evm)
            finally:
                self.paused -= 1
            raise AssertionError(f"{name} was run to its end without having been paid for")

        return run

    def account_price(self, evm, address, fixed):
        if self.prices is not None:
            return self.prices[fixed]
        return WARM if address in evm.accessed_addresses else COLD_ACCOUNT

    def slot_price(self, evm, fixed):
        if self.prices is not None:
            return self.prices[fixed]
        key = (evm.message.current_target, word(evm, 0).to_be_bytes32())
        return WARM if key in evm.accessed_storage_keys else COLD_SLOT

    def memory_price(self, evm, *regions):
        return int(self.memory_gas(evm.memory, list(regions)).cost)


def word(evm, depth):
    if depth >= len(evm.stack):
        raise IndexError
    return evm.stack[-1 - depth]


def address_at(evm, depth):
    from ethereum_types.bytes import Bytes20

    return Bytes20(word(evm, depth).to_be_bytes32()[-20:])


def paid(evm, price):
    return int(evm.gas_left) >= price


def is_static(evm):
    return getattr(evm.message, "is_static", False)


def check_account(recorder, name, evm):
    fixed = {"BALANCE": "BALANCE", "EXTCODEHASH": "EXTCODEHASH"}.get(name, "EXT")
    price = recorder.account_price(evm, address_at(evm, 0), fixed)
    if name == "EXTCODECOPY":
        size = word(evm, 3)
        price += COPY_WORD * ((int(size) + 31) // 32) + recorder.memory_price(evm, (word(evm, 1), size))
    return paid(evm, price)


def check_slot(recorder, name, evm):
    price = recorder.slot_price(evm, name)
    if name == "SSTORE":
        if is_static(evm):
            return False
        if recorder.prices is None:
            price = max(price, CALL_STIPEND + 1)
    return paid(evm, price)


def check_selfdestruct(recorder, name, evm):
    if is_static(evm):
        return False
    price = recorder.account_price(evm, address_at(evm, 0), name)
    if recorder.prices is None:
        price = 5000 + (price if price == COLD_ACCOUNT else 0)
    return paid(evm, price)


def check_call(recorder, name, evm):
    target = address_at(evm, 1)
    at = 3 if name in ("CALL", "CALLCODE") else 2
    price = recorder.account_price(evm, target, "CALL")
    if at == 3 and word(evm, 2) != 0:
        if name == "CALL" and is_static(evm):
            return False
        price += CALL_VALUE
    regions = (word(evm, at), word(evm, at + 1)), (word(evm, at + 2), word(evm, at + 3))
    price += recorder.memory_price(evm, *regions)
    if not paid(evm, price):
        return False
    # From here on accessed, also where the call then fails for the caller's balance or its depth.
    recorder.see_account(recorder.state, bytes(target))
    code = recorder.account_now(bytes(target))[2]
    if len(code) == 23 and code[:3] == DELEGATION and hasattr(evm.message, "disable_precompiles"):
        from ethereum_types.bytes import Bytes20

        delegate = Bytes20(code[3:])
        warm = delegate in evm.accessed_addresses or delegate == target
        if not paid(evm, price + (WARM if warm else COLD_ACCOUNT)):
            return False  # the target was accessed, what it names was not
        recorder.see_account(recorder.state, bytes(delegate))
    return True


CHECKS = {
    "BALANCE": check_account,
    "EXTCODESIZE": check_account,
    "EXTCODECOPY": check_account,
    "EXTCODEHASH": check_account,
    "SLOAD": check_slot,
    "SSTORE": check_slot,
    "SELFDESTRUCT": check_selfdestruct,
    "CALL": check_call,
    "CALLCODE": check_call,
    "DELEGATECALL": check_call,
    "STATICCALL": check_call,
}


def access_list(recorder):
    """The list in the JSON form of the execution-spec-tests."""
    listed = []
    for address in sorted(recorder.listed_accounts):
        keys = sorted(key for owner, key in recorder.listed_slots if owner == address)
        written = [key for key in keys if (address, key) in recorder.slot_changes]
        balances, nonces, codes = recorder.changes.get(address, ([], [], []))
        listed.append(
            {
                "address": "0x" + address.hex(),
                "storageChanges": [
                    {
                        "slot": hex(int.from_bytes(key, "big")),
                        "slotChanges": [
                            {"blockAccessIndex": index, "postValue": hex(value)}
                            for index, value in recorder.slot_changes[address, key]
                        ],
                    }
                    for key in written
                ],
                "storageReads": [hex(int.from_bytes(key, "big")) for key in keys if key not in written],
                "balanceChanges": [{"blockAccessIndex": at, "postBalance": hex(value)} for at, value in balances],
                "nonceChanges": [{"blockAccessIndex": at, "postNonce": hex(value)} for at, value in nonces],
                "codeChanges": [{"blockAccessIndex": at, "newCode": "0x" + code.hex()} for at, code in codes],
            }
        )
    return listed


def accessed_by_part(recorder):
    """What each part of the block accessed, by its index: addresses, and pairs of address and slot, as 0x-hex text."""
    return {
        index: {
            "accounts": ["0x" + address.hex() for address in accounts],
            "slots": [["0x" + address.hex(), hex(int.from_bytes(key, "big"))] for address, key in slots],
        }
        for index, (accounts, slots) in recorder.parts.items()
    }
