// A 3x3 convolution with fewer multiplications: Winograd's F(m x m, 3 x 3); 2.25 times fewer with m = 2, 4 times with
// m = 4.
//
// The output is cut into tiles of m x m pixels, each of which needs n x n inputs, n = m + 2. With the transforms of
// winograd_transforms.h the n * n positions of the transformed tiles are as many independent products
// [tiles x input channels] x [input channels x output channels], made by the tiles of product.h.
//
// Layouts, in units unless said:
//   weights    [n * n][output channels][input channels]           all, shared; or of 48 output channels and one pass
//   tiles      [n * n][panels][channel units][panel lanes]        one block of tiles, one pass: channel_block channels
//              or all, shared: [block][pass] of these
//   products   [output channel][n * n][block_tiles] floats        of one block of tiles
#include "winograd.h"

#include "winograd_tiles.h"
#include "winograd_transforms.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

constexpr int block_tiles = 64;
static_assert(block_tiles % panel_lanes == 0, "a block is whole panels");
constexpr int block_vectors = block_tiles / width;
constexpr size_t gap = 16; // units between the positions of a block of tiles
constexpr int64_t channels_at_once = 8 * tile_rows; // output channels whose weights are kept for all blocks
constexpr size_t most_shared_bytes = 54 << 20;      // weights or tiles

// The weights of all positions: out[(position * rows + output channel - first) * stride + unit]
struct WeightPlace {
    Unit *out;
    int64_t first, rows;
    size_t stride;
};

// One block of tiles, and the input channels [begin, end) that are transformed and multiplied together.
struct Pass {
    int64_t block, begin, end;

    size_t units() const { return static_cast<size_t>(divide_up(end - begin, per_unit)); }
    // Units from one position to the next: not a power of 2, so that they do not share cache sets.
    size_t position_stride() const { return units() * block_tiles + gap; }
};

// B^T d B of `width` tiles
template <int m> SDCPU_INLINE void transform_input(const float *channel, const InputPlaces<m> &places, Vector *d) {
    constexpr int n = m + 2;
    Vector lines[n * n];
#pragma GCC unroll 6
    for (int y = 0; y < n; y++) {
        Vector columns[n];
        load_row<m>(channel, places, y, columns);
        transform_pixels<m, 1, 1>(columns, lines + n * y);
    }
#pragma GCC unroll 6
    for (int x = 0; x < n; x++) transform_pixels<m, n, n>(lines + x, d + x);
}

