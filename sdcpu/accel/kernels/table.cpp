// The table of one instruction set: this source and all other kernels are compiled once for each.
#include "pointwise.h"
#include "product.h"
#include "winograd.h"

#define SDCPU_TEXT_OF(name) #name
#define SDCPU_TEXT(name) SDCPU_TEXT_OF(name)

namespace sdcpu::SDCPU_VARIANT {

void multiply_weights(const Product &product, Range lanes, Range rows);
void convolve(const Convolution &c, Range pixels, Range channels);
bool is_narrow(const Convolution &c);
void convolve_narrow(const Convolution &c, Range rows);
void attend(const Attention &a, Range query_groups);

extern const Kernels kernels = {
    SDCPU_TEXT(SDCPU_VARIANT),
    panel_lanes,
    block_panels,
    tile_rows,
    nullptr, // integer and exact: variant.cpp joins them
    nullptr,
    multiply_weights,
    convolve,
    attend,
    is_narrow,
    convolve_narrow,
    winograd_way,
    winograd_has_large_tiles,
    pixel_energies,
    winograd_blocks,
    winograd_weights_size,
    winograd_weights,
    winograd_tile_pieces,
    winograd_tiles_size,
    winograd_tiles,
    winograd_with_weights,
    winograd_with_tiles,
    silu_all,
    leaky_relu_all,
    gelu_all,
    gelu_quick_all,
    multiply_gelu,
    add,
    add_number,
    multiply_all,
    multiply_number,
    to_half,
    to_float,
    transpose_all,
    moments,
    affine,
    layer_norm,
    rms_norm,
    softmax,
};

} // namespace sdcpu::SDCPU_VARIANT
