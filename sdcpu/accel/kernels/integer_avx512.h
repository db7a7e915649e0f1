// Integer products of 16 lanes with AVX512-VNNI. Included by product_integer.cpp only.
//
// The instruction multiplies unsigned by signed bytes: the activations are stored as q + 128. What the 128 adds,
// 128 * (sum of the weights of a block), is computed while the weights are packed, and the sums begin at its negative.
//
// Layouts:
//   quantised   [row][depth] bytes
//   panel       32 lanes x depth_step blocks; of each block 1280 bytes:
//               -128 * sum of the weights, [32] int32;  scale of the weights, [32] float;
//               weights, [8 groups of 4 elements][32 lanes][4] int8
//   tile        6 rows x 32 lanes: 12 registers of int32 sums within a block, 12 of floats across blocks
#pragma once

#include "integer.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int integer_panel_lanes = 32;
constexpr int rows_together = 1;
constexpr int vectors = integer_panel_lanes / width;
constexpr int groups_of_4 = quant_block / 4;
constexpr size_t sums_bytes = integer_panel_lanes * 4, scales_bytes = integer_panel_lanes * 4;
constexpr size_t group_bytes = integer_panel_lanes * 4;
constexpr size_t panel_block_bytes = sums_bytes + scales_bytes + groups_of_4 * group_bytes;
constexpr size_t block_bytes_in_cache = 560 << 10;
static_assert(panel_block_bytes == 1280, "as the comment above says");

SDCPU_INLINE void store_quants(uint8_t *out, Vector values) {
    const __m512i quants = _mm512_add_epi32(_mm512_cvtps_epi32(values), _mm512_set1_epi32(128));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(out), _mm512_cvtepi32_epi8(quants));
}

// The 32 signed weights of one block.
template <int type> SDCPU_INLINE __m256i load_weights(const char *block) {
    if constexpr (type == type_q8_0) return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(block + 2));
    const __m128i nibbles = _mm_loadu_si128(reinterpret_cast<const __m128i *>(block + 2)), low_bits = _mm_set1_epi8(15);
    const __m128i first = _mm_and_si128(nibbles, low_bits),
                  second = _mm_and_si128(_mm_srli_epi16(nibbles, 4), low_bits);
    return _mm256_sub_epi8(_mm256_set_m128i(second, first), _mm256_set1_epi8(8));
}

// Packs `count` blocks, from `first_block` on, of `rows` rows of weights; the other lanes are 0.
template <int type>
void pack_weights(const Rows &weights, int64_t first_row, int rows, int64_t first_block, int count, char *out) {
    constexpr size_t source_bytes = type == type_q8_0 ? 34 : 18;
    const __m512i offset = _mm512_set1_epi8(static_cast<char>(128));
    for (int j = 0; j < vectors; j++)
        for (int b = 0; b < count; b += 2) { // two blocks fill a vector
            const bool has_second = b + 1 < count;
            Vector square[width];
            alignas(64) float scales[2][width];
            for (int i = 0; i < width; i++) {
                square[i] = zero();
                scales[0][i] = scales[1][i] = 0;
                if (j * width + i >= rows) continue;
                const char *block =
                    weights.row(first_row + j * width + i) + static_cast<size_t>(first_block + b) * source_bytes;
                const __m256i first = load_weights<type>(block);
                const __m256i second = has_second ? load_weights<type>(block + source_bytes) : _mm256_setzero_si256();
                square[i] = reinterpret_cast<Vector>(_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1));
                scales[0][i] = half_to_float(block);
                if (has_second) scales[1][i] = half_to_float(block + source_bytes);
            }
            transpose(square); // now each vector holds 4 elements of 16 lanes
            for (int which = 0; which < (has_second ? 2 : 1); which++) {
                char *place = out + static_cast<size_t>(b + which) * panel_block_bytes + j * 64;
                __m512i sums = _mm512_setzero_si512();
                for (int group = 0; group < groups_of_4; group++) {
                    const auto four = reinterpret_cast<__m512i>(square[which * groups_of_4 + group]);
                    sums = _mm512_dpbusd_epi32(sums, offset, four);
                    _mm512_storeu_si512(place + sums_bytes + scales_bytes + group * group_bytes, four);
                }
                _mm512_storeu_si512(place, _mm512_sub_epi32(_mm512_setzero_si512(), sums));
                store(place + sums_bytes, load(scales[which]));
            }
        }
}

template <int row_count>
__attribute__((noinline)) void integer_tile(int blocks, const char *panel, const QuantisedRows &rows, float *out,
                                            size_t out_stride, int lanes, const Finish &finish) {
    Vector results[row_count][vectors];
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) results[r][0] = results[r][1] = zero();
    // Two base pointers for six rows, as in product_tile.cpp.
    const size_t stride = rows.values_stride, scales_stride = rows.scales_stride;
    const uint8_t *values = rows.values, *values_from_3 = values + 3 * stride;
    const float *scales = rows.scales, *scales_from_3 = scales + 3 * scales_stride;
    for (int b = 0; b < blocks; b++, panel += panel_block_bytes, values += quant_block, values_from_3 += quant_block,
             scales++, scales_from_3++) {
        __m512i sums[row_count][vectors];
        const __m512i start0 = _mm512_loadu_si512(panel), start1 = _mm512_loadu_si512(panel + 64);
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            sums[r][0] = start0;
            sums[r][1] = start1;
        }
        const char *weights = panel + sums_bytes + scales_bytes;
#pragma GCC unroll 8
        for (int group = 0; group < groups_of_4; group++) {
            const __m512i weights0 = _mm512_loadu_si512(weights + group * group_bytes);
            const __m512i weights1 = _mm512_loadu_si512(weights + group * group_bytes + 64);
#pragma GCC unroll 8
            for (int r = 0; r < row_count; r++) {
                int four;
                std::memcpy(&four, (r < 3 ? values + r * stride : values_from_3 + (r - 3) * stride) + group * 4, 4);
                const __m512i activations = _mm512_set1_epi32(four);
                sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], activations, weights0);
                sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], activations, weights1);
            }
        }
        const Vector scale0 = load(panel + sums_bytes), scale1 = load(panel + sums_bytes + 64);
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            const Vector scale = fill(r < 3 ? scales[r * scales_stride] : scales_from_3[(r - 3) * scales_stride]);
            results[r][0] = multiply_add(_mm512_cvtepi32_ps(sums[r][0]), scale0 * scale, results[r][0]);
            results[r][1] = multiply_add(_mm512_cvtepi32_ps(sums[r][1]), scale1 * scale, results[r][1]);
        }
    }
    store_results(results, out, out_stride, lanes, finish);
}

} // namespace sdcpu::SDCPU_VARIANT
