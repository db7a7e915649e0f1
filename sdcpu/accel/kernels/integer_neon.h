// Integer products on 64-bit Arm: with the dot product of four signed bytes per lane, or with the product of 2 x 8 by
// 8 x 2 bytes (I8MM), which does twice as much. Included by integer_tile.h only.
//
// Layouts:
//   rows    dot product: [6 rows][32] int8;  I8MM: [3 pairs of rows][4 pieces of 8][2 rows][8] int8
//   tile    6 rows x 8 lanes: 12 of the 32 registers for the int32 sums within a block, 12 for the floats across
//           blocks, 4 for weights, up to 3 for activations. Dot product: 10 loads for 24 products. I8MM: 7 for 12.
#pragma once

#include "integer.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int vectors = 2;
constexpr int integer_panel_lanes = vectors * width;
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr int rows_together = 2;
#else
constexpr int rows_together = 1;
#endif
constexpr int piece_bytes = 4 * rows_together; // elements of a lane that one instruction takes
constexpr int pieces = quant_block / piece_bytes;
constexpr size_t block_bytes_in_cache = 256 << 10; // half of the second-level cache of a Cortex-A76 in a small board

// A block of 32 elements of the lanes of a panel.
template <Scaling scaling> struct LaneBlock {
    static constexpr int parts = scaling == Scaling::halves ? 2 : 1;      // with scales of their own
    float scales[scaling == Scaling::plain ? 1 : 2][integer_panel_lanes]; // the second may be the least value
    int8_t quants[pieces][integer_panel_lanes * piece_bytes];
};

SDCPU_INLINE void store_quants(uint8_t *out, Vector values) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(values));
    const int32x2_t bytes = vreinterpret_s32_s8(vqmovn_s16(vcombine_s16(words, words)));
    const int32_t four = vget_lane_s32(bytes, 0);
    std::memcpy(out, &four, 4);
}

// Where four elements of a row are in a block.
SDCPU_INLINE int place_of(int row, int element) {
    if constexpr (rows_together == 1) return row * quant_block + element;
    return row / 2 * 2 * quant_block + element / 8 * 16 + row % 2 * 8 + element % 8;
}

// Sorts up to blocks_together blocks of `width` lanes, whose quants lie lane after lane, into pieces.
constexpr int blocks_together = 1;
template <Scaling scaling>
SDCPU_INLINE void sort_lanes(const int8_t *quants, size_t stride, int first_lane, int, LaneBlock<scaling> *out) {
    for (int i = 0; i < width; i++)
        for (int piece = 0; piece < pieces; piece++)
            std::memcpy(out->quants[piece] + (first_lane + i) * piece_bytes,
                        quants + static_cast<size_t>(i) * stride + piece * piece_bytes, piece_bytes);
}

SDCPU_INLINE int8x16_t load_16(const void *p) { return vld1q_s8(static_cast<const int8_t *>(p)); }

// The sums of 6 rows x 8 lanes over the pieces of one part of a block.
#if defined(__ARM_FEATURE_MATMUL_INT8)

template <int row_count, class Lanes>
SDCPU_INLINE void add_pieces(const Lanes &lanes, const RowBlock &rows, int part, int32x4_t (&sums)[row_count][2]) {
    constexpr int row_pairs = (row_count + 1) / 2, lane_pairs = integer_panel_lanes / 2;
    int32x4_t squares[row_pairs][lane_pairs]; // of 2 rows x 2 lanes
#pragma GCC unroll 4
    for (int p = 0; p < row_pairs; p++) {
#pragma GCC unroll 4
        for (int q = 0; q < lane_pairs; q++) squares[p][q] = vdupq_n_s32(0);
    }
#pragma GCC unroll 4
    for (int piece = part * pieces / Lanes::parts; piece < (part + 1) * pieces / Lanes::parts; piece++) {
        int8x16_t lane_bytes[lane_pairs];
#pragma GCC unroll 4
        for (int q = 0; q < lane_pairs; q++) lane_bytes[q] = load_16(lanes.quants[piece] + q * 16);
#pragma GCC unroll 4
        for (int p = 0; p < row_pairs; p++) {
            const int8x16_t row_bytes = load_16(rows.quants + p * 2 * quant_block + piece * 16);
#pragma GCC unroll 4
            for (int q = 0; q < lane_pairs; q++) squares[p][q] = vmmlaq_s32(squares[p][q], row_bytes, lane_bytes[q]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            const int32x4_t first = squares[r / 2][2 * j], second = squares[r / 2][2 * j + 1];
            sums[r][j] = r % 2 == 0 ? vcombine_s32(vget_low_s32(first), vget_low_s32(second))
                                    : vcombine_s32(vget_high_s32(first), vget_high_s32(second));
        }
    }
}

#else

template <int row_count, class Lanes>
SDCPU_INLINE void add_pieces(const Lanes &lanes, const RowBlock &rows, int part, int32x4_t (&sums)[row_count][2]) {
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) sums[r][0] = sums[r][1] = vdupq_n_s32(0);
    const auto *values = reinterpret_cast<const int8_t *>(rows.quants);
#pragma GCC unroll 4
    for (int piece = part * pieces / Lanes::parts; piece < (part + 1) * pieces / Lanes::parts; piece += 2) {
        const int8x16_t first0 = load_16(lanes.quants[piece]), first1 = load_16(lanes.quants[piece] + 16);
        const int8x16_t second0 = load_16(lanes.quants[piece + 1]), second1 = load_16(lanes.quants[piece + 1] + 16);
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            const int8x8_t eight = vld1_s8(values + r * quant_block + piece * 4);
            sums[r][0] = vdotq_lane_s32(sums[r][0], first0, eight, 0);
            sums[r][1] = vdotq_lane_s32(sums[r][1], first1, eight, 0);
            sums[r][0] = vdotq_lane_s32(sums[r][0], second0, eight, 1);
            sums[r][1] = vdotq_lane_s32(sums[r][1], second1, eight, 1);
        }
    }
}

#endif

} // namespace sdcpu::SDCPU_VARIANT
