// Packing, and the loops around the tiles; see product.h for the blocks.
#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

template <int type>
void pack_rows_of(const Rows &source, int64_t first_row, int rows, int64_t begin, int count, int64_t depth, int vectors,
                  Unit *out) {
    for (int j = 0; j < vectors; j++) {
        const int rows_here = rows - j * width;
        for (int k = 0; k < count; k += units_step) {
            const int n = at_most(depth - (begin + k), units_step);
            Vector block[width];
#pragma GCC unroll 16
            for (int i = 0; i < width; i++)
                block[i] =
                    i < rows_here ? load_units<type>(source.row(first_row + j * width + i), begin + k, n) : zero();
            transpose(block);
            Unit *place = out + static_cast<size_t>(k / per_unit) * vectors * width + j * width;
#pragma GCC unroll 16
            for (int i = 0; i < width; i++) store(place + static_cast<size_t>(i) * vectors * width, block[i]);
        }
    }
}

template <int type> void convert_row_of(const char *row, int64_t begin, int count, int64_t depth, Unit *out) {
    for (int k = 0; k < count; k += units_step)
        store(out + k / per_unit, load_units<type>(row, begin + k, at_most(depth - (begin + k), units_step)));
}

size_t element_bytes(int type) { return type == type_f32 ? 4 : 2; }

// Asks for rows [first, end) early: the processor does not see that the next strip follows.
void prefetch_rows(const Rows &rows, int64_t first, int64_t end, int64_t begin, int count) {
    const size_t bytes = static_cast<size_t>(count) * element_bytes(rows.type);
    for (int64_t r = first; r < end; r++) {
        const char *row = rows.row(r) + static_cast<size_t>(begin) * element_bytes(rows.type);
        for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(row + i, 0, 2);
    }
}

// Panels of the lanes of a plain product: its weights.
struct WeightPanels final : PanelSource {
    explicit WeightPanels(const Product &product) : product(product) {}
    void pack(int64_t first, int lanes, int64_t begin, int count, int vectors, Unit *out) override {
        pack_rows(product.lanes, first, lanes, begin, count, product.depth, vectors, out);
    }
    const Product &product;
};

} // namespace

void pack_rows(const Rows &source, int64_t first_row, int rows, int64_t begin, int count, int64_t depth, int vectors,
               Unit *out) {
    visit_type(source.type, [&](auto tag) {
        pack_rows_of<decltype(tag)::type>(source, first_row, rows, begin, count, depth, vectors, out);
    });
}

void convert_row(int type, const char *row, int64_t begin, int count, int64_t depth, Unit *out) {
    if (type == type_f32) convert_row_of<type_f32>(row, begin, count, depth, out);
    else if (type == type_f16) convert_row_of<type_f16>(row, begin, count, depth, out);
    else convert_row_of<type_bf16>(row, begin, count, depth, out);
}

void multiply(PanelSource &source, const Product &product, const float *row_bias, float negative_slope, Range lanes,
              Range rows) {
    const int64_t depth = product.depth;
    // Depth in blocks of equal size, a multiple of 32 because quantised blocks are not cut.
    const int64_t depth_step = round_up(divide_up(depth, divide_up(depth, depth_block)), 32);
    const int64_t panels = divide_up(lanes.end - lanes.begin, panel_lanes);
    const int64_t blocks = divide_up(panels, block_panels);
    const int64_t block_lanes = divide_up(panels, blocks) * panel_lanes;

    auto *packed = static_cast<Unit *>(
        thread_scratch(Scratch::panels, sizeof(Unit) * block_panels * panel_lanes * (depth_block_units + 16)));
    alignas(64) Unit strip[tile_rows * strip_stride];

    for (int64_t block = lanes.begin; block < lanes.end; block += block_lanes) {
        const int64_t block_end = lesser(block + block_lanes, lanes.end);
        const int panels_here = static_cast<int>(divide_up(block_end - block, panel_lanes));
        for (int64_t k = 0; k < depth; k += depth_step) {
            const int count = at_most(depth - k, static_cast<int>(depth_step));
            const int units = (count + per_unit - 1) / per_unit;
            const bool is_last = k + depth_step >= depth;
            const size_t panel_size =
                static_cast<size_t>(panel_lanes) * static_cast<size_t>(round_up(count, units_step) / per_unit);
            for (int p = 0; p < panels_here; p++) {
                const int64_t lane = block + p * panel_lanes;
                const int lanes_here = at_most(block_end - lane, panel_lanes);
                source.pack(lane, lanes_here, k, count, (lanes_here + width - 1) / width, packed + p * panel_size);
            }
            for (int64_t row = rows.begin; row < rows.end; row += tile_rows) {
                const int rows_here = at_most(rows.end - row, tile_rows);
                for (int r = 0; r < rows_here; r++)
                    convert_row(product.rows.type, product.rows.row(row + r), k, count, depth,
                                strip + r * strip_stride);
                if (panels_here <= 2)
                    prefetch_rows(product.rows, row + tile_rows, lesser(row + 2 * tile_rows, rows.end), k, count);
                for (int p = 0; p < panels_here; p++) {
                    const int64_t lane = block + p * panel_lanes;
                    const int lanes_here = at_most(block_end - lane, panel_lanes);
                    Finish finish = {k > 0, nullptr, nullptr, nullptr, product.residual_stride};
                    if (is_last) {
                        finish.factor = product.factor;
                        finish.negative_slope = negative_slope;
                        if (product.lane_bias) finish.lane_bias = product.lane_bias + lane;
                        if (row_bias) finish.row_bias = row_bias + row;
                        if (product.residual)
                            finish.residual =
                                product.residual + static_cast<size_t>(row) * product.residual_stride + lane;
                    }
                    multiply_tile(rows_here, (lanes_here + width - 1) / width, units, packed + p * panel_size, strip,
                                  strip_stride, product.out + static_cast<size_t>(row) * product.out_stride + lane,
                                  product.out_stride, lanes_here, finish);
                }
            }
        }
    }
}

void multiply_weights(const Product &product, Range lanes, Range rows) {
    WeightPanels source(product);
    multiply(source, product, nullptr, 1, lanes, rows);
}

} // namespace sdcpu::SDCPU_VARIANT
