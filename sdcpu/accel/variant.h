// Which kernels run: chosen once from the processor and from SDCPU_ACCEL.
#pragma once

#include "kernels/kernels.h"

namespace sdcpu {

// "off", "auto", "avx2", "avx512", "neon", "bf16" or "int8". A variant that the processor cannot run becomes the best
// one below it; null and names that mean nothing here are "auto".
void choose_kernels(const char *name);

// The chosen kernels, or null where the operations are left to the engine.
const Kernels *active_kernels();

// "off", "avx2", "avx512", "neon", "bf16" or "int8" (the best of the others, with integer products)
const char *variant_name();

} // namespace sdcpu
