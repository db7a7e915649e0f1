// A 3x3 convolution with 2.25 times fewer multiplications: Winograd's F(2x2, 3x3).
//
// The output is cut into tiles of 2x2 pixels. With 4x4 input pixels d and kernel g, a tile is
//   A^T [ (G g G^T) * (B^T d B) ] A       (* element by element, summed over the input channels)
//   B^T = 1  0 -1  0     G = 1    0    0       A^T = 1 1  1  0
//         0  1  1  0         1/2  1/2  1/2           0 1 -1 -1
//         0 -1  1  0         1/2 -1/2  1/2
//         0  1  0 -1         0    0    1
// so the 16 positions of the transformed tile are 16 independent products
// [tiles x input channels] x [input channels x output channels], made by the tiles of product.h.
//
// Layouts, in units unless said:
//   weights    [16][output channels][input channels]              all, shared; or of 48 output channels and one pass
//   tiles      [16][panels][channel units][panel lanes]           one block of tiles, one pass: channel_block channels
//              or all, shared: [block][pass] of these
//   products   [output channel][16][block_tiles] floats           of one block of tiles
// A vector holds `width` tiles side by side: outputs whose width is a multiple of 2 * width, and,
// with AVX-512, also outputs 16 wide, where a vector holds two rows of 8 tiles.
#include "winograd.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

constexpr int block_tiles = 64;
static_assert(block_tiles % panel_lanes == 0, "a block is whole panels");
constexpr int channel_block = 128 * per_unit;       // input channels per pass
constexpr int64_t channels_at_once = 8 * tile_rows; // output channels whose weights are kept for all blocks
constexpr size_t most_shared_bytes = 54 << 20;      // weights or tiles

int64_t tile_columns(const Convolution &c) { return c.out_width / 2; }
int64_t tile_count(const Convolution &c) { return tile_columns(c) * (c.out_height / 2); }
bool has_two_rows_per_vector(const Convolution &c) { return width == 16 && c.out_width == 16; }

// The weights of 16 positions: out[(position * rows + output channel - first) * stride + unit]
struct WeightPlace {
    Unit *out;
    int64_t first, rows;
    size_t stride;
};

SDCPU_INLINE void transform_kernel(const Vector *g, Vector *u) {
    const Vector half = fill(.5f);
    Vector r[4][3];
#pragma GCC unroll 3
    for (int x = 0; x < 3; x++) {
        const Vector outer = (g[x] + g[6 + x]) * half, middle = g[3 + x] * half;
        r[0][x] = g[x];
        r[1][x] = outer + middle;
        r[2][x] = outer - middle;
        r[3][x] = g[6 + x];
    }
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
        const Vector outer = (r[y][0] + r[y][2]) * half, middle = r[y][1] * half;
        u[4 * y] = r[y][0];
        u[4 * y + 1] = outer + middle;
        u[4 * y + 2] = outer - middle;
        u[4 * y + 3] = r[y][2];
    }
}

// Transforms the kernels of output channels `channels` and input channels `inputs`.
void transform_weights(const Convolution &c, Range channels, Range inputs, const WeightPlace &place) {
    alignas(64) float kernel[9 * width + 16]; // `width` kernels of 3x3, as they lie in the file
    for (int64_t o = channels.begin; o < channels.end; o++) {
        const char *row = c.kernels.row(o);
        for (int64_t i = inputs.begin; i < inputs.end; i += units_step) {
            Vector transformed[2][16] = {};
            for (int part = 0; part < per_unit; part++) {
                const int64_t from = (i + part * width) * 9, left = c.channels * 9 - from;
                for (int z = 0; z < 9 * width; z += width) {
                    const int64_t n = left - z;
                    Vector values = zero();
                    if (n > 0)
                        values = c.kernels.type == type_f16 ? load_values<type_f16>(row, from + z, n)
                                                            : load_values<type_f32>(row, from + z, n);
                    store(kernel + z, values);
                }
                Vector g[width < 9 ? 9 : width]; // g[z]: value z of `width` kernels
                for (int z = 0; z == 0 || z + width < 9; z += width) {
                    for (int lane = 0; lane < width; lane++) g[z + lane] = load(kernel + 9 * lane + z);
                    transpose(g + z);
                }
                if constexpr (width < 9) g[8] = every_ninth(kernel + 8);
                transform_kernel(g, transformed[part]);
            }
            const int64_t n = divide_up(inputs.end - i, per_unit);
            for (int position = 0; position < 16; position++) {
                Unit *out = place.out + static_cast<size_t>(position * place.rows + o - place.first) * place.stride +
                            (i - inputs.begin) / per_unit;
                const Vector units = round_pair(transformed[0][position], transformed[1][position]);
                store_first(reinterpret_cast<float *>(out), units, n);
            }
        }
    }
}

