#include "processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace sdcpu {

#if defined(__x86_64__)

namespace {

struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

// The instruction CPUID; zeros for a leaf that the processor does not have.
Registers cpuid(unsigned leaf, unsigned part) {
    Registers r;
    __get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d);
    return r;
}

// The registers that the operating system keeps for each thread; only where CPUID says that it does so.
unsigned kept_registers() {
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

bool has_all(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

} // namespace

// Intel's manual, volume 2, CPUID, and volume 1, 13.1 and 14.3: not by the compilers' own functions, of which Clang 14
// does not know all the names, and those on Windows need a library of their own.
Processor detect_processor() {
    constexpr unsigned fma = 1u << 12, osxsave = 1u << 27, f16c = 1u << 29;           // leaf 1, ecx
    constexpr unsigned avx2 = 1u << 5, bmi = 1u << 3 | 1u << 8;                       // leaf 7, ebx
    constexpr unsigned avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; // leaf 7, ebx
    constexpr unsigned vnni = 1u << 11;                                               // leaf 7, ecx
    constexpr unsigned bf16 = 1u << 5;                                                // leaf 7, part 1, eax
    constexpr unsigned avx_vnni = 1u << 4;                                            // leaf 7, part 1, eax
    constexpr unsigned ymm = 1u << 1 | 1u << 2;
    [[maybe_unused]] constexpr unsigned zmm = ymm | 1u << 5 | 1u << 6 | 1u << 7;
    Processor p;
    const Registers first = cpuid(1, 0), seventh = cpuid(7, 0);
    if (!has_all(first.c, osxsave)) return p;
    const unsigned kept = kept_registers();
    p.avx2 = has_all(kept, ymm) && has_all(first.c, fma | f16c) && has_all(seventh.b, avx2 | bmi);
#if defined(__APPLE__)
    const bool keeps_zmm = true; // from the first use on
#else
    const bool keeps_zmm = has_all(kept, zmm);
#endif
    p.avx512 = p.avx2 && keeps_zmm && has_all(seventh.b, avx512_f_dq_bw_vl);
    p.avx512_vnni = p.avx512 && has_all(seventh.c, vnni);
    p.avx_vnni = p.avx2 && has_all(seventh.a >= 1 ? cpuid(7, 1).a : 0, avx_vnni);
    p.avx512_bf16 = p.avx512 && has_all(cpuid(7, 1).a, bf16);
    return p;
}

#elif defined(__aarch64__) && defined(__linux__)

// The bits of the kernel's Documentation/arch/arm64/elf_hwcaps.rst; older headers of the C library lack some.
Processor detect_processor() {
    constexpr unsigned long asimd = 1ul << 1, asimddp = 1ul << 20;        // AT_HWCAP
    constexpr unsigned long i8mm_of_2 = 1ul << 13, bf16_of_2 = 1ul << 14; // AT_HWCAP2
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    Processor p;
    p.neon = first & asimd;
    p.dotprod = p.neon && (first & asimddp);
    p.i8mm = p.dotprod && (second & i8mm_of_2);
    p.neon_bf16 = p.neon && (second & bf16_of_2);
    return p;
}

#elif defined(__aarch64__) && defined(__APPLE__)

namespace {

bool has(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

} // namespace

Processor detect_processor() {
    Processor p;
    p.neon = true;
    p.dotprod = has("hw.optional.arm.FEAT_DotProd");
    p.i8mm = p.dotprod && has("hw.optional.arm.FEAT_I8MM");
    p.neon_bf16 = has("hw.optional.arm.FEAT_BF16");
    return p;
}

#else

Processor detect_processor() { return {}; }

#endif

} // namespace sdcpu
