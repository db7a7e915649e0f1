// Integer products of 8 lanes with AVX-VNNI, for processors without AVX-512. Included by product_integer.cpp only.
//
// Signs are treated as in integer_avx512.h. Layouts:
//   quantised   [row][depth] bytes
//   panel       16 lanes x depth_step blocks; of each block 640 bytes:
//               -128 * sum of the weights, [16] int32;  scale of the weights, [16] float;
//               weights, [8 groups of 4 elements][16 lanes][4] int8
//   tile        6 rows x 16 lanes: 12 of the 16 registers for the int32 sums within a block, 2 for weights and 1 for
//               activations; the floats across blocks wait in memory, where 12 loads and stores go with 96 products
//
// Compiled twice: for AVX-VNNI, and in the encoding of AVX-512, with which the tests can run it on other processors.
#pragma once

#include "integer.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int integer_panel_lanes = 16;
constexpr int rows_together = 1;
constexpr int groups_of_4 = quant_block / 4;
constexpr size_t sums_bytes = integer_panel_lanes * 4, scales_bytes = integer_panel_lanes * 4;
constexpr size_t group_bytes = integer_panel_lanes * 4;
constexpr size_t panel_block_bytes = sums_bytes + scales_bytes + groups_of_4 * group_bytes;
constexpr size_t block_bytes_in_cache = 384 << 10; // the cores that have no AVX-512 share 2 MiB among four
static_assert(panel_block_bytes == 640, "as the comment above says");

SDCPU_INLINE __m256i add_products(__m256i sums, __m256i unsigned_bytes, __m256i signed_bytes) {
#if defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(sums, unsigned_bytes, signed_bytes);
#else
    return _mm256_dpbusd_epi32(sums, unsigned_bytes, signed_bytes);
#endif
}

SDCPU_INLINE __m256i load_bits_of(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }

SDCPU_INLINE void store_quants(uint8_t *out, Vector values) {
    const __m256i quants = _mm256_add_epi32(_mm256_cvtps_epi32(values), _mm256_set1_epi32(128));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(quants), _mm256_extracti128_si256(quants, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i *>(out), _mm_packus_epi16(words, words));
}

// Packs `count` blocks, from `first_block` on, of `rows` rows of weights; the other lanes are 0.
template <int type>
void pack_weights(const Rows &weights, int64_t first_row, int rows, int64_t first_block, int count, char *out) {
    for (int b = 0; b < count; b++, out += panel_block_bytes) {
        char *spread = out + sums_bytes + scales_bytes;
        if (rows < integer_panel_lanes) std::memset(out, 0, panel_block_bytes);
        for (int lane = 0; lane < rows; lane++) {
            const char *block =
                weights.row(first_row + lane) + static_cast<size_t>(first_block + b) * weight_block_bytes<type>;
            const float scale = half_to_float(block);
            std::memcpy(out + sums_bytes + lane * 4, &scale, 4);
            spread_weights<type, 4, integer_panel_lanes>(block, spread + lane * 4);
        }
        const __m256i offset = _mm256_set1_epi8(static_cast<char>(128));
        for (int half = 0; half < 2; half++) {
            __m256i sums = _mm256_setzero_si256();
            for (int group = 0; group < groups_of_4; group++)
                sums = add_products(sums, offset, load_bits_of(spread + group * group_bytes + half * 32));
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + half * 32),
                                _mm256_sub_epi32(_mm256_setzero_si256(), sums));
        }
    }
}

template <int row_count>
__attribute__((noinline)) void integer_tile(int blocks, const char *panel, const QuantisedRows &rows, float *out,
                                            size_t out_stride, int lanes, const Finish &finish) {
    Vector results[row_count][2];
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) results[r][0] = results[r][1] = zero();
    // Two base pointers for six rows, as in product_tile.cpp.
    const size_t stride = rows.values_stride, scales_stride = rows.scales_stride;
    const uint8_t *values = rows.values, *values_from_3 = values + 3 * stride;
    const float *scales = rows.scales, *scales_from_3 = scales + 3 * scales_stride;
    for (int b = 0; b < blocks; b++, panel += panel_block_bytes, values += quant_block, values_from_3 += quant_block,
             scales++, scales_from_3++) {
        __m256i sums[row_count][2];
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            sums[r][0] = load_bits_of(panel);
            sums[r][1] = load_bits_of(panel + 32);
        }
        const char *weights = panel + sums_bytes + scales_bytes;
#pragma GCC unroll 8
        for (int group = 0; group < groups_of_4; group++) {
            const __m256i weights0 = load_bits_of(weights + group * group_bytes);
            const __m256i weights1 = load_bits_of(weights + group * group_bytes + 32);
#pragma GCC unroll 8
            for (int r = 0; r < row_count; r++) {
                int four;
                std::memcpy(&four, (r < 3 ? values + r * stride : values_from_3 + (r - 3) * stride) + group * 4, 4);
                const __m256i activations = _mm256_set1_epi32(four);
                sums[r][0] = add_products(sums[r][0], activations, weights0);
                sums[r][1] = add_products(sums[r][1], activations, weights1);
            }
        }
        const Vector scale0 = load(panel + sums_bytes), scale1 = load(panel + sums_bytes + 32);
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            const Vector scale = fill(r < 3 ? scales[r * scales_stride] : scales_from_3[(r - 3) * scales_stride]);
            results[r][0] = multiply_add(_mm256_cvtepi32_ps(sums[r][0]), scale0 * scale, results[r][0]);
            results[r][1] = multiply_add(_mm256_cvtepi32_ps(sums[r][1]), scale1 * scale, results[r][1]);
        }
    }
    store_results(results, out, out_stride, lanes, finish);
}

} // namespace sdcpu::SDCPU_VARIANT