#if defined(__AVX512F__)
// The input columns of 16 tiles of an output 16 wide: the tile rows `tile_row` and `tile_row` + 1.
SDCPU_INLINE void load_two_tile_rows(const float *channel, const Convolution &c, int tile_row, Vector columns[4][4]) {
    // Columns -1, 0, 1 and 2 of each tile; the picture ends at both sides.
    const __m512i before = _mm512_set_epi32(29, 27, 25, 23, 21, 19, 17, 0, 13, 11, 9, 7, 5, 3, 1, 0);
    const __m512i after = _mm512_set_epi32(0, 30, 28, 26, 24, 22, 20, 18, 0, 14, 12, 10, 8, 6, 4, 2);
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
        const int64_t upper = 2 * tile_row - 1 + y, lower = upper + 2;
        const auto row = [&](int64_t i) {
            return i < 0 || i >= c.height ? zero() : load(channel + static_cast<size_t>(i) * c.row_stride);
        };
        const Vector a = row(upper), b = row(lower);
        columns[y][0] = _mm512_maskz_permutex2var_ps(0xFEFE, a, before, b);
        columns[y][1] = even_elements(a, b);
        columns[y][2] = odd_elements(a, b);
        columns[y][3] = _mm512_maskz_permutex2var_ps(0x7F7F, a, after, b);
    }
}
#endif

SDCPU_INLINE void load_tile_row(const float *channel, const Convolution &c, int tile_row, int tile_column,
                                Vector columns[4][4]) {
    const int64_t x = 2 * tile_column - 1; // of the leftmost input
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
        const int64_t input_row = 2 * tile_row - 1 + y;
        if (input_row < 0 || input_row >= c.height) {
            columns[y][0] = columns[y][1] = columns[y][2] = columns[y][3] = zero();
            continue;
        }
        const float *p = channel + input_row * static_cast<int64_t>(c.row_stride) + x;
        const Vector a = x < 0 ? load_but_first(p) : load(p), b = load_first(p + width, c.width - x - width);
        const Vector d = load(p + 2), e = load_first(p + 2 + width, c.width - x - 2 - width);
        columns[y][0] = even_elements(a, b);
        columns[y][1] = odd_elements(a, b);
        columns[y][2] = even_elements(d, e);
        columns[y][3] = odd_elements(d, e);
    }
}

// B^T d B of `width` tiles from `tile` on.
SDCPU_INLINE void transform_input(const float *channel, const Convolution &c, int64_t tile, Vector *d) {
    const int tile_row = static_cast<int>(tile / tile_columns(c)),
              tile_column = static_cast<int>(tile % tile_columns(c));
    Vector in[4][4], r[4][4];
#if defined(__AVX512F__)
    if (has_two_rows_per_vector(c)) load_two_tile_rows(channel, c, tile_row, in);
    else load_tile_row(channel, c, tile_row, tile_column, in);
#else
    load_tile_row(channel, c, tile_row, tile_column, in);
#endif
#pragma GCC unroll 4
    for (int x = 0; x < 4; x++) {
        r[0][x] = in[0][x] - in[2][x];
        r[1][x] = in[1][x] + in[2][x];
        r[2][x] = in[2][x] - in[1][x];
        r[3][x] = in[1][x] - in[3][x];
    }
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
        d[4 * y] = r[y][0] - r[y][2];
        d[4 * y + 1] = r[y][1] + r[y][2];
        d[4 * y + 2] = r[y][2] - r[y][1];
        d[4 * y + 3] = r[y][1] - r[y][3];
    }
}

// One block of tiles, and the input channels [begin, end) that are transformed and multiplied together.
struct Pass {
    int64_t block, begin, end;

    size_t units() const { return static_cast<size_t>(divide_up(end - begin, per_unit)); }
};

int64_t pass_count(const Convolution &c) { return divide_up(c.channels, channel_block); }

Pass pass_of(const Convolution &c, int64_t block, int64_t i) {
    return {block, i * channel_block, lesser((i + 1) * channel_block, c.channels)};
}

constexpr size_t pass_size = static_cast<size_t>(16) * block_tiles * (channel_block / per_unit); // units of its tiles

constexpr size_t products_size = static_cast<size_t>(16) * block_tiles; // floats of one output channel

// The vectors of tiles in a block: the last one may have fewer.
int vectors_in(const Convolution &c, int64_t block) {
    return at_most((tile_count(c) - block * block_tiles) / width, block_tiles / width);
}

