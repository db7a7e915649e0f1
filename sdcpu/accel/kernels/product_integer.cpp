// Products of q8_0 and q4_0 weights with 8-bit activations, four multiplications per lane and instruction (VNNI).
//
// An instruction multiplies unsigned by signed bytes. The activations are quantised in blocks of 32, like the
// weights, and stored as q + 128; what the 128 adds, 128 * (sum of the weights of a block), is computed while the
// weights are packed, and the sums begin at its negative.
//
// Layouts:
//   quantised   [row][depth] bytes, then, on a multiple of 64 bytes, [row][depth / 32] float scales
//   panel       32 lanes x depth_step blocks; of each block 1280 bytes:
//               -128 * sum of the weights, [32] int32;  scale of the weights, [32] float;
//               weights, [8 groups of 4 elements][32 lanes][4] int8
//   tile        6 rows x 32 lanes: 12 registers of int32 sums within a block, 12 of floats across blocks
#include "kernels.h"
#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

constexpr int integer_panel_lanes = 32;
constexpr int vectors = integer_panel_lanes / width;
constexpr int quant_block = 32;
constexpr int groups_of_4 = quant_block / 4;
constexpr int most_depth_blocks = 40; // per pass: 1280 elements
constexpr size_t sums_bytes = integer_panel_lanes * 4, scales_bytes = integer_panel_lanes * 4;
constexpr size_t group_bytes = integer_panel_lanes * 4;
constexpr size_t panel_block_bytes = sums_bytes + scales_bytes + groups_of_4 * group_bytes;
constexpr size_t block_bytes_in_cache = 560 << 10;
static_assert(panel_block_bytes == 1280, "as the comment above says");

size_t scales_offset(int64_t rows, int64_t depth) { return static_cast<size_t>(round_up(rows * depth, 64)); }

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

// Sixteen blocks of 32 at a time: their largest values are found in the columns of a transposed square.
void quantise_rows(const Rows &rows, Range range, int64_t row_count, int64_t depth, uint8_t *quantised) {
    const int64_t blocks = depth / quant_block;
    auto *all_scales = reinterpret_cast<float *>(quantised + scales_offset(row_count, depth));
    for (int64_t r = range.begin; r < range.end; r++) {
        const auto *in = reinterpret_cast<const float *>(rows.row(r));
        uint8_t *out = quantised + static_cast<size_t>(r * depth);
        float *scales = all_scales + static_cast<size_t>(r * blocks);
        for (int64_t b = 0; b < blocks; b += width) {
            const int count = at_most(blocks - b, width);
            Vector largest_values[width];
            for (int i = 0; i < width; i++) {
                const float *block = in + (b + i) * quant_block;
                largest_values[i] = i < count ? largest(absolute(load(block)), absolute(load(block + width))) : zero();
            }
            transpose(largest_values);
#pragma GCC unroll 16
            for (int half = width / 2; half > 0; half /= 2)
                for (int i = 0; i < half; i++) largest_values[i] = largest(largest_values[i], largest_values[i + half]);
            const Vector most = largest_values[0];
            store_first(scales + b, most * fill(1.f / 127.f), count);
            const __mmask16 is_not_zero = _mm512_cmp_ps_mask(most, fill(1e-30f), _CMP_GT_OQ);
            alignas(64) float factors[width];
            store(factors, _mm512_maskz_div_ps(is_not_zero, fill(127.f), most));
            for (int i = 0; i < count; i++) {
                for (int part = 0; part < quant_block; part += width) {
                    const int64_t place = (b + i) * quant_block + part;
                    const __m512i quants = _mm512_cvtps_epi32(load(in + place) * fill(factors[i]));
                    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(quants, _mm512_set1_epi32(128)));
                    _mm_storeu_si128(reinterpret_cast<__m128i *>(out + place), bytes);
                }
            }
        }
    }
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

// The rows of a tile: quantised values and scales, `depth` bytes and `blocks` floats apart.
struct QuantisedRows {
    const uint8_t *values;
    const float *scales;
    size_t values_stride, scales_stride;
};

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
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++)
        for (int j = 0; j < vectors; j++) {
            const int n = lanes - j * width;
            float *place = out + r * out_stride + j * width;
            Vector x = results[r][j];
            if (finish.accumulate) x = x + load_first(place, n);
            if (finish.lane_bias) x = x + load_first(finish.lane_bias + j * width, n);
            if (finish.residual) x = x + load_first(finish.residual + r * finish.residual_stride + j * width, n);
            store_first(place, x, n);
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
                const QuantisedRows strip = {quantised + static_cast<size_t>(row * product.depth + b * quant_block),
                                             scales + static_cast<size_t>(row * blocks + b),
                                             static_cast<size_t>(product.depth), static_cast<size_t>(blocks)};
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
