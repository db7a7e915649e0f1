// The operations of ggml that we compute: each reads its tensors and hands ranges of work to the kernels.
//
// run_…() computes one operation with what is fused into it, and returns false, having written nothing, when its
// types, shapes or strides are not among those that the kernels know. Every thread of the team must call it.
#pragma once

#include "../fusion.h"
#include "../ggml_abi.h"
#include "../team.h"

namespace sdcpu {

// What an operation is computed with.
struct Task {
    const Kernels &kernels;
    Team &team;
    const ggml_tensor *result;
    const Fusion &fusion;

    // Where a product or a convolution stores what belongs at this place of `result`.
    float *out(float *place) const {
        return fusion.sum ? static_cast<float *>(fusion.sum->data) + (place - static_cast<float *>(result->data))
                          : place;
    }

    // The kernels for what must not be rounded to bf16.
    const Kernels &exact_kernels() const { return kernels.exact ? *kernels.exact : kernels; }
};

bool product_runs(const ggml_tensor *t);
bool convolution_runs(const ggml_tensor *t);
// Whether run_film_convolution computes what this im2col of three dimensions is for; its input channels.
bool film_convolution_runs(const ggml_tensor *t);
int64_t film_channels(const ggml_tensor *t);
bool softmax_runs(const ggml_tensor *t);

bool run_product(const Task &);
bool run_convolution(const Task &);
bool run_film_convolution(const Task &); // where it is fused with the product after it
bool run_attention(const Task &);
bool run_group_norm(const Task &);
bool run_norm(const Task &); // layer norm and RMS norm
bool run_softmax(const Task &);
bool run_unary(const Task &);
bool run_scale(const Task &);
bool run_sum_or_product(const Task &); // element by element
bool run_copy(const Task &);
bool run_concatenate(const Task &);
bool run_repeat(const Task &);
bool run_pad(const Task &);
bool run_upscale(const Task &);

// Any of the above, by the operation of task.result.
bool run_operation(const Task &);

} // namespace sdcpu
