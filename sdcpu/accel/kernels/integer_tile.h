// The innermost loop of integer products: up to 6 rows of inputs x 2 vectors of lanes of weights, over a pass.
#pragma once

#if defined(__aarch64__)
#include "integer_neon.h"
#else
#include "integer_x86.h"
#endif

namespace sdcpu::SDCPU_VARIANT {

// Stores the results of a tile, and what is added to them.
template <int most_rows>
SDCPU_INLINE void store_results(const Vector (&results)[most_rows][vectors], float *out, size_t out_stride, int rows,
                                int lanes, const Finish &finish) {
#pragma GCC unroll 8
    for (int r = 0; r < most_rows; r++) {
        if (r >= rows) break;
        for (int j = 0; j < vectors; j++) {
            const int n = lanes - j * width;
            float *place = out + static_cast<size_t>(r) * out_stride + j * width;
            Vector x = results[r][j];
            if (finish.accumulate) x = x + load_first(place, n);
            if (finish.lane_bias) x = x + load_first(finish.lane_bias + j * width, n);
            if (finish.residual)
                x = x + load_first(finish.residual + static_cast<size_t>(r) * finish.residual_stride + j * width, n);
            store_first(place, x, n);
        }
    }
}

// Computes most_rows rows and stores `rows` of them.
template <Scaling scaling, int most_rows>
__attribute__((noinline)) void integer_tile(int blocks, const LaneBlock<scaling> *lane_blocks,
                                            const RowBlock *row_blocks, const Ahead &ahead, float *out,
                                            size_t out_stride, int rows, int lanes, const Finish &finish) {
    Vector results[most_rows][vectors];
#pragma GCC unroll 8
    for (int r = 0; r < most_rows; r++) results[r][0] = results[r][1] = zero();
    for (int b = 0; b < blocks; b++, lane_blocks++, row_blocks++) {
        ahead.prefetch(b);
#pragma GCC unroll 2
        for (int part = 0; part < LaneBlock<scaling>::parts; part++) {
            Integers sums[most_rows][vectors];
            add_pieces(*lane_blocks, *row_blocks, part, sums);
            const Vector scale0 = load(lane_blocks->scales[part]), scale1 = load(lane_blocks->scales[part] + width);
#pragma GCC unroll 8
            for (int r = 0; r < most_rows; r++) {
                const Vector scale = fill(row_blocks->scales[r]);
                results[r][0] = multiply_add(to_floats(sums[r][0]) * scale0, scale, results[r][0]);
                results[r][1] = multiply_add(to_floats(sums[r][1]) * scale1, scale, results[r][1]);
            }
        }
        if constexpr (scaling == Scaling::least) {
            const Vector least0 = load(lane_blocks->scales[1]), least1 = load(lane_blocks->scales[1] + width);
#pragma GCC unroll 8
            for (int r = 0; r < most_rows; r++) {
                const Vector sum = fill(row_blocks->sums[r]);
                results[r][0] = multiply_add(least0, sum, results[r][0]);
                results[r][1] = multiply_add(least1, sum, results[r][1]);
            }
        }
    }
    store_results(results, out, out_stride, rows, lanes, finish);
}

} // namespace sdcpu::SDCPU_VARIANT
