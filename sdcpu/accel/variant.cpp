#include "variant.h"

#include <cstring>

#include "processor.h"

namespace sdcpu {

namespace {

Kernels chosen;
const Kernels *active = nullptr;
const char *chosen_name = "off";

// What can be chosen. Several may share a name: the first that runs is taken.
struct Candidate {
    const char *name;
    bool runs;
    const Kernels *kernels;
    const Kernels *exact;          // or null
    const IntegerKernels *integer; // or null
};

void choose_first(const Candidate *begin, const Candidate *end) {
    for (const Candidate *candidate = begin; candidate != end; candidate++) {
        if (!candidate->runs) continue;
        chosen = *candidate->kernels;
        chosen.exact = candidate->exact;
        chosen.integer = candidate->integer;
        chosen_name = candidate->name;
        active = &chosen;
        return;
    }
}

} // namespace

void choose_kernels(const char *name) {
    active = nullptr;
    chosen_name = "off";
    if (name && std::strcmp(name, "off") == 0) return;
    [[maybe_unused]] const Processor has = detect_processor();
    // Fastest first.
    const Candidate candidates[] = {
#if defined(SDCPU_X86_KERNELS)
        {"int8", has.avx512_vnni && has.avx512_bf16, &bf16::kernels, &avx512::kernels, &vnni_bf16::integer_kernels},
        {"int8", has.avx512_vnni, &avx512::kernels, nullptr, &vnni::integer_kernels},
#if defined(SDCPU_AVXVNNI_KERNELS)
        {"int8", has.avx_vnni, &avx2::kernels, nullptr, &vnni256::integer_kernels},
#endif
        {"bf16", has.avx512_bf16, &bf16::kernels, &avx512::kernels, nullptr},
        {"avx512", has.avx512, &avx512::kernels, nullptr, nullptr},
        {"avx2", has.avx2, &avx2::kernels, nullptr, nullptr},
        {"avx2-int8", has.avx512_vnni, &avx2::kernels, nullptr, &vnni256_evex::integer_kernels}, // for tests
#elif defined(SDCPU_ARM_KERNELS)
        {"int8", has.i8mm && has.neon_bf16, &bf16::kernels, &neon::kernels, &i8mm::integer_kernels},
        {"int8", has.i8mm, &neon::kernels, nullptr, &i8mm::integer_kernels},
        {"int8", has.dotprod && has.neon_bf16, &bf16::kernels, &neon::kernels, &dotprod::integer_kernels},
        {"int8", has.dotprod, &neon::kernels, nullptr, &dotprod::integer_kernels},
        {"bf16", has.neon_bf16, &bf16::kernels, &neon::kernels, nullptr},
        {"neon", has.neon, &neon::kernels, nullptr, nullptr},
#endif
        {"off", false, nullptr, nullptr, nullptr},
    };
    const Candidate *const end = candidates + sizeof candidates / sizeof *candidates;
    const Candidate *first = candidates;
    while (name && first != end && std::strcmp(name, first->name) != 0) first++;
    if (first == end) first = candidates;
    choose_first(first, end);
}

const Kernels *active_kernels() { return active; }

const char *variant_name() { return chosen_name; }

} // namespace sdcpu
