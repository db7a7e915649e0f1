// Attention whose scores are products of bytes: as exact as the error that operations/attention.cpp estimates.
//
// Softmax does not change when all scores of a query do by the same number: so what the keys of a head have in common
// is left out first. Of each channel, the middle of its values is subtracted, and the rest is quantised to -127 … 127
// in steps of the channel's own, with which the queries are multiplied in turn. A channel that is larger than the
// others takes nothing from them in the keys; each query is quantised in steps of its own.
//
// The instruction multiplies unsigned by signed bytes: keys are stored as k + 128, and what the 128 add to all scores
// of a query is taken off them.
//
//   keys      [keys / panel_lanes][pieces][panel_lanes][4] bytes, a piece is 4 channels
//   queries   [6][channels, rounded up] int8
#include "attention.h"
#include "integer_tile.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

constexpr int square_channels = width * piece_bytes; // as many pieces as a vector has lanes

// A query is its quants times its step; the score of a key is the sum of products times the step, plus the offset.
struct QueryScale {
    float step, offset;
};

// As Integers; but those may alias anything, and GCC would keep them in memory.
typedef int32_t Sum __attribute__((vector_size(sizeof(Integers))));

// The scores of panel_lanes keys and tile_rows queries, whatever the last of these are where there are fewer.
__attribute__((noinline)) void score_tile(int piece_count, const uint8_t *panel, const int8_t *queries,
                                          size_t query_stride, const QueryScale *scales, float *scores, size_t stride) {
    Sum sums[tile_rows][tile_vectors];
#pragma GCC unroll 8
    for (int r = 0; r < tile_rows; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < tile_vectors; j++) sums[r][j] = Sum{};
    }
    const int8_t *queries_from_3 = queries + 3 * query_stride;
    for (int piece = 0; piece < piece_count; piece++) {
        Integers key_bytes[tile_vectors];
#pragma GCC unroll 4
        for (int j = 0; j < tile_vectors; j++) key_bytes[j] = load_integers(panel + j * width * piece_bytes);
        panel += panel_lanes * piece_bytes;
#pragma GCC unroll 8
        for (int r = 0; r < tile_rows; r++) {
            int four;
            std::memcpy(&four, row_of(queries, queries_from_3, query_stride, r) + piece * piece_bytes, piece_bytes);
            const Integers query_bytes = fill_integers(four);
#pragma GCC unroll 4
            for (int j = 0; j < tile_vectors; j++)
                sums[r][j] = reinterpret_cast<Sum>(
                    add_products(reinterpret_cast<Integers>(sums[r][j]), key_bytes[j], query_bytes));
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < tile_rows; r++) {
        const Vector step = fill(scales[r].step), offset = fill(scales[r].offset);
#pragma GCC unroll 4
        for (int j = 0; j < tile_vectors; j++)
            store(scores + r * stride + j * width,
                  multiply_add(to_floats(reinterpret_cast<Integers>(sums[r][j])), step, offset));
    }
}

class IntegerScores {
  public:
    IntegerScores(const Attention &a, int64_t keys)
        : a(a), keys(keys), head_pieces(static_cast<int>(divide_up(a.head_size, piece_bytes))),
          query_stride(static_cast<size_t>(round_up(a.head_size, square_channels))),
          panel_size(static_cast<size_t>(head_pieces) * panel_lanes * piece_bytes) {
        packed_keys =
            static_cast<uint8_t *>(thread_scratch(Scratch::keys, static_cast<size_t>(keys / panel_lanes) * panel_size));
        factors = static_cast<float *>(thread_scratch(Scratch::queries, query_stride * (sizeof(float) + tile_rows)));
        queries = reinterpret_cast<int8_t *>(factors + query_stride);
    }

