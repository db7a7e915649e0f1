// The graph that the engine computes just now: fusion plan, huge pages, and the operations as they come.
#pragma once

#include "ggml_abi.h"

namespace sdcpu {

// Prepares a graph of the CPU backend; the end of its life ends the graph. One at a time (hooks.cpp).
class RunningGraph {
  public:
    explicit RunningGraph(ggml_cgraph *graph);
    ~RunningGraph();
    RunningGraph(const RunningGraph &) = delete;
    RunningGraph &operator=(const RunningGraph &) = delete;

  private:
    struct Parts;
    Parts *parts;
};

// Computes one operation of the running graph; false: the engine has to.
bool compute_in_graph(ggml_compute_params *params, ggml_tensor *t);

} // namespace sdcpu
