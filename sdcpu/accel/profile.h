// Where the time goes: SDCPU_ACCEL_PROFILE=1 prints, for each stage of a picture, the time of each kind of operation,
// 2 of each kind and shape. Processor time of the first thread, from one operation to the next: with one thread it is
// right on a busy machine too.
#pragma once

#include "fusion.h"
#include "ggml_abi.h"

namespace sdcpu {

bool is_profiling();
void profile_graph_begins();
void profile_operation(const ggml_tensor *t, const Fusion &fusion);
// The engine computes the operation that was just told.
void profile_left_to_engine();
void profile_graph_ends();
// Writes what was measured since the last time to standard error.
void print_profile(const char *title);

} // namespace sdcpu
