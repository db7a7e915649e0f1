// The innermost loop of every product; see product.h for the blocks around it.
#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

template <int row_count, int vectors>
__attribute__((noinline)) void tile(int units, const Unit *panel, const Unit *rows, size_t rows_stride, float *out,
                                    size_t out_stride, int lanes, const Finish &finish) {
    Vector sums[row_count][vectors];
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) sums[r][j] = zero();
    }
    const Unit *rows_from_3 = rows + 3 * rows_stride;
    for (int unit = 0; unit < units; unit++) {
        Vector lane_units[vectors];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) lane_units[j] = load(panel + j * width);
        panel += vectors * width;
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            const Broadcast row_unit = broadcast(row_of(rows, rows_from_3, rows_stride, r) + unit);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sums[r][j] = dot(sums[r][j], row_unit, lane_units[j]);
        }
    }
    if (lanes == vectors * width && !finish.changes()) {
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) {
                float *place = out + r * out_stride + j * width;
                store(place, finish.accumulate ? sums[r][j] + load(place) : sums[r][j]);
            }
        }
        return;
    }
    const Vector factor = fill(finish.factor);
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
        float *row = out + r * out_stride;
        const Vector row_bias = finish.row_bias ? fill(finish.row_bias[r]) : zero();
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            const int n = lanes - j * width;
            Vector x = sums[r][j] * factor + row_bias;
            if (finish.accumulate) x = x + load_first(row + j * width, n);
            if (finish.lane_bias) x = x + load_first(finish.lane_bias + j * width, n);
            if (finish.residual) x = x + load_first(finish.residual + r * finish.residual_stride + j * width, n);
            if (finish.negative_slope != 1) x = leaky_relu(x, finish.negative_slope);
            store_first(row + j * width, x, n);
        }
    }
}

using Tile = void (*)(int, const Unit *, const Unit *, size_t, float *, size_t, int, const Finish &);

#if defined(__AVX2__) && !defined(SDCPU_WHOLE_VECTORS)
#define SDCPU_TILES(rows) {tile<rows, 1>, tile<rows, 2>}
#else
#define SDCPU_TILES(rows) {tile<rows, 1>, tile<rows, 2>, tile<rows, 3>, tile<rows, 4>}
#endif
const Tile tiles[tile_rows][tile_vectors] = {SDCPU_TILES(1), SDCPU_TILES(2), SDCPU_TILES(3),
                                             SDCPU_TILES(4), SDCPU_TILES(5), SDCPU_TILES(6)};

#if defined(SDCPU_WHOLE_VECTORS)

template <int row_count, int full>
__attribute__((noinline)) void narrow_tile(int units, const Unit *panel, const Unit *rows, size_t rows_stride,
                                           float *out, size_t out_stride) {
    constexpr int some = full > 0 ? full : 1; // an array of 0 elements is not C++
    Vector sums[row_count][some];
    __m256 half_sums[row_count];
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
        half_sums[r] = _mm256_loadu_ps(out + r * out_stride + full * width);
#pragma GCC unroll 4
        for (int j = 0; j < full; j++) sums[r][j] = load(out + r * out_stride + j * width);
    }
    const Unit *rows_from_3 = rows + 3 * rows_stride;
    for (int unit = 0; unit < units; unit++) {
        Vector lane_units[some];
#pragma GCC unroll 4
        for (int j = 0; j < full; j++) lane_units[j] = load(panel + j * width);
        const __m256 half_units = _mm256_loadu_ps(reinterpret_cast<const float *>(panel) + full * width);
        panel += (full + 1) * width;
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            const Vector row_unit = broadcast(row_of(rows, rows_from_3, rows_stride, r) + unit);
#pragma GCC unroll 4
            for (int j = 0; j < full; j++) sums[r][j] = dot(sums[r][j], row_unit, lane_units[j]);
            half_sums[r] = dot(half_sums[r], _mm512_castps512_ps256(row_unit), half_units);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
        _mm256_storeu_ps(out + r * out_stride + full * width, half_sums[r]);
#pragma GCC unroll 4
        for (int j = 0; j < full; j++) store(out + r * out_stride + j * width, sums[r][j]);
    }
}

using NarrowTile = void (*)(int, const Unit *, const Unit *, size_t, float *, size_t);

#define SDCPU_NARROW_TILES(rows)                                                                                       \
    {narrow_tile<rows, 0>, narrow_tile<rows, 1>, narrow_tile<rows, 2>, narrow_tile<rows, 3>}
const NarrowTile narrow_tiles[tile_rows][tile_vectors] = {SDCPU_NARROW_TILES(1), SDCPU_NARROW_TILES(2),
                                                          SDCPU_NARROW_TILES(3), SDCPU_NARROW_TILES(4),
                                                          SDCPU_NARROW_TILES(5), SDCPU_NARROW_TILES(6)};

#endif

} // namespace

void multiply_tile(int row_count, int vectors, int units, const Unit *panel, const Unit *rows, size_t rows_stride,
                   float *out, size_t out_stride, int lanes, const Finish &finish) {
    tiles[row_count - 1][vectors - 1](units, panel, rows, rows_stride, out, out_stride, lanes, finish);
}

#if defined(SDCPU_WHOLE_VECTORS)
void multiply_narrow_tile(int row_count, int full_vectors, int units, const Unit *panel, const Unit *rows,
                          size_t rows_stride, float *out, size_t out_stride) {
    narrow_tiles[row_count - 1][full_vectors](units, panel, rows, rows_stride, out, out_stride);
}
#endif

} // namespace sdcpu::SDCPU_VARIANT
