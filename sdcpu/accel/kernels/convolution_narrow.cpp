// Convolutions with few output channels, as at the end of every decoder: a product would pack the whole picture
// nine times over for the sake of three rows. Here a piece of the output stays in the first-level cache while one
// input channel after the other is added to it, in 32 bits, whatever the variant.
//
//   weights   [channel][ky][kx][4 output channels] floats, converted once per call
//   piece     [output row, up to 4][output channel, up to 4][256 pixels] floats
//   tile      4 vectors of pixels x all output channels of one row, in registers for one input channel
#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

constexpr int most_channels = 4;
constexpr int tile_pixel_vectors = 4;
constexpr int tile_pixels = tile_pixel_vectors * width;
constexpr int piece_rows = 4;
constexpr int piece_pixels = 256;
static_assert(piece_pixels % tile_pixels == 0, "pieces are cut into tiles");

// The lanes of a vector that begins at column x and are columns of the picture.
uint32_t bits_inside(int64_t x, int64_t columns) {
    const int first = x < 0 ? at_most(-x, width) : 0, last = at_most(columns - x, width);
    return first < last ? (1u << last) - (1u << first) : 0;
}

// Adds one input channel to the sums of tile_pixels outputs of row y, from column x on: sums[output channel][pixel].
template <int channels>
void add_channel(const Convolution &c, const float *channel, const float *weights, int64_t y, int64_t x, float *sums) {
    Vector tile[channels][tile_pixel_vectors];
#pragma GCC unroll 4
    for (int o = 0; o < channels; o++) {
#pragma GCC unroll 4
        for (int j = 0; j < tile_pixel_vectors; j++) tile[o][j] = load(sums + o * piece_pixels + j * width);
    }
    const int64_t left = x - c.pad_x, right = left + tile_pixels + (c.kernel_width - 1) * c.dilation_x;
    const bool is_inside = left >= 0 && right <= c.width;
    for (int ky = 0; ky < c.kernel_height; ky++) {
        const int64_t row = y + ky * c.dilation_y - c.pad_y;
        if (row < 0 || row >= c.height) continue;
        const float *pixels = channel + row * static_cast<int64_t>(c.row_stride) + left;
        for (int kx = 0; kx < c.kernel_width; kx++) {
            const int64_t shift = kx * c.dilation_x;
            const float *factors = weights + (ky * c.kernel_width + kx) * most_channels;
            Vector values[tile_pixel_vectors];
#pragma GCC unroll 4
            for (int j = 0; j < tile_pixel_vectors; j++) {
                const int64_t at = shift + j * width;
                values[j] = is_inside ? load(pixels + at) : load_bits(pixels + at, bits_inside(left + at, c.width));
            }
#pragma GCC unroll 4
            for (int o = 0; o < channels; o++) {
                const Vector factor = fill(factors[o]);
#pragma GCC unroll 4
                for (int j = 0; j < tile_pixel_vectors; j++)
                    tile[o][j] = multiply_add(values[j], factor, tile[o][j]);
            }
        }
    }
#pragma GCC unroll 4
    for (int o = 0; o < channels; o++) {
#pragma GCC unroll 4
        for (int j = 0; j < tile_pixel_vectors; j++) store(sums + o * piece_pixels + j * width, tile[o][j]);
    }
}

// Output rows `rows`, columns `columns`: one piece.
template <int channels>
void convolve_piece(const Convolution &c, const float *weights, Range rows, Range columns) {
    alignas(64) float sums[piece_rows][channels][piece_pixels];
    for (auto &row : sums)
        for (int o = 0; o < channels; o++)
            for (int x = 0; x < piece_pixels; x += width) store(row[o] + x, fill(c.bias ? c.bias[o] : 0.f));
    const int taps = c.kernel_width * c.kernel_height;
    for (int64_t channel = 0; channel < c.channels; channel++, weights += taps * most_channels)
        for (int64_t y = rows.begin; y < rows.end; y++)
            for (int64_t x = columns.begin; x < columns.end; x += tile_pixels)
                add_channel<channels>(c, channel_of(c, channel), weights, y, x,
                                      sums[y - rows.begin][0] + (x - columns.begin));
    for (int64_t y = rows.begin; y < rows.end; y++)
        for (int o = 0; o < channels; o++)
            for (int64_t x = columns.begin; x < columns.end; x += width) {
                const size_t place =
                    static_cast<size_t>(o) * c.out_channel_stride + static_cast<size_t>(y * c.out_width + x);
                Vector value = load(sums[y - rows.begin][o] + (x - columns.begin));
                if (c.residual) value = value + load_first(c.residual + place, columns.end - x);
                if (c.negative_slope != 1) value = leaky_relu(value, c.negative_slope);
                store_first(c.out + place, value, columns.end - x);
            }
}

} // namespace

bool is_narrow(const Convolution &c) {
    return c.out_channels <= most_channels && c.stride_x == 1 && c.stride_y == 1 && c.out_width >= width &&
           c.factor == 1;
}

void convolve_narrow(const Convolution &c, Range rows) {
    const int64_t taps = c.channels * c.kernel_width * c.kernel_height;
    auto *weights = static_cast<float *>(
        thread_scratch(Scratch::narrow_weights, sizeof(float) * static_cast<size_t>(taps) * most_channels));
    for (int64_t o = 0; o < c.out_channels; o++)
        for (int64_t k = 0; k < taps; k += width) {
            float values[width];
            const char *row = c.kernels.row(o);
            store(values, c.kernels.type == type_f16 ? load_values<type_f16>(row, k, taps - k)
                                                     : load_values<type_f32>(row, k, taps - k));
            for (int i = 0; i < at_most(taps - k, width); i++) weights[(k + i) * most_channels + o] = values[i];
        }
    const auto piece = c.out_channels == 1   ? convolve_piece<1>
                       : c.out_channels == 2 ? convolve_piece<2>
                       : c.out_channels == 3 ? convolve_piece<3>
                                             : convolve_piece<4>;
    for (int64_t y = rows.begin; y < rows.end; y += piece_rows)
        for (int64_t x = 0; x < c.out_width; x += piece_pixels)
            piece(c, weights, {y, lesser(y + piece_rows, rows.end)}, {x, lesser(x + piece_pixels, c.out_width)});
}

} // namespace sdcpu::SDCPU_VARIANT
