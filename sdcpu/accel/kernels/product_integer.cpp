// Products of quantised weights with 8-bit inputs, four or eight multiplications per lane and instruction.
//
// Weights keep their quants: packing only sorts them. The inputs are quantised in blocks of 32, once for all threads, and
// stored in the order in which tiles read them:
//
//   quantised   [group of 6 rows][depth / 32] RowBlock
//   panel       integer_panel_lanes lanes of weights x a pass of up to 40 blocks: [block] LaneBlock
//
// The least values of some types of weights become products with the sums of the inputs in a block.
#include "integer_tile.h"
#include "integer_weights.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

constexpr int most_pass_blocks = 40; // 1280 elements

// Blocks of one pass: passes are of about equal depth, and do not cut blocks of 256.
int64_t pass_blocks(int64_t depth) {
    const int64_t blocks = depth / quant_block;
    return round_up(divide_up(blocks, divide_up(blocks, most_pass_blocks)), 8);
}

int block_panels_for(int64_t depth) {
    const size_t panel_bytes = static_cast<size_t>(pass_blocks(depth)) * sizeof(LaneBlock<Scaling::plain>);
    const auto panels = static_cast<int>(block_bytes_in_cache / panel_bytes);
    return panels < 1 ? 1 : panels;
}

size_t quantised_size(int64_t rows, int64_t depth) {
    return static_cast<size_t>(divide_up(rows, tile_rows) * (depth / quant_block)) * sizeof(RowBlock);
}

// Sums the elements of each of `width` vectors, or finds the largest: in the columns of a transposed square.
template <class Combine> SDCPU_INLINE Vector combine_elements(Vector *square, const Combine &combine) {
    transpose(square);
#pragma GCC unroll 16
    for (int half = width / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) square[i] = combine(square[i], square[i + half]);
    return square[0];
}

// The largest element of each of up to `width` blocks.
SDCPU_INLINE Vector largest_of_blocks(const float *in, int count) {
    Vector square[width];
#pragma GCC unroll 16
    for (int i = 0; i < width; i++) {
        square[i] = zero();
        if (i < count)
            for (int part = 0; part < quant_block; part += width)
                square[i] = largest(absolute(load(in + i * quant_block + part)), square[i]);
    }
    return combine_elements(square, [](Vector a, Vector b) { return largest(a, b); });
}

// Quantises up to `width` blocks of row r of a group. The processor does not see what is written next: one row after the
// other asks for a part of the next group.
template <Scaling scaling> void quantise_blocks(const float *in, int count, int r, RowBlock *out, RowBlock *next) {
    const Vector largest_values = largest_of_blocks(in, count), scale = largest_values * fill(1.f / 127.f);
    float most[width], scales[width];
    store(most, largest_values);
    store(scales, scale);
    Vector sums[width];
    for (int i = 0; i < count; i++, in += quant_block) {
        __builtin_prefetch(reinterpret_cast<char *>(next + i) + static_cast<size_t>(r) * sizeof *next / tile_rows, 1);
        const Vector factor = fill(most[i] > 1e-30f ? 127.f / most[i] : 0.f);
        sums[i] = zero();
        for (int part = 0; part < quant_block; part += width) {
            const Vector values = load(in + part) * factor;
            store_quants(out[i].quants + place_of(r, part), values);
            if constexpr (scaling == Scaling::least) sums[i] = sums[i] + round_even(values);
        }
        out[i].scales[r] = scales[i];
    }
    if constexpr (scaling == Scaling::least) {
        store(scales, combine_elements(sums, [](Vector a, Vector b) { return a + b; }) * scale);
        for (int i = 0; i < count; i++) out[i].sums[r] = scales[i];
    }
}

// `width` lanes of a pass, unpacked lane after lane; not a power of 2 apart, so that they do not share cache sets.
struct UnpackedLanes {
    alignas(64) int8_t quants[width][most_pass_blocks * quant_block + 64];
    alignas(64) float scales[width][most_pass_blocks + 16], more[width][most_pass_blocks + 16];
};

