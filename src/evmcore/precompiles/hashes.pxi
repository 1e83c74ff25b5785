# SHA256, RIPEMD160, BLAKE2F (EIP-152), and IDENTITY.

cdef extern from "include/sha256.h" namespace "evmcore" nogil:
    void sha256(const uint8_t* data, size_t size, uint8_t* digest) noexcept
    void sha256_portable(const uint8_t* data, size_t size, uint8_t* digest) noexcept

cdef extern from "include/ripemd160.h" namespace "evmcore" nogil:
    void ripemd160(const uint8_t* data, size_t size, uint8_t* digest) noexcept

cdef extern from "include/blake2f.h" namespace "evmcore" nogil:
    void blake2f(uint32_t rounds, const uint8_t* state, const uint8_t* block, const uint8_t* offset, bool last,
                 uint8_t* out) noexcept

cdef enum:      # gas
    SHA256 = 60
    SHA256_WORD = 12
    RIPEMD160 = 600
    RIPEMD160_WORD = 120
    IDENTITY = 15
    IDENTITY_WORD = 3
    BLAKE2F_ROUND = 1


cdef PrecompileStatus run_sha256(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge_words(gas, SHA256, SHA256_WORD, size):
        return PRECOMPILE_FAILED
    if output_reserve(out, 32):
        return PRECOMPILE_NO_MEMORY
    sha256(input, size, out.data)
    return PRECOMPILE_OK


cdef PrecompileStatus run_ripemd160(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge_words(gas, RIPEMD160, RIPEMD160_WORD, size):
        return PRECOMPILE_FAILED
    if output_reserve(out, 32):
        return PRECOMPILE_NO_MEMORY
    memset(out.data, 0, 12)
    ripemd160(input, size, out.data + 12)
    return PRECOMPILE_OK


cdef PrecompileStatus run_identity(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    if not charge_words(gas, IDENTITY, IDENTITY_WORD, size):
        return PRECOMPILE_FAILED
    if output_reserve(out, size):
        return PRECOMPILE_NO_MEMORY
    if size != 0:
        memcpy(out.data, input, size)
    return PRECOMPILE_OK


cdef PrecompileStatus run_blake2f(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    # rounds (4, big-endian), h (64), m (128), t (16), final flag (1): EIP-152
    cdef uint32_t rounds
    if size != 213:
        return PRECOMPILE_FAILED
    rounds = <uint32_t>input[0] << 24 | <uint32_t>input[1] << 16 | <uint32_t>input[2] << 8 | input[3]
    if not charge(gas, BLAKE2F_ROUND * <uint64_t>rounds) or input[212] > 1:
        return PRECOMPILE_FAILED
    if output_reserve(out, 64):
        return PRECOMPILE_NO_MEMORY
    blake2f(rounds, input + 4, input + 68, input + 196, input[212], out.data)
    return PRECOMPILE_OK
