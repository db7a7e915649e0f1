// The fusion plan of a graph: which operations are done by the one before them, while the data is still near.
//
//   product or convolution, + bias, + residual       convolution, + bias, + residual, relu or leaky relu
//   product or 1x1 convolution, * factor, added to a sum in place         (what a LoRA adds to a layer)
//   im2col of three dimensions, product            (a convolution over time; the product only copies)
//   group norm, * scale, + shift, silu         layer norm, * scale, + shift          RMS norm, * scale
//   x * gelu(copy of gate)                     (GEGLU: gate and x are halves of one tensor)
//   scale, softmax
//
// An operation may only disappear into the one before it if nothing else reads what it replaces, if its result is
// written to the same memory, and if its other operands are known by then.
#pragma once

#include <unordered_map>
#include <vector>

#include "ggml_abi.h"

namespace sdcpu {

// What an operation does beside its own work; all null: nothing.
struct Fusion {
    bool is_done_elsewhere = false;        // another operation does all of it
    const ggml_tensor *bias = nullptr;     // one value per row of weights or output channel
    const ggml_tensor *residual = nullptr; // shaped like the result
    const ggml_tensor *scale = nullptr;    // of a normalisation: one value per channel or column
    const ggml_tensor *shift = nullptr;
    bool silu = false;
    float negative_slope = 1;             // of a convolution: what negative results are multiplied by, 0 is relu
    const ggml_tensor *picture = nullptr; // of im2col: it computes the whole convolution into its own memory
    const ggml_tensor *copied = nullptr;  // the result lies here, and is only copied
    const ggml_tensor *gate = nullptr; // multiply by gelu of this
    float factor = 1;                  // of a softmax, or of what is added to `sum`
    const ggml_tensor *sum = nullptr;  // where factor * result is added instead of being stored
};

class FusionPlan {
  public:
    // Plans the graph with these nodes, in their order.
    void make(const std::vector<ggml_tensor *> &nodes);
    void clear() { fusions.clear(); }

    // What is fused into this operation, never null.
    const Fusion &of(const ggml_tensor *t) const;
    // Every operation that another one does.
    std::vector<ggml_tensor *> done_elsewhere() const;

  private:
    std::unordered_map<const ggml_tensor *, Fusion> fusions;
    friend class FusionPlanner;
};

} // namespace sdcpu