template <int m> class Tiled {
  public:
    explicit Tiled(const Convolution &c) : c(c), grid(c) {}

    int64_t blocks() const { return divide_up(grid.count, block_tiles); }
    int64_t tiles() const { return grid.count; }
    size_t weights_size() const {
        return sizeof(Unit) * positions * static_cast<size_t>(divide_up(c.channels, per_unit) * c.out_channels);
    }
    size_t tiles_size() const { return sizeof(Unit) * pass_size * static_cast<size_t>(blocks() * pass_count()); }
    int64_t pieces_per_block() const { return divide_up(c.channels, piece_channels); }

    void transform_all_weights(Range channels, Unit *weights) const {
        transform_weights(channels, {0, c.channels}, {weights, 0, c.out_channels, channel_units()});
    }

    void transform_pieces(Range pieces, Unit *tiles) const {
        for (int64_t i = pieces.begin; i < pieces.end; i++) {
            const int64_t block = i / pieces_per_block(), channel = i % pieces_per_block() * piece_channels;
            const int64_t number = channel / channel_block;
            transform_inputs(pass_of(block, number), {channel, lesser(channel + piece_channels, c.channels)},
                             tiles + static_cast<size_t>(block * pass_count() + number) * pass_size);
        }
    }

    // Block after block: its tiles are transformed, then multiplied with the weights of all output channels.
    void multiply_weights(const Unit *weights, Range blocks_here) const {
        auto *tiles = static_cast<Unit *>(thread_scratch(Scratch::tiles, sizeof(Unit) * pass_size));
        float *products = products_for(c.out_channels);
        for (int64_t block = blocks_here.begin; block < blocks_here.end; block++) {
            for (int64_t number = 0; number < pass_count(); number++) {
                const Pass pass = pass_of(block, number);
                transform_inputs(pass, {pass.begin, pass.end}, tiles);
                for (int64_t o = 0; o < c.out_channels; o += tile_rows)
                    multiply_positions(pass, tiles,
                                       weights + static_cast<size_t>(o) * channel_units() + pass.begin / per_unit,
                                       {nullptr, o, c.out_channels, channel_units()},
                                       at_most(c.out_channels - o, tile_rows),
                                       products + static_cast<size_t>(o) * products_size);
            }
            transform_outputs({0, c.out_channels}, block, products);
        }
    }

    // A few output channels after the others: their weights are transformed, then multiplied with all tiles.
    void multiply_tiles(const Unit *tiles, Range channels) const {
        const size_t weights_size =
            sizeof(Unit) * positions * channels_at_once * static_cast<size_t>(channel_block / per_unit);
        const WeightPlace all = {static_cast<Unit *>(thread_scratch(Scratch::tile_weights, weights_size)), 0,
                                 channels_at_once, channel_block / per_unit};
        float *products = products_for(blocks() * channels_at_once);
        for (int64_t first = channels.begin; first < channels.end; first += channels_at_once) {
            const int64_t last = lesser(first + channels_at_once, channels.end);
            const auto products_of = [&](int64_t block, int64_t o) {
                return products + static_cast<size_t>(block * channels_at_once + o - first) * products_size;
            };
            for (int64_t number = 0; number < pass_count(); number++) {
                const Pass some = pass_of(0, number);
                transform_weights({first, last}, {some.begin, some.end}, {all.out, first, all.rows, all.stride});
                for (int64_t block = 0; block < blocks(); block++)
                    for (int64_t o = first; o < last; o += tile_rows)
                        multiply_positions(pass_of(block, number),
                                           tiles + static_cast<size_t>(block * pass_count() + number) * pass_size,
                                           all.out + static_cast<size_t>(o - first) * all.stride, all,
                                           at_most(last - o, tile_rows), products_of(block, o));
            }
            for (int64_t block = 0; block < blocks(); block++)
                transform_outputs({first, last}, block, products_of(block, first));
        }
    }

  private:
    static constexpr int n = m + 2, positions = n * n;
    static constexpr int channel_block = (m == 2 ? 128 : 64) * per_unit; // input channels of a pass
    static constexpr int64_t piece_channels = channel_block / 4;         // and of an item of work
    static constexpr size_t pass_size =
        positions * (static_cast<size_t>(block_tiles) * (channel_block / per_unit) + gap);
    static constexpr size_t products_size = static_cast<size_t>(positions) * block_tiles;

    int64_t pass_count() const { return divide_up(c.channels, channel_block); }
    size_t channel_units() const { return static_cast<size_t>(divide_up(c.channels, per_unit)); }
    Pass pass_of(int64_t block, int64_t i) const {
        return {block, i * channel_block, lesser((i + 1) * channel_block, c.channels)};
    }
    // The vectors of tiles in a block: the last one may have fewer.
    int vectors_in(int64_t block) const {
        return at_most(divide_up(grid.count - block * block_tiles, width), block_vectors);
    }
    static float *products_for(int64_t channels) {
        return static_cast<float *>(
            thread_scratch(Scratch::tile_products, sizeof(float) * static_cast<size_t>(channels) * products_size));
    }

    // Transforms the kernels of output channels `channels` and input channels `inputs`.
    void transform_weights(Range channels, Range inputs, const WeightPlace &place) const {
        alignas(64) float kernel[9 * width + 16]; // `width` kernels of 3x3, as they lie in the file
        for (int64_t o = channels.begin; o < channels.end; o++) {
            const char *row = c.kernels.row(o);
            for (int64_t i = inputs.begin; i < inputs.end; i += units_step) {
                Vector transformed[2][positions] = {};
                for (int part = 0; part < per_unit; part++) {
                    const int64_t from = (i + part * width) * 9, left = c.channels * 9 - from;
                    for (int z = 0; z < 9 * width; z += width) {
                        const int64_t values = left - z;
                        if (values <= 0) store(kernel + z, zero());
                        else
                            store(kernel + z, c.kernels.type == type_f16
                                                  ? load_values<type_f16>(row, from + z, values)
                                                  : load_values<type_f32>(row, from + z, values));
                    }
                    Vector g[width < 9 ? 9 : width]; // g[z]: value z of `width` kernels
                    for (int z = 0; z == 0 || z + width < 9; z += width) {
                        for (int lane = 0; lane < width; lane++) g[z + lane] = load(kernel + 9 * lane + z);
                        transpose(g + z);
                    }
                    if constexpr (width < 9) g[8] = every_ninth(kernel + 8);
                    transform_kernel<m>(g, transformed[part]);
                }
                const int64_t units = divide_up(inputs.end - i, per_unit);
                for (int position = 0; position < positions; position++) {
                    Unit *out = place.out +
                                static_cast<size_t>(position * place.rows + o - place.first) * place.stride +
                                (i - inputs.begin) / per_unit;
                    store_first(reinterpret_cast<float *>(out),
                                round_pair(transformed[0][position], transformed[1][position]), units);
                }
            }
        }
    }

    // Transforms some input channels of a pass.
    void transform_inputs(const Pass &pass, Range channels, Unit *tiles) const {
        const int vectors = vectors_in(pass.block);
        const size_t units = pass.units();
        InputPlaces<m> places[block_vectors];
        for (int j = 0; j < vectors; j++) places[j].find(c, pass.block * block_tiles + j * width);
        for (int64_t k = channels.begin; k < channels.end; k += per_unit) {
            const float *channel = channel_of(c, k), *next_channel = channel_of(c, k + 1);
            for (int j = 0; j < vectors; j++) {
                const int panel = j / tile_vectors;
                const int panel_vectors = at_most(vectors - panel * tile_vectors, tile_vectors);
                Vector even[positions], odd[positions];
                transform_input<m>(channel, places[j], even);
                if constexpr (per_unit == 2) transform_input<m>(next_channel, places[j], odd);
                Unit *out = tiles + static_cast<size_t>(panel) * units * panel_lanes +
                            static_cast<size_t>((k - pass.begin) / per_unit) * panel_vectors * width +
                            (j % tile_vectors) * width;
                for (int position = 0; position < positions; position++)
                    store_lanes(out + static_cast<size_t>(position) * pass.position_stride(), even[position],
                                per_unit == 2 ? odd[position] : even[position]);
            }
        }
    }

    // products += tiles x weights, at all positions, for up to tile_rows output channels.
    void multiply_positions(const Pass &pass, const Unit *tiles, const Unit *weights, const WeightPlace &place,
                            int rows, float *products) const {
        const int vectors = vectors_in(pass.block);
        const size_t units = pass.units();
        for (int position = 0; position < positions; position++)
            for (int p = 0; p * tile_vectors < vectors; p++) {
                const int panel_vectors = at_most(vectors - p * tile_vectors, tile_vectors);
                multiply_tile(rows, panel_vectors, static_cast<int>(units),
                              tiles + static_cast<size_t>(position) * pass.position_stride() +
                                  static_cast<size_t>(p) * units * panel_lanes,
                              weights + static_cast<size_t>(position * place.rows) * place.stride, place.stride,
                              products + position * block_tiles + p * panel_lanes, products_size,
                              panel_vectors * width, pass.begin > 0 ? accumulate : overwrite);
            }
    }

    // A^T p A of some output channels, with bias, residual and relu, to the picture.
    void transform_outputs(Range channels, int64_t block, const float *products) const {
        for (int j = 0; j < vectors_in(block); j++) {
            const OutputPlaces<m> places(c, block * block_tiles + j * width);
            for (int64_t o = channels.begin; o < channels.end; o++)
                transform_output(o, places,
                                 products + static_cast<size_t>(o - channels.begin) * products_size + j * width);
        }
    }

    void transform_output(int64_t channel, const OutputPlaces<m> &places, const float *products) const {
        const Vector bias = fill(c.bias ? c.bias[channel] : 0.f);
        float *out = c.out + static_cast<size_t>(channel) * c.out_channel_stride;
        const float *residual = c.residual ? c.residual + static_cast<size_t>(channel) * c.out_channel_stride : nullptr;
        Vector lines[m * n];
#pragma GCC unroll 6
        for (int x = 0; x < n; x++) {
            Vector column[n];
#pragma GCC unroll 6
            for (int y = 0; y < n; y++) column[y] = load(products + (y * n + x) * block_tiles);
            transform_products<m, 1, n>(column, lines + x);
        }
#pragma GCC unroll 4
        for (int y = 0; y < m; y++) {
            Vector columns[m], pixels[m];
            transform_products<m, 1, 1>(lines + n * y, columns);
#pragma GCC unroll 4
            for (int x = 0; x < m; x++) columns[x] = columns[x] + bias;
            join_columns<m>(columns, pixels);
#pragma GCC unroll 4
            for (int i = 0; i < m; i++) {
                const Place &place = places.places[y][i];
                if (residual) pixels[i] = pixels[i] + load_place(residual, place);
                if (c.negative_slope != 1) pixels[i] = leaky_relu(pixels[i], c.negative_slope);
                store_place(out, place, pixels[i]);
            }
        }
    }

    const Convolution &c;
    const TileGrid<m> grid;
};

