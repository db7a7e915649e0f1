// Products of q8_0 and q4_0 weights with 8-bit activations, four or eight multiplications per lane and instruction.
//
// The activations are quantised in blocks of 32, like the weights, and stored with their scales:
//   quantised   bytes as the instructions want them (integer_....h), then, on a multiple of 64 bytes,
//               [row][depth / 32] float scales
// A panel holds integer_panel_lanes lanes, of each block of 32 elements panel_block_bytes bytes.
#include "kernels.h"

#if defined(__aarch64__)
#include "integer_neon.h"
#elif defined(SDCPU_HALF_VECTORS)
#include "integer_avx2.h"
#else
#include "integer_avx512.h"
#endif

namespace sdcpu::SDCPU_VARIANT {

namespace {

constexpr int most_depth_blocks = 40; // per pass: 1280 elements

size_t scales_offset(int64_t rows, int64_t depth) {
    return static_cast<size_t>(round_up(round_up(rows, rows_together) * depth, 64));
}

// Depth in equal passes.
int64_t depth_step(int64_t depth) {
    const int64_t blocks = depth / quant_block;
    return divide_up(blocks, divide_up(blocks, most_depth_blocks));
}

int block_panels_for(int64_t depth) {
    const auto panels =
        static_cast<int>(block_bytes_in_cache / (static_cast<size_t>(depth_step(depth)) * panel_block_bytes));
    return panels < 1 ? 1 : panels;
}

size_t quantised_size(int64_t rows, int64_t depth) {
    return scales_offset(rows, depth) + static_cast<size_t>(rows * (depth / quant_block)) * sizeof(float);
}

// Where elements k … k + 3 of a row are: rows that are multiplied together take turns of 8 elements.
SDCPU_INLINE size_t place_of(int64_t row, int64_t k, int64_t depth) {
    if constexpr (rows_together == 1) return static_cast<size_t>(row * depth + k);
    return static_cast<size_t>(row / rows_together * rows_together * depth + k / 8 * 8 * rows_together +
                               row % rows_together * 8 + k % 8);
}

// `width` blocks of 32 at a time: their largest values are found in the columns of a transposed square.
void quantise_rows(const Rows &rows, Range range, int64_t row_count, int64_t depth, uint8_t *quantised) {
    const int64_t blocks = depth / quant_block;
    auto *all_scales = reinterpret_cast<float *>(quantised + scales_offset(row_count, depth));
    for (int64_t r = range.begin; r < range.end; r++) {
        const auto *in = reinterpret_cast<const float *>(rows.row(r));
        float *scales = all_scales + static_cast<size_t>(r * blocks);
        for (int64_t b = 0; b < blocks; b += width) {
            const int count = at_most(blocks - b, width);
            Vector largest_values[width];
            for (int i = 0; i < width; i++) {
                largest_values[i] = zero();
                if (i >= count) continue;
                for (int part = 0; part < quant_block; part += width)
                    largest_values[i] = largest(absolute(load(in + (b + i) * quant_block + part)), largest_values[i]);
            }
            transpose(largest_values);
#pragma GCC unroll 16
            for (int half = width / 2; half > 0; half /= 2)
                for (int i = 0; i < half; i++) largest_values[i] = largest(largest_values[i], largest_values[i + half]);
            store_first(scales + b, largest_values[0] * fill(1.f / 127.f), count);
            float most[width];
            store(most, largest_values[0]);
            for (int i = 0; i < count; i++) {
                const Vector factor = fill(most[i] > 1e-30f ? 127.f / most[i] : 0.f);
                for (int part = 0; part < quant_block; part += width) {
                    const int64_t k = (b + i) * quant_block + part;
                    store_quants(quantised + place_of(r, k, depth), load(in + k) * factor);
                }
            }
        }
    }
}

using IntegerTile = void (*)(int, const char *, const QuantisedRows &, float *, size_t, int, const Finish &);
const IntegerTile integer_tiles[tile_rows] = {integer_tile<1>, integer_tile<2>, integer_tile<3>,
                                              integer_tile<4>, integer_tile<5>, integer_tile<6>};

// The loops are those of product.cpp: blocks of lanes, passes over the depth, strips of rows, panels.
void multiply_integers(const Product &product, const uint8_t *quantised, Range lanes, Range rows) {
    const int64_t blocks = product.depth / quant_block, step = depth_step(product.depth);
    const int64_t block_lanes = static_cast<int64_t>(block_panels_for(product.depth)) * integer_panel_lanes;
    const auto *scales = reinterpret_cast<const float *>(quantised + scales_offset(product.row_count, product.depth));
    const size_t panel_bytes = static_cast<size_t>(step) * panel_block_bytes;
    auto *packed = static_cast<char *>(thread_scratch(
        Scratch::integer_panels, static_cast<size_t>(block_lanes / integer_panel_lanes) * panel_bytes + 64));
    const auto pack = product.lanes.type == type_q8_0 ? pack_weights<type_q8_0> : pack_weights<type_q4_0>;

    for (int64_t block = lanes.begin; block < lanes.end; block += block_lanes) {
        const int64_t block_end = lesser(block + block_lanes, lanes.end);
        const int panels = static_cast<int>(divide_up(block_end - block, integer_panel_lanes));
        for (int64_t b = 0; b < blocks; b += step) {
            const int count = at_most(blocks - b, static_cast<int>(step));
            for (int p = 0; p < panels; p++) {
                const int64_t lane = block + p * integer_panel_lanes;
                pack(product.lanes, lane, at_most(block_end - lane, integer_panel_lanes), b, count,
                     packed + p * panel_bytes);
            }
            for (int64_t row = rows.begin; row < rows.end; row += tile_rows) {
                const int rows_here = at_most(rows.end - row, tile_rows);
                const QuantisedRows strip = {
                    quantised + static_cast<size_t>(row * product.depth + b * quant_block * rows_together),
                    scales + static_cast<size_t>(row * blocks + b), static_cast<size_t>(product.depth),
                    static_cast<size_t>(blocks)};
                for (int p = 0; p < panels; p++) {
                    const int64_t lane = block + p * integer_panel_lanes;
                    Finish finish = {b > 0, nullptr, nullptr, nullptr, product.residual_stride};
                    if (b + step >= blocks) {
                        if (product.lane_bias) finish.lane_bias = product.lane_bias + lane;
                        if (product.residual)
                            finish.residual =
                                product.residual + static_cast<size_t>(row) * product.residual_stride + lane;
                    }
                    integer_tiles[rows_here - 1](count, packed + p * panel_bytes, strip,
                                                 product.out + static_cast<size_t>(row) * product.out_stride + lane,
                                                 product.out_stride, at_most(block_end - lane, integer_panel_lanes),
                                                 finish);
                }
            }
        }
    }
}

} // namespace

extern const IntegerKernels integer_kernels = {
    integer_panel_lanes, tile_rows, block_panels_for, quantised_size, quantise_rows, multiply_integers,
};

} // namespace sdcpu::SDCPU_VARIANT
