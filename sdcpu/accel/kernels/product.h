// The product that everything heavy is made of: linear layers, convolutions and attention.
//
// Blocks, from the inside out (units of one float, or of two bf16):
//
//   tile      tile_rows (6) rows x panel_lanes lanes of the result, kept in registers
//             (6 x 2 vectors of 8 on AVX2, 6 x 4 vectors of 16 on AVX-512, 6 x 4 vectors of 4 on NEON)
//   panel     panel_lanes lanes x depth_block units, packed [unit][lane] so that the tile reads it in order
//   block     block_panels panels, packed together: they stay in the second-level cache
//             (12 x 16 lanes x 512 units = 384 KiB on AVX2, 5 x 64 x 512 = 640 KiB on AVX-512; on NEON
//             8 x 16 x 512 = 256 KiB, half the cache of a Cortex-A76 in a small board)
//   strip     tile_rows rows x depth_block units, converted to units just before they are used: first-level cache
//
//   for each block of lanes
//     for each block of depth            pack the block
//       for each strip of rows           convert the strip
//         for each panel                 tile += panel x strip; the last block of depth adds bias and residual
//
// Both operands are dequantised on the way, at most once per block; nothing packed is shared or kept.
#pragma once

#include "units.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int tile_rows = 6;
constexpr int tile_vectors = width == 8 ? 2 : 4;
constexpr int panel_lanes = width * tile_vectors;
constexpr int block_panels = width == 4 ? 8 : width == 8 ? 12 : 5;
constexpr int depth_block_units = 512;
constexpr int depth_block = depth_block_units * per_unit;
static_assert(depth_block >= most_scaled_depth);
// The rows of a strip are this far apart, not a power of 2, so that they do not share cache sets.
constexpr size_t strip_stride = depth_block_units + 16;

// What a tile does with its sums before it stores them.
struct Finish {
    bool accumulate;        // add to what is there
    const float *lane_bias; // one value per lane, or null
    const float *row_bias;  // one value per row, or null
    const float *residual;  // laid out like the result, or null
    size_t residual_stride;
    float factor = 1; // of the sums, before anything else is added
    float negative_slope = 1; // at the end, negative values are multiplied by this: 0 for relu

    bool changes() const { return lane_bias || row_bias || residual || factor != 1 || negative_slope != 1; }
};
constexpr Finish overwrite = {false, nullptr, nullptr, nullptr, 0};
constexpr Finish accumulate = {true, nullptr, nullptr, nullptr, 0};

// The address of row r of 6, from two base pointers: that takes fewer registers than six, and no multiplication.
template <class T> SDCPU_INLINE const T *row_of(const T *rows, const T *rows_from_3, size_t stride, int r) {
    return r < 3 ? rows + r * stride : rows_from_3 + (r - 3) * stride;
}

// One tile: `units` units deep, of a panel of `vectors` vectors [unit][vectors * width] and `row_count`
// rows of units. Only the first `lanes` lanes are stored.
void multiply_tile(int row_count, int vectors, int units, const Unit *panel, const Unit *rows, size_t rows_stride,
                   float *out, size_t out_stride, int lanes, const Finish &finish);

// A tile that ends in half a vector: `full_vectors` vectors and 8 lanes; always accumulates. AVX-512 only.
void multiply_narrow_tile(int row_count, int full_vectors, int units, const Unit *panel, const Unit *rows,
                          size_t rows_stride, float *out, size_t out_stride);

// Packs `rows` rows of `source`, elements [begin, begin + count) of `depth`, as `vectors` vectors of lanes:
// out[unit][vectors * width]. Lanes after `rows` are 0, elements from `depth` on too.
void pack_rows(const Rows &source, int64_t first_row, int rows, int64_t begin, int count, int64_t depth, int vectors,
               Unit *out);

// Converts elements [begin, begin + count) of one row of f32, f16 or bf16 to units.
void convert_row(int type, const char *row, int64_t begin, int count, int64_t depth, Unit *out);

// The panels of a product: packs lanes [first, first + lanes), elements [begin, begin + count).
struct PanelSource {
    virtual void pack(int64_t first, int lanes, int64_t begin, int count, int vectors, Unit *out) = 0;

  protected:
    ~PanelSource() = default;
};

// Channel `i` of the input of a convolution.
SDCPU_INLINE const float *channel_of(const Convolution &c, int64_t i) {
    if (c.frames == 1) return c.input + static_cast<size_t>(i) * c.channel_stride;
    return c.input + static_cast<size_t>(i / c.frames) * c.channel_stride +
           static_cast<size_t>(i % c.frames) * c.frame_stride;
}

// Everything but the lanes: `row_bias` has one value per row; negative results are multiplied by `negative_slope`.
void multiply(PanelSource &source, const Product &product, const float *row_bias, float negative_slope, Range lanes,
              Range rows);

} // namespace sdcpu::SDCPU_VARIANT