// Larger tiles cost less; they need pictures of some size, and with operands in bf16 their error is three times as
// large. There only decoders use them, at the size where most of their time goes: no diffusion model has a latent
// picture like this, and what a decoder makes of an error is seen once, not fed into the next step.
bool has_large_tiles(const Convolution &c) {
    constexpr int64_t least_pixels = per_unit == 2 ? 192 * 192 : 32 * 32;
    const Tiled<4> large(c);
    return !c.small_tiles && c.pixels() >= least_pixels &&
           (large.weights_size() <= most_shared_bytes || large.tiles_size() <= most_shared_bytes);
}

// Calls visit with the tiles that suit the convolution.
template <class Visit> SDCPU_INLINE auto visit_tiles(const Convolution &c, const Visit &visit) {
    return has_large_tiles(c) ? visit(Tiled<4>(c)) : visit(Tiled<2>(c));
}

} // namespace

Winograd winograd_way(const Convolution &c) {
    constexpr int64_t least_tiles = 32;
    const bool is_3x3 = c.kernel_width == 3 && c.kernel_height == 3 && c.stride_x == 1 && c.stride_y == 1 &&
                        c.pad_x == 1 && c.pad_y == 1 && c.dilation_x == 1 && c.dilation_y == 1;
    if (!is_3x3 || c.out_width < least_winograd_width) return Winograd::none;
    if (c.channels < 32 || c.channels % 2 || c.out_channels < 32) return Winograd::none;
    return visit_tiles(c, [](const auto &tiled) {
        // Whichever is smaller is transformed first and shared; the other is transformed on the way.
        const size_t weights = tiled.weights_size(), tiles = tiled.tiles_size();
        if (tiled.tiles() < least_tiles || (weights > most_shared_bytes && tiles > most_shared_bytes))
            return Winograd::none;
        return tiles < weights ? Winograd::shared_tiles : Winograd::shared_weights;
    });
}

