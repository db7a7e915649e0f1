// What a set of kernels offers: plain functions over plain memory, one table per instruction set.
//
// Kernels know nothing of ggml, of graphs or of threads: they are handed a range of the work and do it.
// How the work is cut must never change a sum: every kernel adds the products of one result in an order
// that depends on the shapes alone, so a picture has the same bytes for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sdcpu {

struct Range {
    int64_t begin, end;
};

// The numbers are those of enum ggml_type (ggml_abi.cpp checks them against the engine).
enum ElementType : int {
    type_f32 = 0,
    type_f16 = 1,
    type_q4_0 = 2,
    type_q4_1 = 3,
    type_q5_0 = 6,
    type_q5_1 = 7,
    type_q8_0 = 8,
    type_q4_k = 12,
    type_q5_k = 13,
    type_q6_k = 14,
    type_bf16 = 30,
};

// Rows of elements of one type; the elements of a row lie side by side, or in ggml's blocks.
struct Rows {
    int type;
    const char *data;
    size_t stride; // bytes from one row to the next

    const char *row(int64_t i) const { return data + static_cast<size_t>(i) * stride; }
};

// out[r][l] = sum over k of lanes[l][k] * rows[r][k], and what is added to it.
// "Lanes" run along a vector register: the weights of a linear layer, or the pixels of a convolution.
struct Product {
    Rows lanes; // any type: dequantised while it is packed
    Rows rows;  // f32, f16 or bf16
    int64_t lane_count, row_count, depth;
    float *out;
    size_t out_stride;      // floats from one row of the result to the next
    float factor = 1;       // of the sums; other than 1 only where the depth is at most most_scaled_depth
    const float *lane_bias; // one value per lane, or null
    const float *residual;  // laid out like out, or null; may be out itself where factor may be other than 1
    size_t residual_stride;
};
constexpr int64_t most_scaled_depth = 512; // one block of depth with all kernels, so that out is written once


// A convolution of one picture: input[channel][y][x], output[channel][y][x].
// Over time as well, it makes one frame of several: the channels of each kernel are [channel][frame].
struct Convolution {
    const float *input;
    int64_t width, height, channels;   // channels * frames, where there are several
    size_t row_stride, channel_stride; // of the input, in floats
    int64_t frames = 1;                // of the input, for one of the output
    size_t frame_stride;
    Rows kernels;                      // one row [channel][ky][kx] per output channel; f16 or f32
    int kernel_width, kernel_height, stride_x, stride_y, pad_x, pad_y, dilation_x, dilation_y;
    int64_t out_width, out_height, out_channels;
    float *out;
    size_t out_channel_stride;
    float factor = 1;      // as in Product; 1x1 kernels only
    const float *bias;     // one value per output channel, or null
    const float *residual; // laid out like out, or null
    float negative_slope = 1; // at the end, negative values are multiplied by this: 0 for relu; at most 1
    bool small_tiles;      // Winograd's transform only with tiles of 2 x 2

    int64_t pixels() const { return out_width * out_height; }
};

// Attention of all heads: out[q] = sum over k of softmax_k(scale * query[q].key[k] + mask[q][k]) * value[k].
// Strides are in bytes; the elements of a head lie side by side.
struct Attention {
    const char *query, *key, *value, *mask; // mask: f16 [query][key], or null
    float *out;
    size_t query_stride, query_head_stride, key_stride, key_head_stride, value_stride, value_head_stride;
    size_t mask_stride, out_head_stride, out_query_stride;
    int key_type, value_type; // f32 or f16
    int64_t head_size, value_size, query_count, key_count, head_count;
    int64_t heads_per_key_head; // > 1: several heads share their keys and values
    float scale;
    const float *key_middles, *key_steps; // [head][head_size], where IntegerKernels compute it: see measure_head
};

// How a 3x3 convolution goes through Winograd's transform.
enum class Winograd {
    none,           // not this one
    shared_weights, // the weights are transformed first, then the threads share the tiles
    shared_tiles,   // the tiles are transformed first, then the threads share the output channels
};

// Products of quantised weights, whose quants stay integers: the activations are quantised in blocks of 32.
struct IntegerKernels {
    int panel_lanes; // lanes that are packed together
    int tile_rows;   // rows that are quantised, and computed, together
    bool (*multiplies)(int weight_type);
    int (*block_panels)(int64_t depth);
    size_t (*quantised_size)(int64_t rows, int64_t depth);
    void (*quantise)(const Product &, Range groups, void *quantised); // groups of tile_rows rows
    void (*product)(const Product &, const void *quantised, Range lanes, Range rows);
    // How the keys of a head are quantised: the middle of the values of each channel, and the step to the next one.
    // Returns the largest channel of any query, times its step.
    float (*measure_head)(const Attention &, int64_t head, float *middles, float *steps);
    void (*attention)(const Attention &, Range query_groups); // as in Kernels, with scores of integers; or null
};

