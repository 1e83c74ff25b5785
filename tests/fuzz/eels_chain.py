"""Builds and judges chains of blocks with the executable specification.

Run by the interpreter of the environment that has the specification; knows nothing of evmcore. A step of a case says
what a block is to hold, not what comes of it: the specification executes it and writes the header (it seals the draft).
Then it judges the block with every rule of headers and ommers, and variants of it with one thing changed each. The
chain goes on with the block as it was sealed, where that is valid. Proof of work is not looked at.
"""

import importlib
import inspect

import loose_rlp
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_rlp.exceptions import RLPException
from ethereum_types.bytes import Bytes, Bytes20, Bytes32
from ethereum_types.numeric import U64, U256, Uint

# Places in a header's list.
PARENT, OMMERS_HASH, STATE_ROOT, TRANSACTIONS, RECEIPTS, BLOOM = 0, 1, 3, 4, 5, 6
DIFFICULTY, NUMBER, GAS_LIMIT, GAS_USED, TIMESTAMP = 7, 8, 9, 10, 11
BASE_FEE, WITHDRAWALS, BLOB_GAS_USED, EXCESS_BLOB_GAS, REQUESTS = 15, 16, 17, 18, 20


def number_bytes(value):
    return bytes(Uint(value).to_be_bytes())


def edited(item, edit):
    """The nested list `item` with the member at `edit["path"]` changed."""
    first, *rest = edit["path"]
    item = list(item)
    if first >= len(item):
        return item
    if rest:
        if isinstance(item[first], list | tuple):
            item[first] = edited(item[first], {**edit, "path": rest})
    elif "add" in edit:
        value = int.from_bytes(item[first], "big") if isinstance(item[first], bytes) else 0
        item[first] = number_bytes(max(0, value + edit["add"]))
    elif "set" in edit:
        item[first] = rlp.decode(bytes.fromhex(edit["set"]))
    elif "insert" in edit:
        item.insert(first, rlp.decode(bytes.fromhex(edit["insert"])))
    elif "repeat" in edit:
        item.insert(first, item[first])
    elif "swap" in edit:
        other = edit["swap"] % len(item)
        item[first], item[other] = item[other], item[first]
    else:
        del item[first]
    return item


def with_edit(encoded, edit):
    """An encoded block with one thing changed: a byte of it, how a member of its lists is encoded, or a member."""
    if "byte" in edit:
        place = edit["byte"] % len(encoded)
        return encoded[:place] + bytes([encoded[place] ^ edit["xor"]]) + encoded[place + 1 :]
    block = rlp.decode(encoded)
    if "loose" in edit:
        return loose_rlp.encode(block, edit["loose"] % loose_rlp.count(block), edit["way"])
    return bytes(rlp.encode(edited(block, edit)))


