// Sixteen floats: AVX-512 F, BW, DQ and VL. Included by vector.h only.
#pragma once

#include <immintrin.h>

namespace sdcpu::SDCPU_VARIANT {

using Vector = __m512;
using Integers = __m512i; // 16 x 32 bits
constexpr int width = 16;

SDCPU_INLINE Vector zero() { return _mm512_setzero_ps(); }
SDCPU_INLINE Vector fill(float x) { return _mm512_set1_ps(x); }
SDCPU_INLINE Vector load(const void *p) { return _mm512_loadu_ps(p); }
SDCPU_INLINE void store(void *p, Vector v) { _mm512_storeu_ps(p, v); }

// The first n elements (none for n <= 0, all for n >= width); the others are 0, or are not written.
SDCPU_INLINE __mmask16 first(int64_t n) {
    return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1);
}
SDCPU_INLINE Vector load_first(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
SDCPU_INLINE void store_first(float *p, Vector v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
// The elements whose bit is set.
SDCPU_INLINE Vector load_bits(const float *p, uint32_t bits) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(bits), p);
}
SDCPU_INLINE void store_bits(float *p, Vector v, uint32_t bits) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(bits), v);
}
SDCPU_INLINE Vector gather_bits(const float *p, const int *indices, uint32_t bits) {
    return _mm512_mask_i32gather_ps(zero(), static_cast<__mmask16>(bits), _mm512_loadu_si512(indices), p, 4);
}

SDCPU_INLINE Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
SDCPU_INLINE Vector largest(Vector a, Vector b) { return _mm512_max_ps(a, b); }
SDCPU_INLINE Vector smallest(Vector a, Vector b) { return _mm512_min_ps(a, b); }
SDCPU_INLINE Vector absolute(Vector a) { return _mm512_abs_ps(a); }
SDCPU_INLINE Vector round_even(Vector a) { return _mm512_roundscale_ps(a, 8); }
SDCPU_INLINE Vector part_above_floor(Vector a) { return _mm512_reduce_ps(a, 1); } // a - floor(a)
// p * 2^floor(n)
SDCPU_INLINE Vector times_power_of_2(Vector p, Vector n) { return _mm512_scalef_ps(p, n); }
SDCPU_INLINE float sum(Vector v) { return _mm512_reduce_add_ps(v); }
SDCPU_INLINE float maximum(Vector v) { return _mm512_reduce_max_ps(v); }

SDCPU_INLINE float half_to_float(uint16_t half) { return _cvtsh_ss(half); }
SDCPU_INLINE uint16_t float_to_half(float x) { return _cvtss_sh(x, 0); }
SDCPU_INLINE Vector from_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
}
SDCPU_INLINE void store_half(uint16_t *p, Vector v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), _mm512_cvtps_ph(v, 0));
}
SDCPU_INLINE Vector from_bfloat(const uint16_t *p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

SDCPU_INLINE Integers load_bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}
SDCPU_INLINE Integers load_signed_bytes(const int8_t *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}
SDCPU_INLINE Integers shift_right(Integers v, int bits) { return _mm512_srl_epi32(v, _mm_cvtsi32_si128(bits)); }
SDCPU_INLINE Integers shift_left(Integers v, int bits) { return _mm512_sll_epi32(v, _mm_cvtsi32_si128(bits)); }
SDCPU_INLINE Integers keep_bits(Integers v, int mask) { return _mm512_and_si512(v, _mm512_set1_epi32(mask)); }
SDCPU_INLINE Integers combine(Integers a, Integers b) { return _mm512_or_si512(a, b); }
SDCPU_INLINE Vector to_floats(Integers v) { return _mm512_cvtepi32_ps(v); }
// x where the bit of the element is set, else 0
SDCPU_INLINE Vector where_bits(uint32_t bits, float x) {
    return _mm512_maskz_mov_ps(static_cast<__mmask16>(bits), fill(x));
}

// The even and the odd elements of 32 in a row, and the way back.
SDCPU_INLINE Vector even_elements(Vector a, Vector b) {
    const __m512i order = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(a, order, b);
}
SDCPU_INLINE Vector odd_elements(Vector a, Vector b) {
    const __m512i order = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_ps(a, order, b);
}
SDCPU_INLINE void interleave(Vector even, Vector odd, Vector &low, Vector &high) {
    const __m512i first_half = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i second_half = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    low = _mm512_permutex2var_ps(even, first_half, odd);
    high = _mm512_permutex2var_ps(even, second_half, odd);
}
// p[0], p[9], p[18], …
SDCPU_INLINE Vector every_ninth(const float *p) {
    return _mm512_i32gather_ps(_mm512_set_epi32(135, 126, 117, 108, 99, 90, 81, 72, 63, 54, 45, 36, 27, 18, 9, 0), p,
                               4);
}

// Transposes 16 rows of 16 elements.
SDCPU_INLINE void transpose(Vector *r) {
    Vector t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    // Now r[4g + c] holds, of the rows 4g … 4g+3, the columns c, c+4, c+8, c+12 in its four lanes.
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const Vector low_even = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
        const Vector high_even = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
        const Vector low_odd = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xDD);
        const Vector high_odd = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xDD);
        t[c] = _mm512_shuffle_f32x4(low_even, high_even, 0x88);
        t[8 + c] = _mm512_shuffle_f32x4(low_even, high_even, 0xDD);
        t[4 + c] = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
        t[12 + c] = _mm512_shuffle_f32x4(low_odd, high_odd, 0xDD);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = t[i];
}

} // namespace sdcpu::SDCPU_VARIANT