template <int type> void unpack_lane(const uint8_t *block, size_t stride, int count, int lane, UnpackedLanes &out) {
    using Type = Weights<type>;
    for (int b = 0; b < count; b += Type::blocks, block += Type::bytes) {
        for (int line = 0; line < Type::bytes; line += 64) __builtin_prefetch(block + stride + line); // the next lane
        Type::unpack(block, {out.quants[lane] + b * quant_block, out.scales[lane] + b, out.more[lane] + b});
    }
}

// Calls store(b, vector) with the numbers of all lanes for each of `count` blocks.
template <class Store>
SDCPU_INLINE void sort_numbers(const float (&numbers)[width][most_pass_blocks + 16], int count, const Store &store) {
    for (int b = 0; b < count; b += width) {
        Vector square[width];
#pragma GCC unroll 16
        for (int i = 0; i < width; i++) square[i] = load(numbers[i] + b);
        transpose(square);
        for (int i = 0; i < at_most(count - b, width); i++) store(b + i, square[i]);
    }
}

// Packs the blocks [begin, begin + count) of a panel; lanes that have no row of weights are 0.
template <int type>
void pack_panel(const Rows &weights, Range rows, int64_t begin, int count, LaneBlock<Weights<type>::scaling> *out) {
    using Type = Weights<type>;
    UnpackedLanes lanes;
    for (int first = 0; first < integer_panel_lanes; first += width) {
        const int row_count = at_most(rows.end - rows.begin - first, width);
        if (row_count < width) std::memset(&lanes, 0, sizeof lanes);
        for (int i = 0; i < row_count; i++)
            unpack_lane<type>(reinterpret_cast<const uint8_t *>(weights.row(rows.begin + first + i)) +
                                  begin / Type::blocks * Type::bytes,
                              weights.stride, count, i, lanes);
        for (int b = 0; b < count; b += blocks_together)
            sort_lanes(lanes.quants[0] + b * quant_block, sizeof lanes.quants[0], first,
                       at_most(count - b, blocks_together), out + b);
        sort_numbers(lanes.scales, count, [&](int b, Vector scales) { store(out[b].scales[0] + first, scales); });
        if constexpr (Type::scaling != Scaling::plain)
            sort_numbers(lanes.more, count, [&](int b, Vector more) { store(out[b].scales[1] + first, more); });
    }
}

// The weights that are packed next: the tiles ask for them, so that they are there by then.
template <int type> class NextPanels {
  public:
    NextPanels(const Rows &weights, Range rows, int64_t block, int64_t tiles)
        : weights(weights), end(rows.end), first_byte(block / Weights<type>::blocks * Weights<type>::bytes),
          rows_per_tile(static_cast<int>(divide_up(rows.end - rows.begin, tiles))), row(rows.begin) {}

    // What the next of the tiles asks for.
    Ahead take() {
        const Ahead ahead = {weights.row(row) + first_byte, weights.stride, at_most(end - row, rows_per_tile),
                             static_cast<int>(divide_up(Weights<type>::bytes, Weights<type>::blocks))};
        row += ahead.rows;
        return ahead;
    }

  private:
    const Rows &weights;
    int64_t end, first_byte;
    int rows_per_tile;
    int64_t row;
};

