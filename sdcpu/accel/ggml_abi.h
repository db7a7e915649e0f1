// The structures of ggml that we read, as ggml 0.9.8 lays them out, written down again: the engine is built
// elsewhere, without its headers for us. engine.cpp proves them against the loaded library before use.
#pragma once

#include <cstddef>
#include <cstdint>

struct ggml_backend;
struct ggml_backend_buffer;
struct ggml_cgraph;
struct ggml_context;
struct ggml_threadpool;

// A tensor of up to four dimensions; ne[0] is the fastest.
struct ggml_tensor {
    int type; // sdcpu::ElementType, or another type of ggml
    ggml_backend_buffer *buffer;
    int64_t ne[4]; // elements
    size_t nb[4];  // bytes from one element to the next along each dimension
    int op;        // sdcpu::Operation
    int32_t op_params[16];
    int32_t flags; // sdcpu::TensorFlag
    ggml_tensor *src[10];
    ggml_tensor *view_src;
    size_t view_offs;
    void *data;
    char name[64];
    void *extra;
    char padding[8];
};
static_assert(sizeof(ggml_tensor) == 336 && offsetof(ggml_tensor, data) == 248, "not the layout of ggml 0.9.8");

// What each thread is told when it computes an operation.
struct ggml_compute_params {
    int ith, nth; // this thread, of how many
    size_t wsize;
    void *wdata;
    ggml_threadpool *threadpool;
    bool use_ref;
};

struct ggml_init_params {
    size_t mem_size;
    void *mem_buffer;
    bool no_alloc;
};

namespace sdcpu {

// enum ggml_op: those we know
enum Operation : int {
    op_none = 0,
    op_duplicate = 1,
    op_add = 2,
    op_multiply = 7,
    op_repeat = 20,
    op_concatenate = 22,
    op_norm = 24,
    op_rms_norm = 25,
    op_group_norm = 27,
    op_matrix_product = 29,
    op_scale = 32,
    op_copy = 34,
    op_make_contiguous = 35,
    op_reshape = 36,
    op_view = 37,
    op_permute = 38,
    op_transpose = 39,
    op_get_rows = 40,
    op_softmax = 46,
    op_im2col = 52,
    op_im2col_3d = 54,
    op_convolution = 55,
    op_convolution_3d = 56,
    op_upscale = 62,
    op_pad = 63,
    op_timestep_embedding = 67,
    op_leaky_relu = 70,
    op_flash_attention = 73,
    op_unary = 86,
};

// enum ggml_unary_op, in op_params[0]
enum Unary : int { unary_relu = 6, unary_gelu = 8, unary_gelu_quick = 9, unary_silu = 10 };

// enum ggml_prec, in op_params[0] of a product: the engine asks for it where softmax follows
enum Precision : int { precision_f32 = 10 };

// enum ggml_tensor_flag
enum TensorFlag : int { flag_output = 2, flag_compute = 16 };

// enum ggml_status
enum Status : int { status_failed = -1, status_success = 0, status_aborted = 1 };

} // namespace sdcpu