class Chain:
    """A chain by one fork's rules."""

    def __init__(self, case):
        self.package = f"ethereum.forks.{case['module']}"
        self.fork, self.blocks, self.state, self.trie = map(self.module, ("fork", "blocks", "state", "trie"))
        self.bloom, self.types, self.gas = map(self.module, ("bloom", "fork_types", "vm.gas"))
        if hasattr(self.fork, "validate_proof_of_work"):
            self.fork.validate_proof_of_work = lambda _: None
        self.fields = len(self.blocks.Header.__dataclass_fields__)
        state = self.state_of(case["alloc"])
        header = [bytes.fromhex(value) for value in case["genesis"]][: self.fields]
        header[STATE_ROOT] = bytes(self.state.state_root(state))
        parts = [header, [], [], []] if self.fields > WITHDRAWALS else [header, [], []]
        self.genesis = bytes(rlp.encode(parts))
        block = rlp.decode_to(self.blocks.Block, Bytes(self.genesis))
        self.chain = self.fork.BlockChain(blocks=[block], state=state, chain_id=U64(1))
        self.sealed = []

    def module(self, name):
        return importlib.import_module(f"{self.package}.{name}")

    def state_of(self, alloc):
        state = self.state.State()
        for address, account in alloc.items():
            address = Bytes20(bytes.fromhex(address[2:]))
            balance, nonce = U256(int(account["balance"], 16)), Uint(int(account["nonce"], 16))
            code = Bytes(bytes.fromhex(account["code"][2:]))
            self.state.set_account(state, address, self.types.Account(nonce=nonce, balance=balance, code=code))
            for key, value in account["storage"].items():
                key = Bytes32(bytes.fromhex(key[2:].rjust(64, "0")))
                self.state.set_storage(state, address, key, U256(int(value, 16)))
        return state

    # ---- a draft

    def ommer(self, entry):
        """The header of an earlier step's block, changed a little."""
        header = rlp.decode(self.sealed[entry["of"]])[0]
        for edit in entry["edits"]:
            header = edited(header, edit)
        return header

    def base_fee(self, gas_limit, parent):
        for limit in (gas_limit, parent.gas_limit):  # refused for a gas limit that is too far away
            try:
                return self.fork.calculate_base_fee_per_gas(
                    limit, parent.gas_limit, parent.gas_used, parent.base_fee_per_gas
                )
            except EthereumException:
                continue
        return Uint(7)

    def draft(self, step):
        """The block of a step, its header as far as it is known before the execution."""
        parent = self.chain.blocks[-1].header
        header = [bytes.fromhex(value) for value in step["header"]][: self.fields]
        edge = int(parent.gas_limit) // 1024
        gas_limit = Uint(max(0, int(parent.gas_limit) + step["gas_limit_edges"] * edge + step["gas_limit_change"]))
        number, timestamp = parent.number + Uint(1), type(parent.timestamp)(int(parent.timestamp) + step["seconds"])
        header[PARENT] = bytes(self.fork.keccak256(rlp.encode(parent)))
        header[NUMBER], header[GAS_LIMIT] = number_bytes(number), number_bytes(gas_limit)
        header[TIMESTAMP] = number_bytes(timestamp)
        ommers = [self.ommer(entry) for entry in step["ommers"] if entry["of"] < len(self.sealed)]
        header[OMMERS_HASH] = bytes(self.fork.keccak256(rlp.encode(ommers)))
        if hasattr(self.fork, "calculate_block_difficulty"):
            arguments = [number, timestamp, parent.timestamp, parent.difficulty]
            if len(inspect.signature(self.fork.calculate_block_difficulty).parameters) > len(arguments):
                arguments.append(parent.ommers_hash != self.fork.EMPTY_OMMER_HASH)
            header[DIFFICULTY] = number_bytes(self.fork.calculate_block_difficulty(*arguments))
        if self.fields > BASE_FEE:
            header[BASE_FEE] = number_bytes(self.base_fee(gas_limit, parent))
        if self.fields > EXCESS_BLOB_GAS:
            header[EXCESS_BLOB_GAS] = number_bytes(self.gas.calculate_excess_blob_gas(parent))
        for edit in step["edits"]:
            header = edited(header, edit)
        transactions = [bytes.fromhex(data) for data in step["transactions"]]
        parts = [header, [rlp.decode(data) if data[:1] >= b"\xc0" else data for data in transactions], ommers]
        if self.fields > WITHDRAWALS:
            parts.append([rlp.decode(bytes.fromhex(data)) for data in step["withdrawals"]])
        return parts

    def seal(self, parts):
        """The encoding of a block with what its execution gave in its header, and why it cannot be executed or ''."""
        outputs = []
        execute = self.fork.apply_body
        checks = {
            name: getattr(self.fork, name)
            for name in ("validate_header", "validate_ommers")
            if hasattr(self.fork, name)
        }

        def apply_body(block_env, *arguments, **named):
            output = execute(block_env, *arguments, **named)
            outputs.append((block_env, output))
            return output

        for name in checks:
            setattr(self.fork, name, lambda *_: None)
        self.fork.apply_body = apply_body
        try:
            why = self.judge(bytes(rlp.encode(parts)))
        finally:
            self.fork.apply_body = execute
            for name, check in checks.items():
                setattr(self.fork, name, check)
        if not outputs:
            return bytes(rlp.encode(parts)), why
        ((block_env, output),) = outputs
        header = parts[0]
        header[STATE_ROOT] = bytes(self.state.state_root(block_env.state))
        header[TRANSACTIONS] = bytes(self.trie.root(output.transactions_trie))
        header[RECEIPTS] = bytes(self.trie.root(output.receipts_trie))
        header[BLOOM] = bytes(self.bloom.logs_bloom(output.block_logs))
        header[GAS_USED] = number_bytes(output.block_gas_used)
        if self.fields > WITHDRAWALS:
            header[WITHDRAWALS] = bytes(self.trie.root(output.withdrawals_trie))
        if self.fields > BLOB_GAS_USED:
            header[BLOB_GAS_USED] = number_bytes(output.blob_gas_used)
        if self.fields > REQUESTS:
            header[REQUESTS] = bytes(self.module("requests").compute_requests_hash(output.requests))
        return bytes(rlp.encode(parts)), ""

    # ---- judging

    def judge(self, encoded, keep=False):
        """Why an encoded block may not follow on the chain; '' where it may. `keep`: it then does."""
        state = self.state.State()
        state._main_trie = self.trie.copy_trie(self.chain.state._main_trie)
        state._storage_tries = {key: self.trie.copy_trie(trie) for key, trie in self.chain.state._storage_tries.items()}
        chain = self.fork.BlockChain(list(self.chain.blocks), state, self.chain.chain_id)
        try:
            block = rlp.decode_to(self.blocks.Block, Bytes(encoded))
            self.fork.state_transition(chain, block)
        except (EthereumException, RLPException) as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # a number that the specification's types do not hold
            return f"!{type(error).__name__}: {error}"
        if keep:
            self.chain = chain
        return ""

    def run(self, step):
        """The answer to a step: the sealed block and its variants, each with the verdict."""
        encoded, why = self.seal(self.draft(step))
        variants = []
        for edit in step["variants"] if not why else ():
            variant = with_edit(encoded, edit)
            if variant != encoded:
                variants.append({"rlp": variant.hex(), "why": self.judge(variant)})
        why = why or self.judge(encoded, keep=True)
        self.sealed.append(encoded)
        return {"rlp": encoded.hex(), "why": why, "variants": variants}


def run_chain(case):
    """The specification's answer to a chain of steps."""
    chain = Chain(case)
    steps = [chain.run(step) for step in case["steps"]]
    return {"genesis": chain.genesis.hex(), "steps": steps}