// Transforms the input channels [begin, end) of a pass.
void transform_inputs(const Convolution &c, const Pass &pass, int64_t begin, int64_t end, Unit *tiles) {
    const int vectors = vectors_in(c, pass.block);
    const size_t units = pass.units();
    for (int64_t k = begin; k < end; k += per_unit)
        for (int j = 0; j < vectors; j++) {
            Vector even[16], odd[16];
            const int64_t tile = pass.block * block_tiles + j * width;
            const float *channel = c.input + static_cast<size_t>(k) * c.channel_stride;
            transform_input(channel, c, tile, even);
            if constexpr (per_unit == 2) transform_input(channel + c.channel_stride, c, tile, odd);
            const int panel = j / tile_vectors, panel_vectors = at_most(vectors - panel * tile_vectors, tile_vectors);
            Unit *out = tiles + static_cast<size_t>(panel) * units * panel_lanes +
                        static_cast<size_t>((k - pass.begin) / per_unit) * panel_vectors * width +
                        (j % tile_vectors) * width;
#pragma GCC unroll 16
            for (int position = 0; position < 16; position++)
                store_lanes(out + static_cast<size_t>(position) * units * block_tiles, even[position],
                            per_unit == 2 ? odd[position] : even[position]);
        }
}

// products += tiles x weights, at all 16 positions, for up to tile_rows output channels.
void multiply_positions(const Pass &pass, int vectors, const Unit *tiles, const Unit *weights, const WeightPlace &place,
                        int rows, float *products) {
    const size_t units = pass.units();
    for (int position = 0; position < 16; position++)
        for (int p = 0; p * tile_vectors < vectors; p++) {
            const int panel_vectors = at_most(vectors - p * tile_vectors, tile_vectors);
            multiply_tile(rows, panel_vectors, static_cast<int>(units),
                          tiles + position * units * block_tiles + static_cast<size_t>(p) * units * panel_lanes,
                          weights + static_cast<size_t>(position * place.rows) * place.stride, place.stride,
                          products + position * block_tiles + p * panel_lanes, products_size, panel_vectors * width,
                          pass.begin > 0 ? accumulate : overwrite);
        }
}

// A^T m A of one output channel, with bias and residual, to the picture.
void transform_outputs(const Convolution &c, int64_t channel, int64_t tile, int vectors, const float *products) {
    const Vector bias = fill(c.bias ? c.bias[channel] : 0.f);
    for (int j = 0; j < vectors; j++) {
        const float *m = products + j * width;
        const int64_t tile_row = (tile + j * width) / tile_columns(c),
                      tile_column = (tile + j * width) % tile_columns(c);
        Vector r[2][4];
#pragma GCC unroll 4
        for (int x = 0; x < 4; x++) {
            const Vector m0 = load(m + x * block_tiles), m1 = load(m + (4 + x) * block_tiles);
            const Vector m2 = load(m + (8 + x) * block_tiles), m3 = load(m + (12 + x) * block_tiles);
            r[0][x] = m0 + m1 + m2;
            r[1][x] = m1 - m2 - m3;
        }
#pragma GCC unroll 2
        for (int y = 0; y < 2; y++) {
            const Vector left = r[y][0] + r[y][1] + r[y][2] + bias, right = r[y][1] - r[y][2] - r[y][3] + bias;
            const size_t place =
                static_cast<size_t>(channel * c.pixels() + (2 * tile_row + y) * c.out_width + 2 * tile_column);
            const size_t second = place + (has_two_rows_per_vector(c) ? 2 * 16 : width);
            Vector low, high;
            interleave(left, right, low, high);
            if (c.residual) {
                low = low + load(c.residual + place);
                high = high + load(c.residual + second);
            }
            store(c.out + place, low);
            store(c.out + second, high);
        }
    }
}

} // namespace

Winograd winograd_way(const Convolution &c) {
    const bool is_3x3 = c.kernel_width == 3 && c.kernel_height == 3 && c.stride_x == 1 && c.stride_y == 1 &&
                        c.pad_x == 1 && c.pad_y == 1 && c.dilation_x == 1 && c.dilation_y == 1;
    const bool fits_vectors = c.out_width % (2 * width) == 0 || (has_two_rows_per_vector(c) && c.out_height % 4 == 0);
    if (!is_3x3 || !fits_vectors || c.out_height % 2 || c.out_width != c.width || c.out_height != c.height)
        return Winograd::none;
    if (c.channels < 32 || c.channels % 2 || c.out_channels < 32) return Winograd::none;
    // Whichever is smaller is transformed first and shared; the other is transformed on the way.
    const size_t weights = winograd_weights_size(c), tiles = winograd_tiles_size(c);
    if (weights > most_shared_bytes && tiles > most_shared_bytes) return Winograd::none;
    return tiles < weights ? Winograd::shared_tiles : Winograd::shared_weights;
}

size_t winograd_weights_size(const Convolution &c) {
    return sizeof(Unit) * 16 * static_cast<size_t>(divide_up(c.channels, per_unit) * c.out_channels);
}

