// What the integer products of all instruction sets share; product_integer.cpp says what they are.
#pragma once

#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int quant_block = 32;

template <int type> constexpr size_t weight_block_bytes = type == type_q8_0 ? 34 : 18;

// The rows of a tile: quantised values and scales, `depth` bytes and `blocks` floats apart.
struct QuantisedRows {
    const uint8_t *values;
    const float *scales;
    size_t values_stride, scales_stride;
};

// Stores the results of a tile, and what is added to them.
template <int row_count, int vectors>
SDCPU_INLINE void store_results(const Vector (&results)[row_count][vectors], float *out, size_t out_stride, int lanes,
                                const Finish &finish) {
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

// The 32 signed weights of a block.
template <int type> SDCPU_INLINE void unpack_weights(const char *block, int8_t *weights) {
    if constexpr (type == type_q8_0) {
        std::memcpy(weights, block + 2, quant_block);
    } else {
        const auto *nibbles = reinterpret_cast<const uint8_t *>(block) + 2;
        for (int i = 0; i < quant_block / 2; i++) {
            weights[i] = static_cast<int8_t>((nibbles[i] & 15) - 8);
            weights[quant_block / 2 + i] = static_cast<int8_t>((nibbles[i] >> 4) - 8);
        }
    }
}

// Spreads the weights of a block: pieces of `piece_bytes` elements, `lanes` pieces apart.
template <int type, int piece_bytes, int lanes> SDCPU_INLINE void spread_weights(const char *block, char *out) {
    int8_t weights[quant_block];
    unpack_weights<type>(block, weights);
#pragma GCC unroll 8
    for (int i = 0; i < quant_block; i += piece_bytes) std::memcpy(out + i * lanes, weights + i, piece_bytes);
}

} // namespace sdcpu::SDCPU_VARIANT
