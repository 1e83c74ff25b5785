# Gas prices that changed with forks, by revision. Names as in the execution specs.

cdef struct Prices:
    int64_t sload                 # before Berlin; the warm price from then on
    int64_t balance
    int64_t external              # EXTCODESIZE, EXTCODECOPY
    int64_t external_hash         # EXTCODEHASH
    int64_t call
    int64_t selfdestruct
    int64_t exp_byte
    int64_t sstore_reset          # EIP-2929 moved 2,100 of the 5,000 to the first access
    int64_t sstore_clears_refund
    bint net_sstore               # EIP-1283 (Constantinople), EIP-2200 (from Istanbul)
    bint warm                     # EIP-2929: prices by access
    bint cap_call_gas             # EIP-150: all but one 64th

cdef enum:
    GAS_KECCAK_WORD = 6
    GAS_COPY_WORD = 3
    GAS_MEMORY_WORD = 3
    GAS_LOG = 375
    GAS_LOG_TOPIC = 375
    GAS_LOG_BYTE = 8
    GAS_WARM_ACCESS = 100
    GAS_COLD_ACCOUNT = 2600
    GAS_COLD_SLOAD = 2100
    GAS_SSTORE_SET = 20000
    GAS_SSTORE_SENTRY = 2300      # EIP-2200: SSTORE needs more than the call stipend
    GAS_SELFDESTRUCT_REFUND = 24000
    GAS_CALL_VALUE = 9000
    GAS_CALL_STIPEND = 2300
    GAS_NEW_ACCOUNT = 25000
    GAS_CODE_DEPOSIT_BYTE = 200
    GAS_INIT_CODE_WORD = 2
    MAX_CODE_SIZE = 0x6000
    MAX_INIT_CODE_SIZE = 0xc000
    MAX_DEPTH = 1024

cdef Prices[15] PRICES

cdef void fill_prices() noexcept:
    cdef int revision
    cdef Prices* p
    for revision in range(15):
        p = &PRICES[revision]
        p.cap_call_gas = revision >= TANGERINE_WHISTLE
        p.net_sstore = revision == CONSTANTINOPLE or revision >= ISTANBUL
        p.warm = revision >= BERLIN
        p.exp_byte = 50 if revision >= SPURIOUS_DRAGON else 10
        p.sstore_reset = 2900 if p.warm else 5000
        p.sstore_clears_refund = 4800 if revision >= LONDON else 15000
        p.selfdestruct = 5000 if revision >= TANGERINE_WHISTLE else 0
        p.call = 0 if p.warm else 700 if revision >= TANGERINE_WHISTLE else 40
        p.external = 0 if p.warm else 700 if revision >= TANGERINE_WHISTLE else 20
        p.external_hash = 0 if p.warm else 700 if revision >= ISTANBUL else 400
        p.balance = 0 if p.warm else 700 if revision >= ISTANBUL else 400 if revision >= TANGERINE_WHISTLE else 20
        if p.warm:
            p.sload = GAS_WARM_ACCESS
        elif revision >= ISTANBUL:
            p.sload = 800
        elif revision >= TANGERINE_WHISTLE:
            p.sload = 200
        else:
            p.sload = 50

fill_prices()
