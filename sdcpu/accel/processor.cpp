#include "processor.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace sdcpu {

#if defined(__x86_64__)

Processor detect_processor() {
    __builtin_cpu_init();
    Processor p;
    p.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    p.avx512 = p.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    p.avx512_bf16 = p.avx512 && __builtin_cpu_supports("avx512bf16");
    p.avx512_vnni = p.avx512 && __builtin_cpu_supports("avx512vnni");
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
