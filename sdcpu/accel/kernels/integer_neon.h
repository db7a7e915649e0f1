// Integer products on 64-bit Arm: with the dot product of four signed bytes per lane, or with the product of 2 x 8 by
// 8 x 2 bytes (I8MM), which does twice as much. Included by product_integer.cpp only.
//
// Layouts:
//   quantised   dot product: [row][depth] int8;  I8MM: [row / 2][depth / 8][2 rows][8] int8
//   panel       8 lanes x depth_step blocks; of each block
//               dot product, 288 bytes: scales [8] float;  weights [8 groups of 4 elements][8 lanes][4] int8
//               I8MM, 320 bytes: scales [4 pairs of lanes][2 rows][2] float, each twice;
//               weights [4 groups of 8 elements][8 lanes][8] int8
//   tile        6 rows x 8 lanes: 12 of the 32 registers for the int32 sums within a block, 12 for the floats across
//               blocks, 4 for weights, up to 3 for activations. Dot product: 10 loads for 24 products. I8MM: 7 for 12.
#pragma once

#include "integer.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int integer_panel_lanes = 8;
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr int rows_together = 2;
#else
constexpr int rows_together = 1;
#endif
constexpr int piece_bytes = 4 * rows_together; // elements of a lane that one instruction takes
constexpr int pieces = quant_block / piece_bytes;
constexpr size_t scales_bytes = integer_panel_lanes * 4 * rows_together;
constexpr size_t group_bytes = integer_panel_lanes * piece_bytes;
constexpr size_t panel_block_bytes = scales_bytes + quant_block * integer_panel_lanes;
constexpr size_t block_bytes_in_cache = 256 << 10; // half of the second-level cache of a Cortex-A76 in a small board

SDCPU_INLINE void store_quants(uint8_t *out, Vector values) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(values));
    const int32x2_t bytes = vreinterpret_s32_s8(vqmovn_s16(vcombine_s16(words, words)));
    const int32_t four = vget_lane_s32(bytes, 0);
    std::memcpy(out, &four, 4);
}

// Packs `count` blocks, from `first_block` on, of `rows` rows of weights; the other lanes are 0.
template <int type>
void pack_weights(const Rows &weights, int64_t first_row, int rows, int64_t first_block, int count, char *out) {
    for (int b = 0; b < count; b++, out += panel_block_bytes) {
        if (rows < integer_panel_lanes) std::memset(out, 0, panel_block_bytes);
        for (int lane = 0; lane < rows; lane++) {
            const char *block =
                weights.row(first_row + lane) + static_cast<size_t>(first_block + b) * weight_block_bytes<type>;
            const float scale = half_to_float(block);
            // I8MM: of the pair of lanes, once for each of two rows
            const int place = rows_together == 1 ? lane : lane / 2 * 4 + lane % 2;
            std::memcpy(out + place * 4, &scale, 4);
            if constexpr (rows_together == 2) std::memcpy(out + (place + 2) * 4, &scale, 4);
            spread_weights<type, piece_bytes, integer_panel_lanes>(block, out + scales_bytes + lane * piece_bytes);
        }
    }
}

SDCPU_INLINE int8x16_t load_16(const void *p) { return vld1q_s8(static_cast<const int8_t *>(p)); }

#if defined(__ARM_FEATURE_MATMUL_INT8)

