// SDCPU_ACCEL_CHECK=1: every operation is computed by our kernel and by the engine, which goes on with its own
// result; when the process ends, the differences of each kind of operation are printed.
#pragma once

#include "operations/operations.h"

namespace sdcpu {

bool is_checking();
// Runs our kernel, keeps its result, puts the memory back, and returns false: now the engine computes.
bool check_operation(const Task &);
// The last operation of a graph has no successor before which it could be compared.
void check_graph_ends();

} // namespace sdcpu
