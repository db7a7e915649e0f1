// What the integer products of all instruction sets share; product_integer.cpp says what they are.
#pragma once

#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int quant_block = 32;

// What a block of 32 quantised weights is; the quants q have at most 8 bits and a sign.
enum class Scaling {
    plain,  // scale * q
    least,  // scale * q + least
    halves, // scale * q, where elements 16-31 have another scale than 0-15
};

// A block of 32 elements of the rows of a tile: inputs, quantised to -127 … 127.
struct RowBlock {
    uint8_t quants[tile_rows * quant_block]; // as the instructions want them (integer_....h)
    float scales[tile_rows];
    float sums[tile_rows]; // of the inputs as they are quantised, scaled; only where weights have a least value
};

// Memory that is wanted soon: `rows` rows, of which a tile asks for `step` bytes with every block.
struct Ahead {
    const char *data;
    size_t stride;
    int rows, step;

    void prefetch(int block) const {
        for (int i = 0; i < rows; i++)
            __builtin_prefetch(data + static_cast<size_t>(i) * stride + block * step, 0, 2);
    }
};

} // namespace sdcpu::SDCPU_VARIANT