// The loops are those of product.cpp: blocks of lanes, passes over the depth, groups of rows, panels.
template <int type> void multiply_type(const Product &product, const RowBlock *quantised, Range lanes, Range rows) {
    constexpr Scaling scaling = Weights<type>::scaling;
    const int64_t blocks = product.depth / quant_block, step = pass_blocks(product.depth);
    const int64_t block_lanes = static_cast<int64_t>(block_panels_for(product.depth)) * integer_panel_lanes;
    auto *packed = static_cast<LaneBlock<scaling> *>(
        thread_scratch(Scratch::integer_panels, static_cast<size_t>(block_lanes / integer_panel_lanes * step) *
                                                    sizeof(LaneBlock<scaling>)));
    for (int64_t block = lanes.begin; block < lanes.end; block += block_lanes) {
        const int64_t block_end = lesser(block + block_lanes, lanes.end);
        const int panels = static_cast<int>(divide_up(block_end - block, integer_panel_lanes));
        for (int64_t b = 0; b < blocks; b += step) {
            const int count = at_most(blocks - b, static_cast<int>(step));
            for (int p = 0; p < panels; p++) {
                const int64_t lane = block + p * integer_panel_lanes;
                pack_panel<type>(product.lanes, {lane, block_end}, b, count, packed + p * step);
            }
            const bool is_last = b + step >= blocks;
            const Range next_lanes = is_last ? Range{block_end, lesser(block_end + block_lanes, product.lane_count)}
                                             : Range{block, block_end};
            NextPanels<type> next(product.lanes, next_lanes, is_last ? 0 : b + step,
                                  panels * divide_up(rows.end - rows.begin, tile_rows));
            for (int64_t row = rows.begin; row < rows.end; row += tile_rows) {
                const RowBlock *row_blocks = quantised + (row / tile_rows * blocks + b);
                const bool few = rows.end - row <= tile_rows / 2;
                for (int p = 0; p < panels; p++) {
                    const int64_t lane = block + p * integer_panel_lanes;
                    Finish finish = {b > 0, nullptr, nullptr, nullptr, product.residual_stride};
                    if (is_last) {
                        if (product.lane_bias) finish.lane_bias = product.lane_bias + lane;
                        if (product.residual)
                            finish.residual =
                                product.residual + static_cast<size_t>(row) * product.residual_stride + lane;
                    }
                    const auto tile = few ? integer_tile<scaling, tile_rows / 2> : integer_tile<scaling, tile_rows>;
                    tile(count, packed + p * step, row_blocks, next.take(),
                         product.out + static_cast<size_t>(row) * product.out_stride + lane, product.out_stride,
                         at_most(rows.end - row, tile_rows), at_most(block_end - lane, integer_panel_lanes), finish);
                }
            }
        }
    }
}

// Calls visit(tag) for a type of weights that these products know, and says whether it is one.
template <class Visit> bool visit_weights(int type, const Visit &visit) {
    switch (type) {
    case type_q8_0: visit(TypeTag<type_q8_0>{}); return true;
    case type_q4_0: visit(TypeTag<type_q4_0>{}); return true;
    case type_q4_k: visit(TypeTag<type_q4_k>{}); return true;
    case type_q5_k: visit(TypeTag<type_q5_k>{}); return true;
    case type_q6_k: visit(TypeTag<type_q6_k>{}); return true;
    default: return false;
    }
}

bool multiplies(int type) {
    return visit_weights(type, [](auto) {});
}

template <Scaling scaling> void quantise_rows(const Product &product, Range rows, RowBlock *quantised) {
    const int64_t blocks = product.depth / quant_block;
    for (int64_t row = rows.begin; row < rows.end; row++) {
        RowBlock *group = quantised + row / tile_rows * blocks;
        for (int64_t b = 0; b < blocks; b += width)
            quantise_blocks<scaling>(reinterpret_cast<const float *>(product.rows.row(row)) + b * quant_block,
                                     at_most(blocks - b, width), static_cast<int>(row % tile_rows), group + b,
                                     group + blocks + b);
    }
}

void quantise_groups(const Product &product, Range groups, void *quantised) {
    const Range rows = {groups.begin * tile_rows, lesser(groups.end * tile_rows, product.row_count)};
    visit_weights(product.lanes.type, [&](auto tag) {
        quantise_rows<Weights<decltype(tag)::type>::scaling>(product, rows, static_cast<RowBlock *>(quantised));
    });
}

void multiply_integers(const Product &product, const void *quantised, Range lanes, Range rows) {
    visit_weights(product.lanes.type, [&](auto tag) {
        multiply_type<decltype(tag)::type>(product, static_cast<const RowBlock *>(quantised), lanes, rows);
    });
}

} // namespace

float measure_head(const Attention &a, int64_t head, float *middles, float *steps);
void attend_integers(const Attention &a, Range query_groups);

extern const IntegerKernels integer_kernels = {
    integer_panel_lanes,
    tile_rows,
    multiplies,
    block_panels_for,
    quantised_size,
    quantise_groups,
    multiply_integers,
#if defined(__x86_64__)
    measure_head,
    attend_integers,
#else
    nullptr,
    nullptr,
#endif
};

} // namespace sdcpu::SDCPU_VARIANT
