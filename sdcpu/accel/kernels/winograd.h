// Winograd's way through 3x3 convolutions; see convolution_winograd.cpp.
#pragma once

#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

Winograd winograd_way(const Convolution &c);
bool winograd_has_large_tiles(const Convolution &c);
void pixel_energies(const Convolution &c, Range rows, float *most, float *total);
size_t winograd_weights_size(const Convolution &c);
int64_t winograd_blocks(const Convolution &c);
void winograd_weights(const Convolution &c, Range channels, uint32_t *weights);
int64_t winograd_tile_pieces(const Convolution &c);
size_t winograd_tiles_size(const Convolution &c);
void winograd_tiles(const Convolution &c, Range pieces, uint32_t *tiles);
void winograd_with_weights(const Convolution &c, const uint32_t *shared_weights, Range blocks);
void winograd_with_tiles(const Convolution &c, const uint32_t *shared_tiles, Range channels);

} // namespace sdcpu::SDCPU_VARIANT
