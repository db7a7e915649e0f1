// The picture as Winograd's transform sees it: tiles of m x m outputs, `width` of them in the lanes of a vector.
//
// Tiles are counted row after row, so a vector may go over the end of a row of tiles, and the last tiles of a row or
// column may reach over the picture. With the tiles of a vector side by side, their pixels are m vectors: of these,
// each is up to three runs that lie in the picture; what lies outside is 0 when it is read and not written.
#pragma once

#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int least_winograd_width = 8; // of an output: then 16 pixels side by side are at most three runs

// Where the lanes of one vector of pixels are: lane i of a run at [offset + i], for the lanes whose bit is set.
struct Place {
    struct Run {
        uint32_t bits;
        int offset;
    };
    int count;
    Run runs[3];
};

SDCPU_INLINE Vector load_place(const float *channel, const Place &place) {
    if (place.count == 1) return load_bits(channel + place.runs[0].offset, place.runs[0].bits);
    Vector all = zero();
    for (int i = 0; i < place.count; i++)
        all = all + load_bits(channel + place.runs[i].offset, place.runs[i].bits);
    return all;
}

SDCPU_INLINE void store_place(float *channel, const Place &place, Vector values) {
    for (int i = 0; i < place.count; i++)
        store_bits(channel + place.runs[i].offset, values, place.runs[i].bits);
}

// The tiles of one convolution.
template <int m> struct TileGrid {
    static constexpr int n = m + 2; // an m x m tile reads n x n pixels
    int64_t width, height, columns, count;

    explicit TileGrid(const Convolution &c)
        : width(c.out_width), height(c.out_height), columns(divide_up(width, m)),
          count(columns * divide_up(height, m)) {}

    // Lanes [0, width) of pixels that begin `lane` pixels after those of a tile, moved by (dx, dy).
    Place place(int64_t tile, int lane, int dx, int dy, size_t row_stride) const {
        Place result = {};
        tile += lane / m;
        for (int begin = 0; begin < SDCPU_VARIANT::width && tile < count;) {
            const int64_t column = tile % columns, x = m * column + dx, y = m * (tile / columns) + dy;
            const int lanes = at_most((columns - column) * m, SDCPU_VARIANT::width - begin);
            const int first = x < 0 ? static_cast<int>(-x) : 0;
            const int last = at_most(width - x, lanes);
            if (y >= 0 && y < height && first < last) {
                const uint32_t bits = ((1u << (last - first)) - 1) << (begin + first);
                result.runs[result.count++] = {
                    bits, static_cast<int>(y * static_cast<int64_t>(row_stride) + x - begin)};
            }
            begin += lanes;
            tile += lanes / m;
        }
        return result;
    }
};

// Where a vector of tiles finds its n rows of inputs: columns -1 to m - 2 of the tiles, then m - 1 to m + 2.
template <int m> struct InputPlaces {
    Place places[m + 2][2][m];

    void find(const Convolution &c, int64_t tile) {
        const TileGrid<m> grid(c);
        for (int y = 0; y < m + 2; y++)
            for (int half = 0; half < 2; half++)
                for (int i = 0; i < m; i++)
                    places[y][half][i] = grid.place(tile, i * width, half * m - 1, y - 1, c.row_stride);
    }
};

// m vectors of pixels side by side: column x of all tiles in columns[x].
template <int m> SDCPU_INLINE void load_columns(const float *channel, const Place *places, Vector *columns) {
    const Vector a = load_place(channel, places[0]), b = load_place(channel, places[1]);
    columns[0] = even_elements(a, b);
    columns[1] = odd_elements(a, b);
    if constexpr (m == 4) {
        const Vector d = load_place(channel, places[2]), e = load_place(channel, places[3]);
        const Vector even = even_elements(d, e), odd = odd_elements(d, e);
        columns[2] = odd_elements(columns[0], even);
        columns[3] = odd_elements(columns[1], odd);
        columns[0] = even_elements(columns[0], even);
        columns[1] = even_elements(columns[1], odd);
    }
}

// Row y of the inputs of all tiles, m + 2 columns.
template <int m>
SDCPU_INLINE void load_row(const float *channel, const InputPlaces<m> &places, int y, Vector *columns) {
    Vector rest[m];
    load_columns<m>(channel, places.places[y][0], columns);
    load_columns<m>(channel, places.places[y][1], rest);
    columns[m] = rest[0];
    columns[m + 1] = rest[1];
}

// Where a vector of tiles goes in the output.
template <int m> struct OutputPlaces {
    Place places[m][m];

    OutputPlaces(const Convolution &c, int64_t tile) {
        const TileGrid<m> grid(c);
        for (int y = 0; y < m; y++)
            for (int i = 0; i < m; i++)
                places[y][i] = grid.place(tile, i * width, 0, y, static_cast<size_t>(c.out_width));
    }
};

// The opposite of load_columns.
template <int m> SDCPU_INLINE void join_columns(const Vector *columns, Vector *pixels) {
    if constexpr (m == 2) {
        interleave(columns[0], columns[1], pixels[0], pixels[1]);
    } else {
        Vector even[2], odd[2];
        interleave(columns[0], columns[2], even[0], even[1]);
        interleave(columns[1], columns[3], odd[0], odd[1]);
        interleave(even[0], odd[0], pixels[0], pixels[1]);
        interleave(even[1], odd[1], pixels[2], pixels[3]);
    }
}

} // namespace sdcpu::SDCPU_VARIANT