    void pack(int64_t head) {
        const Rows rows = keys_of(a, head);
        middles = a.key_middles + head * a.head_size;
        steps = a.key_steps + head * a.head_size;
        for (int64_t i = 0; i < a.head_size; i++) factors[i] = steps[i] > 0 ? 1 / steps[i] : 0;
        for (int64_t key = 0; key < keys; key += width)
            for (int64_t channel = 0; channel < a.head_size; channel += square_channels) {
                Vector square[width];
                for (int i = 0; i < width; i++) square[i] = quantise_key(rows, key + i, channel);
                transpose(square);
                uint8_t *place = packed_keys + static_cast<size_t>(key / panel_lanes) * panel_size +
                                 static_cast<size_t>(channel) * panel_lanes + key % panel_lanes * piece_bytes;
                for (int i = 0; i < at_most(head_pieces - channel / piece_bytes, width); i++)
                    store(place + i * panel_lanes * piece_bytes, square[i]);
            }
    }

    void take(int r, const float *query) {
        const auto scaled = [&](int64_t i) {
            return load_first(query + i, a.head_size - i) * load_first(steps + i, a.head_size - i);
        };
        Vector most = zero();
        for (int64_t i = 0; i < a.head_size; i += width) most = largest(absolute(scaled(i)), most);
        const float largest_here = maximum(most);
        const Vector factor = fill(largest_here > 1e-30f ? 127.f / largest_here : 0.f);
        int8_t *quants = queries + static_cast<size_t>(r) * query_stride;
        Vector total = zero();
        for (int64_t i = 0; i < a.head_size; i += width) {
            store_quants(reinterpret_cast<uint8_t *>(quants) + i, scaled(i) * factor);
            total = total + round_even(scaled(i) * factor);
        }
        for (size_t i = 0; i < query_stride; i++) quants[i] ^= -128; // stored as q + 128
        const float step = largest_here / 127.f * a.scale * log2_e;
        scales[r] = {step, -128 * step * sum(total)};
    }

    // Of `count` queries, the others are of no meaning.
    void compute(int, int64_t key, float *scores, size_t stride) const {
        score_tile(head_pieces, packed_keys + static_cast<size_t>(key / panel_lanes) * panel_size, queries,
                   query_stride, scales, scores, stride);
    }

  private:
    // Channels [channel, channel + square_channels) of a key, quantised, as k + 128.
    Vector quantise_key(const Rows &rows, int64_t key, int64_t channel) const {
        uint8_t quants[square_channels];
        std::memset(quants, 128, sizeof quants);
        for (int64_t i = channel; i < lesser(channel + square_channels, a.head_size) && key < a.key_count; i += width) {
            const int64_t n = a.head_size - i;
            store_quants(quants + (i - channel),
                         (load_element(rows.type, rows.row(key), i, n) - load_first(middles + i, n)) *
                             load_first(factors + i, n));
        }
        return load(quants);
    }

    const Attention &a;
    int64_t keys;
    int head_pieces;
    size_t query_stride, panel_size;
    const float *middles = nullptr, *steps = nullptr;
    uint8_t *packed_keys;
    float *factors; // 1 / step of each channel
    int8_t *queries;
    QueryScale scales[tile_rows] = {};
};

} // namespace

void attend_integers(const Attention &a, Range query_groups) { attend_with<IntegerScores>(a, query_groups); }

// What it returns is not a number where a key or a query has a value that is not finite.
float measure_head(const Attention &a, int64_t head, float *middles, float *steps) {
    const Rows keys = keys_of(a, head), queries = queries_of(a, head);
    Vector most_steps = zero(), poison = zero();
    for (int64_t i = 0; i < a.head_size; i += width) {
        const int64_t n = a.head_size - i;
        Vector least = load_element(keys.type, keys.row(0), i, n), most = least, length = zero();
        for (int64_t key = 0; key < a.key_count; key++) {
            const Vector values = load_element(keys.type, keys.row(key), i, n);
            least = smallest(least, values);
            most = largest(most, values);
            poison = multiply_add(values, zero(), poison);
        }
        const Vector step = (most - least) * fill(.5f / 127);
        store_first(middles + i, (least + most) * fill(.5f), n);
        store_first(steps + i, step, n);
        for (int64_t query = 0; query < a.query_count; query++) {
            const Vector values = load_values<type_f32>(queries.row(query), i, n);
            length = largest(absolute(values), length);
            poison = multiply_add(values, zero(), poison);
        }
        most_steps = largest(length * step, most_steps);
    }
    return maximum(most_steps) + sum(poison);
}

} // namespace sdcpu::SDCPU_VARIANT
