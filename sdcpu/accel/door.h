// The door: lets a cancel end a computation of the engine in the middle, with the model kept.
//
// The CPU backend asks a callback between two operations whether to go on. A graph that was ended so makes the
// engine return NULL in order; its context goes on working.
#pragma once

#include "ggml_abi.h"

namespace sdcpu {

// Before each graph: false when it must not begin, because a cancel is wanted and the graph may end early.
bool enter_graph(ggml_backend *backend, ggml_cgraph *graph);

// Ends the running graph and all that follow, or lets them run again. Any thread may call it.
void want_cancel(bool wanted);

} // namespace sdcpu
