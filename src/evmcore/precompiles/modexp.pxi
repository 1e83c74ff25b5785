# MODEXP (EIP-198, EIP-2565, EIP-7883).

cdef extern from "include/modexp_call.h" namespace "evmcore" nogil:
    ctypedef struct modexp_number:
        const uint8_t* data
        size_t present
        size_t size
    cdef enum class ModexpRules(int):
        EIP198
        EIP2565
        EIP7883
    cdef cppclass ModexpCall:
        uint64_t gas
        modexp_number base, exponent, modulus
    ModexpCall modexp_read(const uint8_t* input, size_t size, ModexpRules rules) noexcept
    int modexp(modexp_number base, modexp_number exponent, modexp_number modulus, uint8_t* out) noexcept


cdef PrecompileStatus run_modexp(
    int revision, const uint8_t* input, size_t size, int64_t* gas, Output* out
) noexcept nogil:
    cdef ModexpRules rules = (ModexpRules.EIP7883 if revision >= OSAKA else
                              ModexpRules.EIP2565 if revision >= BERLIN else ModexpRules.EIP198)
    cdef ModexpCall call = modexp_read(input, size, rules)
    if not charge(gas, call.gas):
        return PRECOMPILE_FAILED
    if output_reserve(out, call.modulus.size):
        return PRECOMPILE_NO_MEMORY
    if modexp(call.base, call.exponent, call.modulus, out.data):
        return PRECOMPILE_NO_MEMORY
    return PRECOMPILE_OK
