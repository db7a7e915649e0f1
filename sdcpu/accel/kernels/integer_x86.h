// Integer products with AVX512-VNNI, or with AVX-VNNI on processors without AVX-512. Included by integer_tile.h
// only.
//
// The instruction multiplies four unsigned by four signed bytes per lane: the inputs are stored as q + 128. What the 128
// adds, 128 * (sum of the weights of a block), is computed while the weights are packed, and the sums begin at its
// negative.
//
//   piece   4 elements
//   rows    [6 rows][32] bytes
//   tile    6 rows x 2 vectors of lanes: 12 registers of int32 sums within a block, 12 of floats across blocks.
//           AVX2 has 16 registers: there the floats wait in memory, where 12 loads and stores go with 96 products.
//
// AVX-VNNI is compiled twice: in the encoding of AVX-512 too, with which the tests can run it on other processors.
#pragma once

#include "integer.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int vectors = 2;
constexpr int integer_panel_lanes = vectors * width;
constexpr int piece_bytes = 4;
constexpr int pieces = quant_block / piece_bytes;

// A block of 32 elements of the lanes of a panel.
template <Scaling scaling> struct LaneBlock {
    static constexpr int parts = scaling == Scaling::halves ? 2 : 1; // with scales of their own
    int32_t start[parts][integer_panel_lanes];                       // -128 * sum of the weights
    float scales[scaling == Scaling::plain ? 1 : 2][integer_panel_lanes]; // the second may be the least value
    int8_t quants[pieces][integer_panel_lanes * piece_bytes];
};

#if defined(SDCPU_HALF_VECTORS)

constexpr size_t block_bytes_in_cache = 384 << 10; // the cores that have no AVX-512 share 2 MiB among four

SDCPU_INLINE Integers load_integers(const void *p) { return _mm256_loadu_si256(static_cast<const __m256i *>(p)); }
SDCPU_INLINE void store_integers(void *p, Integers v) { _mm256_storeu_si256(static_cast<__m256i *>(p), v); }
SDCPU_INLINE Integers fill_integers(int x) { return _mm256_set1_epi32(x); }
SDCPU_INLINE Integers negate(Integers v) { return _mm256_sub_epi32(_mm256_setzero_si256(), v); }

SDCPU_INLINE Integers add_products(Integers sums, Integers unsigned_bytes, Integers signed_bytes) {
#if defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(sums, unsigned_bytes, signed_bytes);
#else
    return _mm256_dpbusd_epi32(sums, unsigned_bytes, signed_bytes);
#endif
}

SDCPU_INLINE void store_quants(uint8_t *out, Vector values) {
    const __m256i quants = _mm256_add_epi32(_mm256_cvtps_epi32(values), _mm256_set1_epi32(128));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(quants), _mm256_extracti128_si256(quants, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i *>(out), _mm_packus_epi16(words, words));
}

#else

constexpr size_t block_bytes_in_cache = 560 << 10;

SDCPU_INLINE Integers load_integers(const void *p) { return _mm512_loadu_si512(p); }
SDCPU_INLINE void store_integers(void *p, Integers v) { _mm512_storeu_si512(p, v); }
SDCPU_INLINE Integers fill_integers(int x) { return _mm512_set1_epi32(x); }
SDCPU_INLINE Integers negate(Integers v) { return _mm512_sub_epi32(_mm512_setzero_si512(), v); }

SDCPU_INLINE Integers add_products(Integers sums, Integers unsigned_bytes, Integers signed_bytes) {
    return _mm512_dpbusd_epi32(sums, unsigned_bytes, signed_bytes);
}

SDCPU_INLINE void store_quants(uint8_t *out, Vector values) {
    const __m512i quants = _mm512_add_epi32(_mm512_cvtps_epi32(values), _mm512_set1_epi32(128));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(out), _mm512_cvtepi32_epi8(quants));
}

#endif

// Where `width` elements of a row are in a block.
SDCPU_INLINE int place_of(int row, int element) { return row * quant_block + element; }

// Sorts up to blocks_together blocks of `width` lanes, whose quants lie lane after lane, into pieces.
constexpr int blocks_together = width * piece_bytes / quant_block; // a vector holds as many pieces as it has lanes
template <Scaling scaling>
SDCPU_INLINE void sort_lanes(const int8_t *quants, size_t stride, int first_lane, int count, LaneBlock<scaling> *out) {
    constexpr int parts = LaneBlock<scaling>::parts;
    Vector square[width];
#pragma GCC unroll 16
    for (int i = 0; i < width; i++) square[i] = load(quants + static_cast<size_t>(i) * stride);
    transpose(square);
#pragma GCC unroll 2
    for (int b = 0; b < blocks_together; b++) {
        if (b >= count) break;
#pragma GCC unroll 2
        for (int part = 0; part < parts; part++) {
            Integers sums = fill_integers(0);
#pragma GCC unroll 8
            for (int piece = part * pieces / parts; piece < (part + 1) * pieces / parts; piece++) {
                const auto four = reinterpret_cast<Integers>(square[b * pieces + piece]);
                sums = add_products(sums, fill_integers(static_cast<int>(0x80808080u)), four);
                store_integers(out[b].quants[piece] + first_lane * piece_bytes, four);
            }
            store_integers(out[b].start[part] + first_lane, negate(sums));
        }
    }
}

// The sums of a tile over the pieces of one part of a block.
template <int row_count, class Lanes>
SDCPU_INLINE void add_pieces(const Lanes &lanes, const RowBlock &rows, int part, Integers (&sums)[row_count][vectors]) {
    const Integers start0 = load_integers(lanes.start[part]), start1 = load_integers(lanes.start[part] + width);
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
        sums[r][0] = start0;
        sums[r][1] = start1;
    }
#pragma GCC unroll 8
    for (int piece = part * pieces / Lanes::parts; piece < (part + 1) * pieces / Lanes::parts; piece++) {
        const Integers weights0 = load_integers(lanes.quants[piece]);
        const Integers weights1 = load_integers(lanes.quants[piece] + width * piece_bytes);
#pragma GCC unroll 8
        for (int r = 0; r < row_count; r++) {
            int four;
            std::memcpy(&four, rows.quants + r * quant_block + piece * piece_bytes, 4);
            const Integers inputs = fill_integers(four);
            sums[r][0] = add_products(sums[r][0], inputs, weights0);
            sums[r][1] = add_products(sums[r][1], inputs, weights1);
        }
    }
}

} // namespace sdcpu::SDCPU_VARIANT