int64_t winograd_blocks(const Convolution &c) { return divide_up(tile_count(c), block_tiles); }

void winograd_weights(const Convolution &c, Range channels, uint32_t *weights) {
    const WeightPlace place = {weights, 0, c.out_channels, static_cast<size_t>(divide_up(c.channels, per_unit))};
    transform_weights(c, channels, {0, c.channels}, place);
}

// A piece is a quarter of a pass.
constexpr int64_t piece_channels = channel_block / 4;

int64_t winograd_tile_pieces(const Convolution &c) {
    return winograd_blocks(c) * divide_up(c.channels, piece_channels);
}

size_t winograd_tiles_size(const Convolution &c) {
    return sizeof(Unit) * pass_size * static_cast<size_t>(winograd_blocks(c) * pass_count(c));
}

void winograd_tiles(const Convolution &c, Range pieces, uint32_t *tiles) {
    const int64_t pieces_per_block = divide_up(c.channels, piece_channels);
    for (int64_t i = pieces.begin; i < pieces.end; i++) {
        const int64_t block = i / pieces_per_block, channel = i % pieces_per_block * piece_channels;
        const int64_t number = channel / channel_block;
        transform_inputs(c, pass_of(c, block, number), channel, lesser(channel + piece_channels, c.channels),
                         tiles + static_cast<size_t>(block * pass_count(c) + number) * pass_size);
    }
}

// Block after block: its tiles are transformed, then multiplied with the weights of all output channels.
void winograd_with_weights(const Convolution &c, const uint32_t *shared_weights, Range blocks) {
    auto *tiles = static_cast<Unit *>(thread_scratch(Scratch::tiles, sizeof(Unit) * pass_size));
    auto *products = static_cast<float *>(
        thread_scratch(Scratch::tile_products, sizeof(float) * static_cast<size_t>(c.out_channels) * products_size));
    for (int64_t block = blocks.begin; block < blocks.end; block++) {
        for (int64_t number = 0; number < pass_count(c); number++) {
            const Pass pass = pass_of(c, block, number);
            transform_inputs(c, pass, pass.begin, pass.end, tiles);
            for (int64_t o = 0; o < c.out_channels; o += tile_rows) {
                const WeightPlace place = {nullptr, o, c.out_channels,
                                           static_cast<size_t>(divide_up(c.channels, per_unit))};
                multiply_positions(pass, vectors_in(c, block), tiles,
                                   shared_weights + static_cast<size_t>(o) * place.stride + pass.begin / per_unit,
                                   place, at_most(c.out_channels - o, tile_rows),
                                   products + static_cast<size_t>(o) * products_size);
            }
        }
        for (int64_t o = 0; o < c.out_channels; o++)
            transform_outputs(c, o, block * block_tiles, vectors_in(c, block),
                              products + static_cast<size_t>(o) * products_size);
    }
}

// A few output channels after the others: their weights are transformed, then multiplied with all tiles.
void winograd_with_tiles(const Convolution &c, const uint32_t *shared_tiles, Range channels) {
    const int64_t blocks = winograd_blocks(c);
    const WeightPlace all = {
        static_cast<Unit *>(
            thread_scratch(Scratch::tile_weights, sizeof(Unit) * 16 * channels_at_once * (channel_block / per_unit))),
        0, channels_at_once, channel_block / per_unit};
    auto *products = static_cast<float *>(thread_scratch(
        Scratch::tile_products, sizeof(float) * static_cast<size_t>(blocks * channels_at_once) * products_size));
    for (int64_t first = channels.begin; first < channels.end; first += channels_at_once) {
        const int64_t last = lesser(first + channels_at_once, channels.end);
        const auto products_of = [&](int64_t block, int64_t o) {
            return products + static_cast<size_t>(block * channels_at_once + o - first) * products_size;
        };
        for (int64_t number = 0; number < pass_count(c); number++) {
            const Pass some = pass_of(c, 0, number);
            transform_weights(c, {first, last}, {some.begin, some.end}, {all.out, first, all.rows, all.stride});
            for (int64_t block = 0; block < blocks; block++)
                for (int64_t o = first; o < last; o += tile_rows)
                    multiply_positions(pass_of(c, block, number), vectors_in(c, block),
                                       shared_tiles + static_cast<size_t>(block * pass_count(c) + number) * pass_size,
                                       all.out + static_cast<size_t>(o - first) * all.stride, all,
                                       at_most(last - o, tile_rows), products_of(block, o));
        }
        for (int64_t block = 0; block < blocks; block++)
            for (int64_t o = first; o < last; o++)
                transform_outputs(c, o, block * block_tiles, vectors_in(c, block), products_of(block, o));
    }
}

} // namespace sdcpu::SDCPU_VARIANT
