// Eight floats: AVX2, FMA and F16C. Included by vector.h only; the comments are in vector_avx512.h.
#pragma once

#include <immintrin.h>

namespace sdcpu::SDCPU_VARIANT {

using Vector = __m256;
using Integers = __m256i; // 8 x 32 bits
constexpr int width = 8;

SDCPU_INLINE Vector zero() { return _mm256_setzero_ps(); }
SDCPU_INLINE Vector fill(float x) { return _mm256_set1_ps(x); }
SDCPU_INLINE Vector load(const void *p) { return _mm256_loadu_ps(static_cast<const float *>(p)); }
SDCPU_INLINE void store(void *p, Vector v) { _mm256_storeu_ps(static_cast<float *>(p), v); }

SDCPU_INLINE __m256i first(int64_t n) {
    alignas(32) static const int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const int count = n >= 8 ? 8 : n <= 0 ? 0 : static_cast<int>(n);
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(ones_then_zeros + 8 - count));
}
SDCPU_INLINE __m256i mask_of_bits(uint32_t bits) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), bit), bit);
}
SDCPU_INLINE Vector load_first(const float *p, int64_t n) { return n >= 8 ? load(p) : _mm256_maskload_ps(p, first(n)); }
SDCPU_INLINE void store_first(float *p, Vector v, int64_t n) {
    if (n >= 8) store(p, v);
    else _mm256_maskstore_ps(p, first(n), v);
}
SDCPU_INLINE Vector load_bits(const float *p, uint32_t bits) {
    return bits == 0xff ? load(p) : _mm256_maskload_ps(p, mask_of_bits(bits));
}
SDCPU_INLINE void store_bits(float *p, Vector v, uint32_t bits) {
    if (bits == 0xff) store(p, v);
    else _mm256_maskstore_ps(p, mask_of_bits(bits), v);
}
SDCPU_INLINE Vector gather_bits(const float *p, const int *indices, uint32_t bits) {
    const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(indices));
    return _mm256_mask_i32gather_ps(zero(), p, places, _mm256_castsi256_ps(mask_of_bits(bits)), 4);
}

SDCPU_INLINE Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
SDCPU_INLINE Vector largest(Vector a, Vector b) { return _mm256_max_ps(a, b); }
SDCPU_INLINE Vector smallest(Vector a, Vector b) { return _mm256_min_ps(a, b); }
SDCPU_INLINE Vector absolute(Vector a) { return _mm256_andnot_ps(fill(-0.f), a); }
SDCPU_INLINE Vector round_even(Vector a) { return _mm256_round_ps(a, 8); }
// n is a whole number.
SDCPU_INLINE Vector times_power_of_2(Vector p, Vector n) {
    n = largest(n, fill(-127.f)); // the exponent 0, which makes the result 0
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return p * _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
SDCPU_INLINE float sum(Vector v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
SDCPU_INLINE float maximum(Vector v) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}

SDCPU_INLINE float half_to_float(uint16_t half) { return _cvtsh_ss(half); }
SDCPU_INLINE uint16_t float_to_half(float x) { return _cvtss_sh(x, 0); }
SDCPU_INLINE Vector from_half(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
}
SDCPU_INLINE void store_half(uint16_t *p, Vector v) {
    _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_cvtps_ph(v, 0));
}
SDCPU_INLINE Vector from_bfloat(const uint16_t *p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

SDCPU_INLINE Integers load_bytes(const uint8_t *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p)));
}
SDCPU_INLINE Integers load_signed_bytes(const int8_t *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p)));
}
SDCPU_INLINE Integers shift_right(Integers v, int bits) { return _mm256_srl_epi32(v, _mm_cvtsi32_si128(bits)); }
SDCPU_INLINE Integers shift_left(Integers v, int bits) { return _mm256_sll_epi32(v, _mm_cvtsi32_si128(bits)); }
SDCPU_INLINE Integers keep_bits(Integers v, int mask) { return _mm256_and_si256(v, _mm256_set1_epi32(mask)); }
SDCPU_INLINE Integers combine(Integers a, Integers b) { return _mm256_or_si256(a, b); }
SDCPU_INLINE Vector to_floats(Integers v) { return _mm256_cvtepi32_ps(v); }
SDCPU_INLINE Vector where_bits(uint32_t bits, float x) {
    return _mm256_and_ps(_mm256_castsi256_ps(mask_of_bits(bits)), fill(x));
}

SDCPU_INLINE Vector in_order(Vector v) { // the middle two pairs of a shuffle within lanes, swapped
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xD8));
}
SDCPU_INLINE Vector even_elements(Vector a, Vector b) { return in_order(_mm256_shuffle_ps(a, b, 0x88)); }
SDCPU_INLINE Vector odd_elements(Vector a, Vector b) { return in_order(_mm256_shuffle_ps(a, b, 0xDD)); }
SDCPU_INLINE void interleave(Vector even, Vector odd, Vector &low, Vector &high) {
    const Vector a = _mm256_unpacklo_ps(even, odd), b = _mm256_unpackhi_ps(even, odd);
    low = _mm256_permute2f128_ps(a, b, 0x20);
    high = _mm256_permute2f128_ps(a, b, 0x31);
}
SDCPU_INLINE Vector every_ninth(const float *p) {
    return _mm256_i32gather_ps(p, _mm256_setr_epi32(0, 9, 18, 27, 36, 45, 54, 63), 4);
}

// Transposes 8 rows of 8 elements.
SDCPU_INLINE void transpose(Vector *r) {
    const Vector t0 = _mm256_unpacklo_ps(r[0], r[1]), t1 = _mm256_unpackhi_ps(r[0], r[1]);
    const Vector t2 = _mm256_unpacklo_ps(r[2], r[3]), t3 = _mm256_unpackhi_ps(r[2], r[3]);
    const Vector t4 = _mm256_unpacklo_ps(r[4], r[5]), t5 = _mm256_unpackhi_ps(r[4], r[5]);
    const Vector t6 = _mm256_unpacklo_ps(r[6], r[7]), t7 = _mm256_unpackhi_ps(r[6], r[7]);
    const Vector s0 = _mm256_shuffle_ps(t0, t2, 0x44), s1 = _mm256_shuffle_ps(t0, t2, 0xEE);
    const Vector s2 = _mm256_shuffle_ps(t1, t3, 0x44), s3 = _mm256_shuffle_ps(t1, t3, 0xEE);
    const Vector s4 = _mm256_shuffle_ps(t4, t6, 0x44), s5 = _mm256_shuffle_ps(t4, t6, 0xEE);
    const Vector s6 = _mm256_shuffle_ps(t5, t7, 0x44), s7 = _mm256_shuffle_ps(t5, t7, 0xEE);
    r[0] = _mm256_permute2f128_ps(s0, s4, 0x20);
    r[1] = _mm256_permute2f128_ps(s1, s5, 0x20);
    r[2] = _mm256_permute2f128_ps(s2, s6, 0x20);
    r[3] = _mm256_permute2f128_ps(s3, s7, 0x20);
    r[4] = _mm256_permute2f128_ps(s0, s4, 0x31);
    r[5] = _mm256_permute2f128_ps(s1, s5, 0x31);
    r[6] = _mm256_permute2f128_ps(s2, s6, 0x31);
    r[7] = _mm256_permute2f128_ps(s3, s7, 0x31);
}

} // namespace sdcpu::SDCPU_VARIANT