template <int row_count>
__attribute__((noinline)) void integer_tile(int blocks, const char *panel, const QuantisedRows &rows, float *out,
                                            size_t out_stride, int lanes, const Finish &finish) {
    constexpr int row_pairs = (row_count + 1) / 2, lane_pairs = integer_panel_lanes / 2;
    Vector squares[row_pairs][lane_pairs]; // of 2 rows x 2 lanes
#pragma GCC unroll 4
    for (int p = 0; p < row_pairs; p++) {
#pragma GCC unroll 4
        for (int q = 0; q < lane_pairs; q++) squares[p][q] = zero();
    }
    const uint8_t *values = rows.values;
    for (int b = 0; b < blocks; b++, panel += panel_block_bytes, values += 2 * quant_block) {
        int32x4_t sums[row_pairs][lane_pairs];
#pragma GCC unroll 4
        for (int p = 0; p < row_pairs; p++) {
#pragma GCC unroll 4
            for (int q = 0; q < lane_pairs; q++) sums[p][q] = vdupq_n_s32(0);
        }
        const char *weights = panel + scales_bytes;
#pragma GCC unroll 4
        for (int group = 0; group < pieces; group++, weights += group_bytes) {
            int8x16_t lane_bytes[lane_pairs];
#pragma GCC unroll 4
            for (int q = 0; q < lane_pairs; q++) lane_bytes[q] = load_16(weights + q * 16);
#pragma GCC unroll 4
            for (int p = 0; p < row_pairs; p++) {
                const int8x16_t row_bytes = load_16(values + 2 * p * rows.values_stride + group * 16);
#pragma GCC unroll 4
                for (int q = 0; q < lane_pairs; q++) sums[p][q] = vmmlaq_s32(sums[p][q], row_bytes, lane_bytes[q]);
            }
        }
#pragma GCC unroll 4
        for (int p = 0; p < row_pairs; p++) {
            const float *scales = rows.scales + b + 2 * p * rows.scales_stride;
            const float second = 2 * p + 1 < row_count ? scales[rows.scales_stride] : 0.f;
            const float32x4_t row_scales = vcombine_f32(vdup_n_f32(scales[0]), vdup_n_f32(second));
#pragma GCC unroll 4
            for (int q = 0; q < lane_pairs; q++)
                squares[p][q] = multiply_add(to_floats(sums[p][q]), load(panel + q * 16) * row_scales, squares[p][q]);
        }
    }
    Vector results[row_count][2];
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const Vector first = squares[r / 2][2 * j], second = squares[r / 2][2 * j + 1];
            results[r][j] = r % 2 == 0 ? vcombine_f32(vget_low_f32(first), vget_low_f32(second))
                                       : vcombine_f32(vget_high_f32(first), vget_high_f32(second));
        }
    }
    store_results(results, out, out_stride, lanes, finish);
}

#else

template <int row_count>
__attribute__((noinline)) void integer_tile(int blocks, const char *panel, const QuantisedRows &rows, float *out,
                                            size_t out_stride, int lanes, const Finish &finish) {
    Vector results[row_count][2];
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) results[r][0] = results[r][1] = zero();
    for (int b = 0; b < blocks; b++, panel += panel_block_bytes) {
        int32x4_t sums[row_count][2];
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) sums[r][0] = sums[r][1] = vdupq_n_s32(0);
        const auto *values = reinterpret_cast<const int8_t *>(rows.values) + b * quant_block;
        const char *weights = panel + scales_bytes;
#pragma GCC unroll 4
        for (int group = 0; group < pieces; group += 2, weights += 2 * group_bytes) {
            const int8x16_t first0 = load_16(weights), first1 = load_16(weights + 16);
            const int8x16_t second0 = load_16(weights + 32), second1 = load_16(weights + 48);
#pragma GCC unroll 8
            for (int r = 0; r < row_count; r++) {
                const int8x8_t eight = vld1_s8(values + r * rows.values_stride + group * 4);
                sums[r][0] = vdotq_lane_s32(sums[r][0], first0, eight, 0);
                sums[r][1] = vdotq_lane_s32(sums[r][1], first1, eight, 0);
                sums[r][0] = vdotq_lane_s32(sums[r][0], second0, eight, 1);
                sums[r][1] = vdotq_lane_s32(sums[r][1], second1, eight, 1);
            }
        }
        const Vector scale0 = load(panel), scale1 = load(panel + 16);
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            const float scale = rows.scales[b + r * rows.scales_stride];
            results[r][0] = multiply_add(to_floats(sums[r][0]), scale0 * fill(scale), results[r][0]);
            results[r][1] = multiply_add(to_floats(sums[r][1]), scale1 * fill(scale), results[r][1]);
        }
    }
    store_results(results, out, out_stride, lanes, finish);
}

#endif

} // namespace sdcpu::SDCPU_VARIANT