bool winograd_has_large_tiles(const Convolution &c) {
    return winograd_way(c) != Winograd::none && has_large_tiles(c);
}

void pixel_energies(const Convolution &c, Range rows, float *most, float *total) {
    const auto columns = static_cast<size_t>(round_up(c.width, width));
    const auto rows_here = static_cast<size_t>(rows.end - rows.begin);
    auto *energies = static_cast<float *>(thread_scratch(Scratch::energies, rows_here * columns * sizeof(float)));
    std::memset(energies, 0, rows_here * columns * sizeof(float));
    for (int64_t channel = 0; channel < c.channels; channel++)
        for (int64_t y = rows.begin; y < rows.end; y++) {
            const float *in = channel_of(c, channel) + static_cast<size_t>(y) * c.row_stride;
            float *row = energies + static_cast<size_t>(y - rows.begin) * columns;
            for (int64_t x = 0; x < c.width; x += width) {
                const Vector value = load_first(in + x, c.width - x);
                store(row + x, multiply_add(value, value, load(row + x)));
            }
        }
    Vector largest_energy = zero(), sums = zero();
    for (size_t i = 0; i < rows_here * columns; i += width) {
        largest_energy = largest(largest_energy, load(energies + i));
        sums = sums + load(energies + i);
    }
    *most = maximum(largest_energy);
    *total = sum(sums);
}

int64_t winograd_blocks(const Convolution &c) {
    return visit_tiles(c, [](const auto &tiled) { return tiled.blocks(); });
}

size_t winograd_weights_size(const Convolution &c) {
    return visit_tiles(c, [](const auto &tiled) { return tiled.weights_size(); });
}

void winograd_weights(const Convolution &c, Range channels, uint32_t *weights) {
    visit_tiles(c, [=](const auto &tiled) { tiled.transform_all_weights(channels, weights); });
}

int64_t winograd_tile_pieces(const Convolution &c) {
    return visit_tiles(c, [](const auto &tiled) { return tiled.blocks() * tiled.pieces_per_block(); });
}

size_t winograd_tiles_size(const Convolution &c) {
    return visit_tiles(c, [](const auto &tiled) { return tiled.tiles_size(); });
}

void winograd_tiles(const Convolution &c, Range pieces, uint32_t *tiles) {
    visit_tiles(c, [=](const auto &tiled) { tiled.transform_pieces(pieces, tiles); });
}

void winograd_with_weights(const Convolution &c, const uint32_t *weights, Range blocks) {
    visit_tiles(c, [=](const auto &tiled) { tiled.multiply_weights(weights, blocks); });
}

void winograd_with_tiles(const Convolution &c, const uint32_t *tiles, Range channels) {
    visit_tiles(c, [=](const auto &tiled) { tiled.multiply_tiles(tiles, channels); });
}

} // namespace sdcpu::SDCPU_VARIANT
