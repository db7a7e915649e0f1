// How a product or a convolution is cut into work: lanes x rows of the result, several results side by side.
#pragma once

#include <algorithm>

#include "../team.h"

namespace sdcpu {

struct Grid {
    int64_t results, lanes, rows; // results: products of the same shape
    int64_t lane_step, row_step;  // the size of one item of work
};

// Items as large as a packed block where there are many, smaller where there are few; lanes are cut first, because a
// cut between rows makes another thread pack the same lanes again.
inline Grid cut(int64_t results, int64_t lanes, int64_t rows, int threads, int panel_lanes, int block_panels,
                int tile_rows) {
    constexpr int64_t tiles_per_item = 16; // 96 rows: packing the lanes again costs less than a tenth of the work
    const int64_t row_step = tiles_per_item * tile_rows;
    const int64_t panels = (lanes + panel_lanes - 1) / panel_lanes;
    int64_t panels_per_item = block_panels;
    if (rows <= 2 * row_step) panels_per_item = std::clamp<int64_t>(results * panels / (4 * threads), 1, block_panels);
    const int64_t blocks = (panels + panels_per_item - 1) / panels_per_item;
    return {results, lanes, rows, (panels + blocks - 1) / blocks * panel_lanes, rows <= 2 * row_step ? rows : row_step};
}

// Calls work(result, lanes, rows) until the grid is done by the whole team.
template <class Work> void share_grid(Team &team, const Grid &grid, const Work &work) {
    const int64_t lane_items = (grid.lanes + grid.lane_step - 1) / grid.lane_step;
    const int64_t row_items = (grid.rows + grid.row_step - 1) / grid.row_step;
    Share share = team.share(grid.results * lane_items * row_items);
    for (Range piece; share.take(piece);) {
        for (int64_t item = piece.begin; item < piece.end;) {
            const int64_t block = item / row_items, first_row_item = item % row_items;
            const int64_t items_here = std::min(piece.end - item, row_items - first_row_item);
            const int64_t lane = block % lane_items * grid.lane_step;
            work(block / lane_items, Range{lane, std::min(lane + grid.lane_step, grid.lanes)},
                 Range{first_row_item * grid.row_step,
                       std::min((first_row_item + items_here) * grid.row_step, grid.rows)});
            item += items_here;
        }
    }
}

} // namespace sdcpu
