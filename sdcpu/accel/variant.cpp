#include "variant.h"

#include <cstring>

namespace sdcpu {

namespace {

Kernels chosen;
const Kernels *active = nullptr;
const char *chosen_name = "off";

[[maybe_unused]] void activate(const Kernels &kernels, const IntegerKernels *integer, const char *name) {
    chosen = kernels;
    chosen.integer = integer;
    chosen_name = name;
    active = &chosen;
}

} // namespace

void choose_kernels(const char *name) {
    active = nullptr;
    chosen_name = "off";
    const auto asked = [&](const char *choice) { return name && std::strcmp(name, choice) == 0; };
    if (asked("off")) return;
#if defined(SDCPU_X86_KERNELS)
    __builtin_cpu_init();
    const bool has_avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    const bool has_bf16 = has_avx512 && __builtin_cpu_supports("avx512bf16");
    const bool has_vnni = has_avx512 && __builtin_cpu_supports("avx512vnni");
    const bool wants_integers = !asked("avx2") && !asked("avx512") && !asked("bf16");
    if (!has_avx2) return;
    if (!has_avx512 || asked("avx2")) return activate(avx2::kernels, nullptr, "avx2");
    if (wants_integers && has_vnni)
        return activate(has_bf16 ? bf16::kernels : avx512::kernels, &vnni::integer_kernels, "int8");
    if (!has_bf16 || asked("avx512")) return activate(avx512::kernels, nullptr, "avx512");
    activate(bf16::kernels, nullptr, "bf16");
#endif
}

const Kernels *active_kernels() { return active; }

const char *variant_name() { return chosen_name; }

} // namespace sdcpu