struct Kernels {
    const char *name;
    int panel_lanes;               // lanes that are packed together; lane ranges begin at a multiple of it
    int block_panels;              // panels that fit the second-level cache together
    int tile_rows;                 // rows that are computed together; row ranges begin at a multiple of it
    const IntegerKernels *integer; // null where the processor has no such instructions
    // The same work with operands of 32 bits and tiles of the same size, for what may not be rounded; null where
    // these kernels round nothing.
    const Kernels *exact;

    void (*product)(const Product &, Range lanes, Range rows);
    void (*convolution)(const Convolution &, Range pixels, Range channels);
    void (*attention)(const Attention &, Range query_groups); // groups of tile_rows queries, head after head

    bool (*is_narrow)(const Convolution &); // few output channels: narrow_convolution does it
    void (*narrow_convolution)(const Convolution &, Range rows); // rows of the output

    Winograd (*winograd_way)(const Convolution &);
    bool (*winograd_has_large_tiles)(const Convolution &);
    // The energy of a pixel is the sum of its squares over all channels: the largest and the sum of all, of some rows.
    void (*pixel_energies)(const Convolution &, Range rows, float *most, float *total);
    int64_t (*winograd_blocks)(const Convolution &);      // blocks of tiles
    size_t (*winograd_weights_size)(const Convolution &); // bytes of all transformed weights
    void (*winograd_weights)(const Convolution &, Range channels, uint32_t *weights);
    int64_t (*winograd_tile_pieces)(const Convolution &);
    size_t (*winograd_tiles_size)(const Convolution &); // bytes of all transformed tiles of a picture
    void (*winograd_tiles)(const Convolution &, Range pieces, uint32_t *tiles);
    void (*winograd_with_weights)(const Convolution &, const uint32_t *weights, Range blocks);
    void (*winograd_with_tiles)(const Convolution &, const uint32_t *tiles, Range channels);

    void (*silu)(float *out, const float *in, int64_t count);
    void (*leaky_relu)(float *out, const float *in, int64_t count, float negative_slope);
    void (*gelu)(float *out, const float *in, int64_t count);
    void (*gelu_quick)(float *out, const float *in, int64_t count);
    void (*multiply_gelu)(float *out, const float *in, const float *gate, int64_t count); // in * gelu(gate)
    void (*add)(float *out, const float *a, const float *b, int64_t count);
    void (*add_number)(float *out, const float *a, float b, int64_t count);
    void (*multiply)(float *out, const float *a, const float *b, int64_t count);
    void (*multiply_number)(float *out, const float *a, float b, int64_t count);
    void (*to_half)(uint16_t *out, const float *in, int64_t count);
    void (*to_float)(float *out, const char *row, int type, int64_t begin, int64_t end); // multiples of 32
    // out[x][y] = in[y][x] for x < width, y < height; strides in floats
    void (*transpose)(float *out, size_t out_stride, const float *in, size_t in_stride, int64_t width, int64_t height);

    void (*moments)(const float *in, int64_t count, double *mean, double *variance);
    // out = in * scale + shift, then silu where asked for
    void (*affine)(float *out, const float *in, int64_t count, float scale, float shift, bool silu);
    void (*layer_norm)(float *out, const float *in, int64_t count, float epsilon, const float *scale,
                       const float *shift);
    void (*rms_norm)(float *out, const float *in, int64_t count, float epsilon, const float *scale);
    void (*softmax)(float *out, const float *in, int64_t count, float scale);
};

namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace neon {
extern const Kernels kernels;
}
namespace bf16 { // AVX-512 or NEON, with products of bf16
extern const Kernels kernels;
}
namespace vnni { // AVX-512
extern const IntegerKernels integer_kernels;
}
namespace vnni_bf16 { // and what is not of integers with products of bf16
extern const IntegerKernels integer_kernels;
}
namespace vnni256 { // AVX-VNNI
extern const IntegerKernels integer_kernels;
}
namespace vnni256_evex { // the same for processors with AVX-512
extern const IntegerKernels integer_kernels;
}
namespace dotprod {
extern const IntegerKernels integer_kernels;
}
namespace i8mm {
extern const IntegerKernels integer_kernels;
}

// Memory that a thread keeps from one call to the next: aligned to 64 bytes, of any former content.
enum class Scratch {
    panels,
    taps,
    keys,
    values,
    queries,
    scores,
    tiles,
    tile_products,
    tile_weights,
    narrow_weights,
    energies,
    integer_panels,
    count,
};
void *thread_scratch(Scratch purpose, size_t bytes);

} // namespace sdcpu
