// Which kernels run: chosen once from the processor and from SDCPU_ACCEL.
#pragma once

#include "kernels/kernels.h"

namespace sdcpu {

// "off", "auto", "avx2", "avx512", "bf16" or "int8". A variant that the processor cannot run becomes the best one
// below it; null and unknown names mean "auto".
void choose_kernels(const char *name);

// The chosen kernels, or null where the operations are left to the engine.
const Kernels *active_kernels();

// "off", "avx2", "avx512", "bf16" or "int8" (bf16, or avx512, with integer products)
const char *variant_name();

} // namespace sdcpu
